package bridge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

const stateHead = "apiVersion: drawbridge/v1\nkind: EnvironmentState\n"

var pinned = "sha256:" + strings.Repeat("ab", 32)

func TestParseState(t *testing.T) {
	src := "# what staging runs\n" + stateHead + "releases:\n  shop: 1.4.2 # newest\n  worker: 2.0.0@" + pinned + "\n  \"7\": '1.10'\n  date: 2026-01-01\n"
	got, err := bridge.ParseState("environments/staging.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := artifact.ParseDigest(pinned)
	if err != nil {
		t.Fatal(err)
	}
	want := bridge.State{APIVersion: "drawbridge/v1", Kind: "EnvironmentState", Releases: map[string]bridge.Wanted{
		"shop": {Version: "1.4.2"}, "worker": {Version: "2.0.0", Digest: digest}, "7": {Version: "1.10"}, "date": {Version: "2026-01-01"},
	}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(artifact.Digest{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(b), `"worker":"2.0.0@`+pinned+`"`) {
		t.Errorf("JSON %s, %v", b, err)
	}
	var back bridge.State
	if err := json.Unmarshal(b, &back); err != nil || !maps.Equal(back.Releases, got.Releases) {
		t.Errorf("read back %v, %v", back, err)
	}
	if empty, err := bridge.ParseState("x.yaml", []byte(stateHead+"releases: {}\n")); err != nil || len(empty.Releases) != 0 {
		t.Errorf("nothing wanted: %v, %v", empty, err)
	}
}

func TestParseStateRefuses(t *testing.T) {
	one := func(line string) string { return stateHead + "releases:\n  " + line + "\n" }
	many := stateHead + "releases:\n"
	for i := range bridge.MaxReleases + 1 {
		many += fmt.Sprintf("  app-%d: v1\n", i)
	}
	for name, c := range map[string]struct{ src, want, hint string }{
		"empty":          {"", "x.yaml:1:1: want one YAML document", "apiVersion"},
		"no header":      {"releases: {shop: v1}\n", `x.yaml:1:1: apiVersion is ""`, "write apiVersion: drawbridge/v1"},
		"other kind":     {"apiVersion: drawbridge/v1\nkind: Delivery\nreleases: {}\n", `x.yaml:2:1: kind is "Delivery"`, "write kind: EnvironmentState"},
		"unknown key":    {stateHead + "release: {shop: v1}\n", `x.yaml:3:1: unknown key "release"`, "did you mean releases?"},
		"no releases":    {stateHead, "x.yaml:1:1: releases is missing", "releases: {}"},
		"null releases":  {stateHead + "releases:\n", "x.yaml:3:1: releases is missing", "releases: {}"},
		"list":           {stateHead + "releases: [shop]\n", "x.yaml:3:11: releases must be a mapping", ""},
		"nested":         {one("shop: {version: v1}"), "x.yaml:4:10: releases.shop must be a single value", ""},
		"float":          {one("shop: 1.10"), "x.yaml:4:3: YAML reads the version of shop as 1.1, which is no text", "in quotes"},
		"octal":          {one("shop: 010"), "x.yaml:4:3: YAML reads the version of shop as 8", "in quotes"},
		"boolean":        {one("shop: true"), "x.yaml:4:3: YAML reads the version of shop as true", "in quotes"},
		"null":           {one("shop: null"), "x.yaml:4:3: shop has no version", "remove the line"},
		"nothing":        {one("shop:"), "x.yaml:4:3: shop has no version", "remove the line"},
		"empty version":  {one(`shop: ""`), `x.yaml:4:3: shop: "" is no version`, "VERSION@"},
		"two lines":      {one("shop: \"v1\\n\""), `x.yaml:4:3: shop: "v1\n" is no version`, "VERSION@"},
		"path":           {one("shop: ../v1"), `x.yaml:4:3: shop: "../v1" is no version`, "VERSION@"},
		"short digest":   {one("shop: v1@sha256:abcd"), `x.yaml:4:3: shop: "sha256:abcd" is no digest`, "64"},
		"empty digest":   {one("shop: v1@"), `x.yaml:4:3: shop: "" is no digest`, "64"},
		"digest alone":   {one(`shop: "@` + pinned + `"`), `x.yaml:4:3: shop: "" is no version`, "VERSION@"},
		"other hash":     {one("shop: v1@sha512:" + strings.Repeat("ab", 32)), `x.yaml:4:3: shop: "sha512:`, "64"},
		"upper-case app": {one("Shop: v1"), `x.yaml:4:3: "Shop" is no name of an application`, "lower-case"},
		"number as app":  {one("0x10: v1"), `x.yaml:3:1: "16" is no name of an application`, "in quotes"},
		"twice":          {one("shop: v1\n  shop: v2"), "x.yaml:5:3: ", ""},
		"twice, quoted":  {one("shop: v1\n  \"shop\": v2"), "x.yaml:5:3: ", ""},
		"first of two":   {one("b: v1@\n  a: v1@"), "x.yaml:4:3: b: ", "64"},
		"alias":          {one("shop: &v v1\n  b: *v"), `x.yaml:4:9: "&" is not understood here`, "anchors"},
		"merge":          {one("<<: {shop: v1}"), `x.yaml:4:3: "<<" is not understood here`, "anchors"},
		"tag":            {one("shop: !!str v1"), `x.yaml:4:9: "!!str" is not understood here`, "tags"},
		"too many":       {many, "x.yaml:3:1: 1001 releases are more than 1000", ""},
		"two documents":  {one("shop: v1") + "---\n" + one("shop: v2"), "x.yaml:1:1: want one YAML document, not 2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := bridge.ParseState("x.yaml", []byte(c.src))
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid {
				t.Fatalf("got %v, %v, want an Invalid fault", s, err)
			}
			if !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("got %q, hint %q; want %q, %q", err, f.Hint, c.want, c.hint)
			}
		})
	}
}

func TestParseStates(t *testing.T) {
	src := []byte(stateHead + "releases: {shop: v1}\n")
	got, err := bridge.ParseStates(map[string][]byte{
		"environments/dev.yaml": src, "environments/prod-eu.yml": src, "environments/README.md": []byte("# no"),
		"environments/.lint.yaml": []byte("no: state"), "environments/OWNERS": nil,
	})
	if err != nil || len(got) != 2 || got["dev"].Releases["shop"].Version != "v1" || got["prod-eu"].Kind != "EnvironmentState" {
		t.Fatalf("got %v, %v", got, err)
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"both endings":   {map[string][]byte{"e/dev.yaml": src, "e/dev.yml": src}, "e/dev.yml: environment dev is also in e/dev.yaml"},
		"upper case":     {map[string][]byte{"e/Dev.yaml": src}, `e/Dev.yaml: "Dev" is no name of an environment`},
		"empty name":     {map[string][]byte{"e/-.yaml": src}, `e/-.yaml: "-" is no name of an environment`},
		"one is broken":  {map[string][]byte{"e/a.yaml": src, "e/b.yaml": []byte("x")}, "e/b.yaml:1:1: "},
		"first by order": {map[string][]byte{"e/b.yaml": []byte("x"), "e/a.yaml": []byte("x")}, "e/a.yaml:1:1: "},
	} {
		if s, err := bridge.ParseStates(c.files); err == nil || s != nil || !strings.HasPrefix(err.Error(), c.want) || fault.As(err) == nil {
			t.Errorf("%s: got %v, %v, want %q", name, s, err, c.want)
		}
	}
	many := map[string][]byte{}
	for i := range bridge.MaxStates + 1 {
		many[fmt.Sprintf("e/env-%d.yaml", i)] = src
	}
	if _, err := bridge.ParseStates(many); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too many environments: %v", err)
	}
}

func TestChanges(t *testing.T) {
	read := func(files ...string) map[string]bridge.State {
		in := map[string][]byte{}
		for _, f := range files {
			name, releases, _ := strings.Cut(f, " ")
			in[name+".yaml"] = []byte(stateHead + "releases: " + releases + "\n")
		}
		s, err := bridge.ParseStates(in)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := read("dev {shop: v2, worker: v1, same: v1}", "gone {shop: v1}", "prod {shop: v1}")
	after := read("dev {worker: v1@"+pinned+", same: v1, web: v3}", "new {shop: v2}", "prod {shop: v2}")
	var got []string
	for _, c := range bridge.Changes(before, after) {
		got = append(got, fmt.Sprintf("%s/%s %s>%s", c.Environment, c.Application, c.Before, c.After))
		if c.After.IsZero() != (c.After.String() == "") {
			t.Errorf("%+v: a removed entry is zero", c)
		}
	}
	want := []string{"dev/shop v2>", "dev/web >v3", "dev/worker v1>v1@" + pinned, "gone/shop v1>", "new/shop >v2", "prod/shop v1>v2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if c := bridge.Changes(after, after); len(c) != 0 {
		t.Errorf("nothing changed, and yet %v", c)
	}
	if c := bridge.Changes(nil, nil); len(c) != 0 {
		t.Errorf("nothing at all, and yet %v", c)
	}
}

var wantedForm = regexp.MustCompile(bridge.WantedForm)

func TestWantedForm(t *testing.T) {
	for _, text := range []string{"", "1.10", "v1@" + pinned, "@" + pinned, "v1@", "v1@" + pinned + "0", "v1\n", "-1", strings.Repeat("a", 128), strings.Repeat("a", 129), "v1@" + strings.ToUpper(pinned)} {
		if _, err := bridge.ParseWanted(text); (err == nil) != wantedForm.MatchString(text) {
			t.Errorf("ParseWanted(%q) = %v, and the schema says otherwise", text, err)
		}
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(stateHead + "releases:\n  shop: 1.4.2\n  worker: 2.0.0@" + pinned + "\n")
	f.Add(stateHead + "releases: {1: 2, true: ~, 0x10: [a]}\n")
	f.Add(stateHead + "releases:\n  ? a\n  : b\n")
	f.Add("releases: *a")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := bridge.ParseState("x.yaml", []byte(src))
		if err != nil {
			if fault.As(err) == nil {
				t.Errorf("no fault: %v", err)
			}
			return
		}
		for app, w := range s.Releases {
			if !wantedForm.MatchString(w.String()) {
				t.Errorf("%s: the schema refuses %s", app, w)
			}
			back, err := bridge.ParseWanted(w.String())
			if err != nil || back != w || app == "" || w.IsZero() {
				t.Errorf("%s: %v is read back as %v, %v", app, w, back, err)
			}
		}
	})
}
