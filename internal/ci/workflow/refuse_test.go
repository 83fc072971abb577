package workflow_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// Sources mark the place of the one expected problem with «.
const mark = "«"

func marked(t *testing.T, src string) (clean string, line, column int) {
	t.Helper()
	before, after, ok := strings.Cut(src, mark)
	if !ok {
		t.Fatal("the source marks no place")
	}
	return before + after, 1 + strings.Count(before, "\n"), len(before) - strings.LastIndex(before, "\n")
}

const steps = "    steps: [{run: 'true'}]\n"

func job(lines string) string { return "on: push\njobs:\n  a:\n    runs-on: linux\n" + lines }

func step(lines string) string { return job("    steps:\n      - " + lines) }

func TestRefused(t *testing.T) {
	trigger := func(on string) string { return on + "jobs:\n  a:\n    runs-on: linux\n" + steps }
	script := func(s string) string { return step("run: echo ${{ " + s + " }}\n") }
	publish := "uses: drawbridge/publish@v1\n        id: pub\n        with:\n          image: shop/web\n          path: out\n          tags: v1\n"
	for name, row := range map[string]struct{ src, want string }{
		"run-name":    {"«run-name: x\n" + job(steps), `"run-name" is refused`},
		"defaults":    {"«defaults: {run: {shell: bash}}\n" + job(steps), `"defaults" is refused`},
		"concurrency": {"«concurrency: x\n" + job(steps), `"concurrency" is refused`},
		"unknown key": {"«stages: x\n" + job(steps), `unexpected key "stages"`},

		"event word":          {trigger("on: «pull_request\n"), `the event "pull_request" is refused`},
		"event list":          {trigger("on: [push, «workflow_dispatch]\n"), `the event "workflow_dispatch" is refused`},
		"event map":           {trigger("on:\n  push:\n  «schedule: [{cron: '0 2 * * *'}]\n"), `the event "schedule" is refused`},
		"workflow_call":       {trigger("on:\n  «workflow_call:\n"), `the event "workflow_call" is refused`},
		"repository_dispatch": {trigger("on:\n  push:\n  «repository_dispatch:\n"), `the event "repository_dispatch" is refused`},
		"paths":               {trigger("on:\n  push:\n    «paths: [src]\n"), `"paths" is refused`},
		"paths-ignore":        {trigger("on:\n  push:\n    «paths-ignore: [src]\n"), `"paths-ignore" is refused`},
		"only negative":       {trigger("on:\n  push:\n    branches: [«'!main']\n"), `match nothing`},

		"permissions word":  {"«permissions: read-all\n" + job(steps), `"permissions" is refused`},
		"permissions write": {"permissions:\n  contents: read\n  «packages: write\n" + job(steps), `"packages: write" is refused`},
		"contents write":    {job("    permissions:\n      «contents: write\n" + steps), `"contents: write" is refused`},

		"strategy":          {job("    «strategy: {matrix: {go: [1, 2]}}\n" + steps), `"strategy" is refused`},
		"container":         {job("    «container: alpine\n" + steps), `"container" is refused`},
		"services":          {job("    «services: {db: {image: postgres}}\n" + steps), `"services" is refused`},
		"environment":       {job("    «environment: production\n" + steps), `"environment" is refused`},
		"job concurrency":   {job("    «concurrency: x\n" + steps), `"concurrency" is refused`},
		"job defaults":      {job("    «defaults: {run: {shell: bash}}\n" + steps), `"defaults" is refused`},
		"continue-on-error": {job("    «continue-on-error: true\n" + steps), `"continue-on-error" is refused`},
		"unknown job key":   {job("    «stage: x\n" + steps), `unexpected key "stage"`},
		"called workflow":   {"on: push\njobs:\n  a:\n    «uses: ./x.yml\n", `"uses" is refused`},
		"timeout word":      {job("    timeout-minutes: «${{ 1 }}\n" + steps), `expression is refused`},
		"timeout too long":  {job("    timeout-minutes: «1441\n" + steps), `at most 1440`},

		"windows":          {"on: push\njobs:\n  a:\n    runs-on: «windows-latest\n" + steps, `"windows-latest" is refused`},
		"macos in list":    {"on: push\njobs:\n  a:\n    runs-on: [linux, «macos-14]\n" + steps, `"macos-14" is refused`},
		"architecture":     {"on: push\njobs:\n  a:\n    runs-on: [linux, «arm64]\n" + steps, `own architecture`},
		"arm image":        {"on: push\njobs:\n  a:\n    runs-on: «ubuntu-24.04-arm\n" + steps, `own architecture`},
		"label expression": {"on: push\njobs:\n  a:\n    runs-on: «${{ github.ref }}\n" + steps, `expression is refused`},
		"group":            {"on: push\njobs:\n  a:\n    runs-on:\n      «group: big\n" + steps, `"group" is refused`},
		"no runs-on":       {"on: push\njobs:\n  «a:\n" + steps, `"runs-on" section is missing`},

		"foreign action":     {step("uses: «actions/setup-go@v5\n"), `"actions/setup-go@v5" is refused`},
		"local action":       {step("uses: «./x\n"), `"./x" is refused`},
		"docker action":      {step("uses: «docker://alpine\n"), `is refused`},
		"no version":         {step("uses: «actions/checkout\n"), `names no version`},
		"other version":      {step("uses: «drawbridge/publish@v2\n"), `"v2" of drawbridge/publish is refused`},
		"checkout input":     {step("uses: actions/checkout@v4\n        with:\n          «submodules: true\n"), `"submodules" of actions/checkout is refused`},
		"checkout token":     {step("uses: actions/checkout@v4\n        with: {fetch-depth: 0, «token: x}\n"), `"token" of actions/checkout is refused`},
		"base":               {step(publish + "          «base: alpine\n"), `"base" of drawbridge/publish is refused: an image is built from nothing`},
		"publish input":      {step(publish + "          «push: true\n"), `"push" of drawbridge/publish is refused`},
		"publish without":    {step("uses: «drawbridge/publish@v1\n        with: {image: shop/web, path: out}\n"), `needs the input "tags"`},
		"publish host":       {step("uses: drawbridge/publish@v1\n        with: {image: «evil.example/x, path: out, tags: v1}\n"), `without a host`},
		"publish tag":        {step("uses: drawbridge/publish@v1\n        with: {image: «'shop/web:v1', path: out, tags: v1}\n"), `without a tag`},
		"publish bad image":  {step("uses: drawbridge/publish@v1\n        with: {image: «Shop//web, path: out, tags: v1}\n"), `no image reference`},
		"publish bad tags":   {step("uses: drawbridge/publish@v1\n        with: {image: shop/web, path: out, tags: «'v1 v/2'}\n"), `"v/2" is no tag`},
		"publish path":       {step("uses: drawbridge/publish@v1\n        with: {image: shop/web, path: «../../etc, tags: v1}\n"), `beneath the workspace`},
		"publish absolute":   {step("uses: drawbridge/publish@v1\n        with: {image: shop/web, path: «/etc, tags: v1}\n"), `beneath the workspace`},
		"report without":     {step("uses: «drawbridge/report@v1\n"), `at least one of the inputs coverage, findings, tests`},
		"report input":       {step("uses: drawbridge/report@v1\n        with: {tests: t.json, «junit: x}\n"), `"junit" of drawbridge/report is refused`},
		"shell":              {step("run: 'true'\n        shell: «pwsh\n"), `shell "pwsh" is refused`},
		"shell expression":   {step("run: 'true'\n        shell: «${{ github.ref }}\n"), `is refused`},
		"directory":          {step("run: 'true'\n        working-directory: «../x\n"), `beneath the workspace`},
		"step timeout":       {step("run: 'true'\n        timeout-minutes: «0\n"), `must be greater than zero`},
		"step continue":      {step("run: 'true'\n        continue-on-error: «${{ github.ref == 'x' }}\n"), `expression is refused`},
		"reserved env":       {step("run: 'true'\n        env: {«GITHUB_SHA: x}\n"), `set by the server`},
		"env expression":     {step("run: 'true'\n        env: «${{ fromJSON('{}') }}\n"), `in place of env is refused`},
		"x-drawbridge inner": {"x-drawbridge:\n  «cache: {}\n" + job(steps), `"x-drawbridge.cache" is refused`},
		"x-drawbridge job":   {job("    x-drawbridge: {«cache: {}}\n" + steps), `"x-drawbridge.cache" is refused`},
		"x-drawbridge list":  {"x-drawbridge: «[a]\n" + job(steps), `must be a mapping`},
		"x-drawbridge step":  {step("run: 'true'\n        «x-drawbridge: {}\n"), `unexpected key "x-drawbridge"`},

		"secrets":         {script("«secrets.TOKEN"), `"secrets" is refused: CI holds no secrets`},
		"secrets in if":   {step("run: 'true'\n        if: ${{ always() && «secrets.TOKEN }}\n"), `"secrets"`},
		"vars":            {script("«vars.X"), `"vars" is refused`},
		"matrix":          {script("«matrix.go"), `"matrix" is refused`},
		"inputs":          {script("«inputs.x"), `"inputs" is refused`},
		"hashFiles":       {script("«hashFiles('go.sum')"), `"hashFiles" is refused`},
		"case":            {script("«case(true, 1, 2)"), `"case" is refused`},
		"unknown func":    {script("«sha256('x')"), `there is no function`},
		"unknown context": {script("«gitlab.ref"), `there is no context`},
		"event property":  {script("«github.event.head_commit.id"), `"github.event" is refused`},
		"token":           {script("«github['token']"), `"github.token" is refused`},
		"runner property": {script("«runner.tool_cache"), `"runner.tool_cache" is refused`},
		"job container":   {script("«job.container.id"), `"job.container" is refused`},
		"publish output": {
			step(publish + "      - run: echo ${{ «steps.pub.outputs.url }}\n"),
			`has no output "url"`,
		},
		"report output": {
			step("uses: drawbridge/report@v1\n        id: rep\n        with: {tests: t}\n      - run: echo ${{ «steps.rep.outputs.url }}\n"),
			`has no outputs`,
		},
		"not closed":     {step("run: echo ${{ github.ref«\n"), `unexpected EOF`},
		"bad syntax":     {script("github.ref == «== 'x'"), `unexpected`},
		"status in run":  {script("«success()"), `calling function "success" is not allowed here`},
		"second line":    {step("run: |\n          echo ok\n          echo ${{ «secrets.A }}\n"), `"secrets"`},
		"folded":         {step("run: >\n          echo ok\n          echo ${{ «secrets.A }}\n"), `"secrets"`},
		"block context":  {step("run: |\n          echo ${{ github.sha }}\n          echo ${{ «needs.b.result }}\n"), `property "b" is not defined`},
		"injection":      {step("run: echo ${{ «github.head_ref }}\n"), `potentially untrusted`},
		"always true if": {step("run: 'true'\n        if: «x ${{ github.ref }}\n"), `always evaluated to true`},

		"alias":        {"on: push\nenv: «&e {A: b}\njobs:\n  a:\n    runs-on: linux\n" + steps, `anchor &e is refused`},
		"tag":          {job("    timeout-minutes: «!!float nan\n" + steps), `tag !!float is refused`},
		"second file":  {job(steps) + "«---\non: push\n", `second YAML document is refused`},
		"bad indent":   {"on: push\njobs:\n  a:\n   runs-on: linux\n    steps«: []\n", `malformed`},
		"duplicate":    {job("    «runs-on: linux\n" + steps), `key "runs-on" is duplicated`},
		"no jobs":      {"«on: push\n", `"jobs" section is missing`},
		"no on":        {"«jobs:\n  a:\n    runs-on: linux\n" + steps, `"on" section is missing`},
		"empty":        {"«", `is empty`},
		"comment only": {"«# nothing\n", `is empty`},
		"a list":       {"«- a\n", `expected`},
		"deep":         {step("run: 'true'\n        if: «" + strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60) + "\n"), `50 nested`},
		"negations":    {step("run: 'true'\n        if: «\"" + strings.Repeat("!", 60) + "true\"\n"), `50 nested`},
		"long":         {step("run: «'${{ " + strings.Repeat("1 || ", 5000) + "1 }}'\n"), `at most 21000`},
	} {
		t.Run(name, func(t *testing.T) { refused(t, row.src, row.want) })
	}
}

// refused checks that the first problem is where the source marks it, and says want.
func refused(t *testing.T, src, want string) {
	t.Helper()
	clean, line, column := marked(t, src)
	w, err := workflow.Parse("w.yml", []byte(clean))
	f := fault.As(err)
	if f == nil || w != nil {
		t.Fatalf("Parse = %v, %v, want a fault\n%s", w, err, clean)
	}
	place := fmt.Sprintf("w.yml:%d:%d", line, column)
	if f.Position() != place || !strings.Contains(f.Message, want) || f.Kind != fault.Invalid {
		t.Errorf("got  %v\nwant %s: …%s…\nin:\n%s", err, place, want, clean)
		for _, p := range workflow.Check("w.yml", []byte(clean)) {
			t.Log(p)
		}
	}
	if strings.Contains(f.Message, "is refused") && f.Hint == "" {
		t.Errorf("the refusal %v has no hint", f)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := workflow.Parse("w.yml", make([]byte, workflow.MaxSource+1))
	if !fault.Is(err, fault.TooLarge) || fault.As(err).File != "w.yml" {
		t.Errorf("got %v, want too-large in w.yml", err)
	}
	if _, err := workflow.Parse("w.yml", []byte("on: push\xff")); !fault.Is(err, fault.Invalid) {
		t.Errorf("bytes that are no UTF-8: got %v", err)
	}
	many := "on: push\njobs:\n"
	for i := range workflow.MaxJobs + 1 {
		many += fmt.Sprintf("  j%d: {runs-on: linux, steps: [{run: a}]}\n", i)
	}
	if _, err := workflow.Parse("w.yml", []byte(many)); err == nil || !strings.Contains(err.Error(), "at most 256 jobs") {
		t.Errorf("too many jobs: got %v", err)
	}
	bomb := "a: &a [x,x]\n" + "b: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\non: push\n"
	if _, err := workflow.Parse("w.yml", []byte(bomb)); err == nil || !strings.Contains(err.Error(), "anchor") {
		t.Errorf("alias bomb: got %v", err)
	}
	nested := strings.Repeat("[", 5000)
	if _, err := workflow.Parse("w.yml", []byte("on: "+nested)); err == nil {
		t.Error("5000 open brackets were accepted")
	}
}

// Check lists every problem, in the order of the file, and one for each place.
func TestCheckListsAll(t *testing.T) {
	src := "run-name: x\non: [push, pull_request]\njobs:\n  a:\n    runs-on: windows-latest\n    container: x\n    steps:\n      - uses: a/b@v1\n      - run: echo ${{ secrets.A }}\n"
	var got []string
	for _, p := range workflow.Check("w.yml", []byte(src)) {
		got = append(got, p.Position())
	}
	want := "w.yml:1:1 w.yml:2:12 w.yml:5:14 w.yml:6:5 w.yml:8:15 w.yml:9:23"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if p := workflow.Check("w.yml", good(t)); p != nil {
		t.Errorf("a good file has problems: %v", p)
	}
}

// The broken files on which other engines give no place or a wrong one.
func TestBrokenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yml")
	if err != nil || len(files) != 6 {
		t.Fatalf("broken files: %v, %v", files, err)
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		first, body, _ := strings.Cut(string(src), "\n")
		t.Run(filepath.Base(f), func(t *testing.T) { refused(t, body, strings.TrimPrefix(first, "# ")) })
	}
}
