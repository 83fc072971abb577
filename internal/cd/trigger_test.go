package cd_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// everyTrigger has two artifacts, and a trigger of each kind with what holds by default, and
// of most kinds one with every key.
const everyTrigger = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, wait: 10m, poll: 30s}
  - {name: worker, image: ghcr.io/acme/worker}
triggers:
  - {name: published, on: artifact, promote: dev}
  - {name: one, on: artifact, artifact: web, tags: {regex: "v(.+)", newest: true, ignore: ["*-rc*"]}, platform: linux/amd64, when: evidence.tests.failed == 0, receiver: harbor, promote: dev}
  - {name: crossed, on: artifact, artifacts: [worker, web], together: commit, wait: 1h}
  - {name: tagged, on: release, tags: {semver: ">=1.0.0"}, promote: staging}
  - {name: forge, on: release, repository: "git@git.example.com:acme/shop.git", poll: 1m, promote: staging}
  - {name: by-hand, on: manual, promote: staging, inputs: {properties: {region: {enum: [eu, us]}, dry-run: {type: boolean}}, required: [region]}}
  - {name: nightly, on: schedule, cron: "0 2 * * 1-5", timezone: Europe/Berlin, from: dev, catchUp: once, promote: staging}
  - {name: hourly, on: schedule, cron: "@hourly", from: dev, promote: staging}
  - {name: ticket, on: webhook, receiver: jira, when: body.transition.to_status == "Approved", release: body.issue.fields.customfield_10042, wait: 2h, promote: production}
  - {name: change-approved, on: webhook, receiver: now, preset: servicenow, when: body.ok, promote: production}
  - {name: approved, on: webhook, receiver: jira, preset: jira, promote: production}
  - {name: alarm, on: webhook, receiver: alerts, preset: alertmanager, freeze: ["*"], for: 2h}
  - {name: page, on: webhook, receiver: pager, preset: pagerduty, freeze: [dev, production]}
  - {name: state, on: git, repository: "https://git.example.com/shop-env.git"}
  - {name: other, on: git, repository: env, branch: live, path: ./state/, signed: false, repair: true, poll: 10s, receiver: gitea}
  - {name: change, on: event, type: dev.cdevents.change.*, release: event.subject, promote: dev}
  - {name: incident, on: event, type: com.example.fixed, receiver: pager, release: body.version, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: staging
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    target: {process: {artifact: worker, command: [./worker]}}
`

func TestTriggersOfEveryKind(t *testing.T) {
	d, err := cd.ParseDelivery("d.yaml", []byte(everyTrigger))
	if err != nil {
		t.Fatal(err)
	}
	both := []string{"web", "worker"}
	want := []bridge.Trigger{
		{Name: "published", On: bridge.OnArtifact, Artifacts: both, Together: bridge.SameTag, Promote: "dev"},
		{
			Name: "one", On: bridge.OnArtifact, Artifacts: []string{"web"}, Platform: "linux/amd64", When: "evidence.tests.failed == 0",
			Receiver: "harbor", Promote: "dev", Tags: bridge.TagRule{Regex: "v(.+)", Newest: true, Ignore: []string{"*-rc*"}},
		},
		{Name: "crossed", On: bridge.OnArtifact, Artifacts: both, Together: bridge.SameCommit, Wait: time.Hour},
		{Name: "tagged", On: bridge.OnRelease, Artifacts: both, Tags: bridge.TagRule{Semver: ">=1.0.0"}, Repository: "shop", Promote: "staging"},
		{Name: "forge", On: bridge.OnRelease, Artifacts: both, Repository: "https://git.example.com/acme/shop", Poll: time.Minute, Promote: "staging"},
		{
			Name: "by-hand", On: bridge.OnManual, Promote: "staging",
			Inputs: json.RawMessage(`{"additionalProperties":false,"properties":{"dry-run":{"type":"boolean"},"region":{"enum":["eu","us"]}},"required":["region"],"type":"object"}`),
		},
		{Name: "nightly", On: bridge.OnSchedule, Cron: "0 2 * * 1-5", Timezone: "Europe/Berlin", From: "dev", CatchUp: true, Promote: "staging"},
		{Name: "hourly", On: bridge.OnSchedule, Cron: "@hourly", From: "dev", Promote: "staging"},
		{
			Name: "ticket", On: bridge.OnWebhook, Receiver: "jira", When: `body.transition.to_status == "Approved"`,
			Version: "body.issue.fields.customfield_10042", Wait: 2 * time.Hour, Promote: "production",
		},
		{
			Name: "change-approved", On: bridge.OnWebhook, Receiver: "now", Preset: "servicenow", When: "body.ok",
			Version: "has(body.version) ? body.version : body.u_version", Promote: "production",
		},
		{
			Name: "approved", On: bridge.OnWebhook, Receiver: "jira", Preset: "jira", Version: "body.issue.fields.fixVersions[0].name", Promote: "production",
			When: `(has(body.transition) && body.transition.to_status == "Approved") || ` +
				`(has(body.changelog) && body.changelog.items.exists(i, i.field == "status" && i.toString == "Approved"))`,
		},
		{
			Name: "alarm", On: bridge.OnWebhook, Receiver: "alerts", Preset: "alertmanager", When: `event.kind == "alert"`,
			Freeze: []string{"*"}, For: 2 * time.Hour,
		},
		{
			Name: "page", On: bridge.OnWebhook, Receiver: "pager", Preset: "pagerduty", Freeze: []string{"dev", "production"}, For: 24 * time.Hour,
			When: `event.kind == "alert" && event.type in ["incident.triggered", "incident.reopened"]`,
		},
		{Name: "state", On: bridge.OnGit, Repository: "https://git.example.com/shop-env", Branch: "main", Path: "environments", Signed: true},
		{Name: "other", On: bridge.OnGit, Repository: "env", Branch: "live", Path: "state", Repair: true, Poll: 10 * time.Second, Receiver: "gitea"},
		{Name: "change", On: bridge.OnEvent, Receiver: bridge.DoorAPI, Type: "dev.cdevents.change.*", Version: "event.subject", Promote: "dev"},
		{Name: "incident", On: bridge.OnEvent, Receiver: "pager", Type: "com.example.fixed", Version: "body.version", Promote: "dev"},
	}
	app := d.Application(7)
	if diff := cmp.Diff(want, app.Triggers); diff != "" {
		t.Errorf("triggers (-want +got):\n%s", diff)
	}
	if a := app.Artifacts[0]; a.Wait != 10*time.Minute || a.Poll != 30*time.Second {
		t.Errorf("artifact %+v", a)
	}
	if tr, _ := app.Trigger("by-hand"); tr.CheckInputs(map[string]any{"region": "eu", "dry-run": true}) != nil ||
		tr.CheckInputs(map[string]any{"region": "mars"}) == nil || tr.CheckInputs(map[string]any{"region": "eu", "LD_PRELOAD": "x"}) == nil {
		t.Error("the inputs' schema takes what it does not list, or does not take what it lists")
	}
}

func TestTriggerRefuses(t *testing.T) {
	line := func(name, keys string) string { return "  - {name: " + name + ", " + keys + "}" }
	for name, c := range map[string]struct{ keys, want, hint string }{
		"cron of an artifact":      {`on: artifact, cron: "* * * * *", promote: dev`, `1:29: cron belongs to on: schedule`, "another on"},
		"signed of a webhook":      {`on: webhook, signed: false, receiver: a, release: body.v, promote: dev`, `1:28: signed belongs to on: git`, ""},
		"repository of a schedule": {`on: schedule, repository: x, promote: dev`, `repository belongs to on: release or git`, ""},
		"promote of git":           {`on: git, repository: env, promote: dev`, `promote belongs to on: artifact, release, manual, schedule, webhook or event`, ""},
		"inputs of a release":      {`on: release, inputs: {properties: {a: {}}}, promote: dev`, `inputs belongs to on: manual`, ""},
		"together of a release":    {`on: release, together: tag, promote: dev`, `together belongs to on: artifact`, ""},
		"when of a schedule":       {`on: schedule, when: "true", promote: dev`, `when belongs to on: artifact, release, webhook or event`, ""},

		"both artifact keys":       {`on: artifact, artifact: web, artifacts: [web], promote: dev`, "contradict", "one of them"},
		"unknown among artifacts":  {`on: artifact, artifacts: [web, wob], promote: dev`, `1:46: there is no artifact "wob"`, "artifacts here: web, worker"},
		"artifact twice":           {`on: artifact, artifacts: [web, web], promote: dev`, `"web" stands twice`, ""},
		"together of one":          {`on: artifact, artifact: web, together: tag, promote: dev`, "nothing to match", "leave it out"},
		"no way together":          {`on: artifact, together: luck, promote: dev`, `"luck" is no way`, "tag, commit or newer"},
		"moving tag apart":         {`on: artifact, together: newer, tags: {digest: latest}, promote: dev`, "the same for all", "together: tag"},
		"two tag rules":            {`on: artifact, tags: {semver: ">1", newest: true}, promote: dev`, "one of semver, newest, lexical and digest", "keep the one"},
		"regex":                    {`on: artifact, tags: {regex: "("}, promote: dev`, `1:36: "(" is no regular expression`, "RE2"},
		"glob":                     {`on: artifact, tags: {ignore: ["["]}, promote: dev`, `"[" is no glob`, ""},
		"newest of a release":      {`on: release, tags: {newest: true}, promote: dev`, "newest belongs to on: artifact", "semver or regex"},
		"platform":                 {`on: artifact, platform: Linux, promote: dev`, `"Linux" is no platform`, "linux/amd64"},
		"CEL":                      {`on: artifact, when: evidence.tests.failed ==, promote: dev`, "1:29: ", ""},
		"CEL of no truth value":    {`on: artifact, when: "1 + 1", promote: dev`, "1:29: ", ""},
		"unknown document":         {`on: webhook, receiver: a, when: bdy.x == 1, release: body.v, promote: dev`, "1:41: ", ""},
		"evidence of a webhook":    {`on: webhook, receiver: a, when: evidence.tests.failed == 0, release: body.v, promote: dev`, "evidence", ""},
		"environment":              {`on: artifact, promote: prod`, `1:29: there is no environment "prod"`, "environments here: dev, production"},
		"what runs is no part":     {`on: artifact, artifact: web, promote: production`, `production runs "worker", which is no part`, "name worker"},
		"door of nobody":           {`on: artifact, receiver: clock, promote: dev`, "comes through clock", ""},
		"receiver's name":          {`on: artifact, receiver: A/B, promote: dev`, `"A/B" is no name`, ""},
		"wait":                     {`on: artifact, wait: 721h, promote: dev`, "721h0m0s is over 720h0m0s", ""},
		"no repository":            {`on: release, repository: "ext::sh -c id", promote: dev`, "is no repository", "https://HOST/PATH"},
		"an option as repository":  {`on: release, repository: "-u", promote: dev`, `"-u" is no repository`, ""},
		"poll too often":           {`on: release, poll: 1s, promote: dev`, "1s is under 10s", ""},
		"poll is no duration":      {`on: release, poll: often, promote: dev`, `1:34: triggers.poll is not understood: time: invalid duration "often"`, ""},
		"manual promotes nowhere":  {`on: manual`, "it names no environment", "environments here"},
		"inputs name nothing":      {`on: manual, inputs: {type: object}, promote: dev`, "the schema names no inputs", "properties"},
		"inputs no object":         {`on: manual, inputs: {type: string, properties: {a: {}}}, promote: dev`, "inputs are an object", ""},
		"inputs no schema":         {`on: manual, inputs: {properties: {a: {type: nonsense}}}, promote: dev`, "schema cannot be read", "JSON Schema"},
		"inputs from elsewhere":    {`on: manual, inputs: {properties: {a: {$ref: "https://example.com/s"}}}, promote: dev`, "outside", ""},
		"inputs of any name":       {`on: manual, inputs: {additionalProperties: true, properties: {a: {}}}, promote: dev`, "no name here", "list every input"},
		"inputs by pattern":        {`on: manual, inputs: {patternProperties: {a: {}}, properties: {a: {}}}, promote: dev`, "patternProperties does not name", ""},
		"inputs that collide":      {`on: manual, inputs: {properties: {a-b: {}, A_B: {}}}, promote: dev`, "both INPUT_A_B", "another name"},
		"input of no name":         {`on: manual, inputs: {properties: {"a b": {}}}, promote: dev`, `"a b" is no name of an input`, "letters"},
		"input twice":              {`on: manual, inputs: {properties: {a: {}, a: {}}}, promote: dev`, "1:56: ", ""},
		"inputs a list":            {`on: manual, inputs: [a], promote: dev`, "must be a mapping", ""},
		"no cron":                  {`on: schedule, from: dev, promote: production`, "has no cron", "0 2 * * 1-5"},
		"cron":                     {`on: schedule, cron: "61 * * * *", from: dev, promote: production`, "1:29: ", ""},
		"a day that never comes":   {`on: schedule, cron: "0 0 30 2 *", from: dev, promote: production`, "never comes", ""},
		"timezone":                 {`on: schedule, cron: "@daily", timezone: Mars/Base, from: dev, promote: production`, `1:45: "Mars/Base" is no time zone`, "Europe/Berlin"},
		"from nowhere":             {`on: schedule, cron: "@daily", from: lab, promote: production`, `there is no environment "lab"`, "environments here"},
		"from itself":              {`on: schedule, cron: "@daily", from: dev, promote: dev`, "hand over to itself", ""},
		"catch up":                 {`on: schedule, cron: "@daily", from: dev, catchUp: always, promote: production`, `"always" is no way`, "once or skip"},
		"webhook at no door":       {`on: webhook, release: body.v, promote: dev`, "names no receiver", "receiver: NAME"},
		"webhook names no version": {`on: webhook, receiver: a, promote: dev`, "where the event names the version", "body.version"},
		"version is no text":       {`on: webhook, receiver: a, release: "1 + 1", promote: dev`, "1:41: ", ""},
		"unknown preset":           {`on: webhook, receiver: a, preset: jirra, promote: dev`, `1:41: "jirra" is no preset`, "jira"},
		"preset of an artifact":    {`on: artifact, preset: jira, promote: dev`, "preset belongs to on: webhook", ""},
		"preset of another kind":   {`on: webhook, receiver: a, preset: pagerduty, promote: dev`, "preset pagerduty freezes", "freeze: [production]"},
		"preset that cannot":       {`on: webhook, receiver: a, preset: jira, freeze: [dev]`, "names a version and freezes nothing", "alertmanager or pagerduty"},
		"preset at no door":        {`on: webhook, preset: jira, promote: dev`, "names no receiver", ""},
		"preset promotes nowhere":  {`on: webhook, receiver: a, preset: jira`, "it names no environment", ""},
		"freeze of an event":       {`on: event, type: a, freeze: [dev], release: body.v`, "freeze belongs to on: webhook", ""},
		"freeze and promote":       {`on: webhook, receiver: a, freeze: [dev], promote: dev`, "a trigger that freezes has no promote", "two triggers"},
		"freeze and release":       {`on: webhook, receiver: a, freeze: [dev], release: body.v`, "a trigger that freezes has no release", ""},
		"freeze and wait":          {`on: webhook, receiver: a, freeze: [dev], wait: 1h`, "a trigger that freezes has no wait", ""},
		"freeze of nothing":        {`on: webhook, receiver: a, freeze: []`, "it names no environment", "environments here"},
		"freeze of no environment": {`on: webhook, receiver: a, freeze: [dev, lab]`, `1:55: there is no environment "lab"`, "environments here"},
		"freeze twice":             {`on: webhook, receiver: a, freeze: [dev, dev]`, `"dev" stands twice`, ""},
		"freeze of more than all":  {`on: webhook, receiver: a, freeze: [dev, "*"]`, "* is every environment", ""},
		"freeze for too long":      {`on: webhook, receiver: a, freeze: [dev], for: 721h`, "721h0m0s is over 720h0m0s", ""},
		"freeze for too short":     {`on: webhook, receiver: a, freeze: [dev], for: 1s`, "1s is under 1m0s", ""},
		"for without freeze":       {`on: webhook, receiver: a, for: 1h, release: body.v, promote: dev`, "for belongs to freeze", "freeze: [production]"},
		"event of no type":         {`on: event, release: body.v, promote: dev`, `"" is no type`, "dev.cdevents"},
		"star within a type":       {`on: event, type: a*b, release: body.v, promote: dev`, `"a*b" is no type`, ""},
		"git of no repository":     {`on: git`, "names no repository", ""},
		"path leads out":           {`on: git, repository: env, path: a/../../b`, "leads out", ""},
		"path from the root":       {`on: git, repository: env, path: /etc`, "leads out", ""},
		"path of an option":        {`on: git, repository: env, path: "--output=x"`, "is no folder", ""},
		"whole ref":                {`on: git, repository: env, branch: refs/heads/main`, "is a whole ref", "without refs/heads"},
		"branch of an option":      {`on: git, repository: env, branch: "--upload-pack=x"`, "is no branch", ""},
		"unknown key":              {`on: schedule, crn: "@daily", promote: dev`, `unknown key "crn"`, "did you mean cron?"},
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(twoArtifacts, "  - {name: published, on: artifact, promote: dev}", line("a", c.keys), 1)
			if src == twoArtifacts {
				t.Fatal("the row changes nothing")
			}
			_, err := cd.ParseDelivery("d.yaml", []byte(src))
			f := fault.As(err)
			if f == nil || f.File != "d.yaml" || f.Column == 0 {
				t.Fatalf("got %v, want a fault with a position", err)
			}
			// The trigger stands in line 8: a row writes it as line 1.
			got := strings.Replace(err.Error(), "d.yaml:8:", "1:", 1)
			if !strings.Contains(got, c.want) || !strings.HasPrefix(got, "1:") || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("got %q with hint %q, want %q with hint %q", got, f.Hint, c.want, c.hint)
			}
		})
	}
}

// twoArtifacts is a delivery of two artifacts, each of which one environment runs.
const twoArtifacts = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web}
  - {name: worker, image: shop/worker}
triggers:
  - {name: published, on: artifact, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [dev]
    approval: {required: 1}
    target: {process: {artifact: worker, command: [./worker]}}
`
