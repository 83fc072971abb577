package yamlfile_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

type span time.Duration

func (s *span) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

type root struct {
	Name  string            `json:"name"`
	Stage []stage           `json:"stages"`
	Env   map[string]string `json:"env"`
	Free  map[string]any    `json:"free"`
}

type stage struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Pause  span   `json:"pause"`
	Auto   bool   `json:"auto"`
}

func TestDecode(t *testing.T) {
	var r root
	f, err := yamlfile.Decode("x.yaml", []byte("name: shop\nstages:\n  - name: dev\n    weight: 10\n    pause: 2s\n  - {name: prod, auto: true}\nenv: {A: \"1\"}\n"), &r)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "shop" || len(r.Stage) != 2 || r.Stage[0].Weight != 10 || time.Duration(r.Stage[0].Pause) != 2*time.Second || !r.Stage[1].Auto || r.Env["A"] != "1" {
		t.Errorf("decoded %+v", r)
	}
	for path, want := range map[string]string{
		"stages[0].weight": "x.yaml:4:5: no", "stages[1]": "x.yaml:6:6: no", "stages[1].pause": "x.yaml:6:6: no", "nowhere": "x.yaml:1:1: no",
	} {
		if got := f.At(path, "no").Error(); got != want {
			t.Errorf("At(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ src, want, hint string }{
		"unknown key":  {"name: a\nstags: []\n", `x.yaml:2:1: unknown key "stags"`, `did you mean stages?`},
		"far key":      {"name: a\nzzzzzzzz: 1\n", `x.yaml:2:1: unknown key "zzzzzzzz"`, "use one of name, stages, env, free"},
		"nested key":   {"stages:\n  - nam: dev\n", `x.yaml:2:5: unknown key "nam" in stages`, `did you mean name?`},
		"not a list":   {"stages: 3\n", "x.yaml:1:9: stages must be a list", ""},
		"not a scalar": {"name: {a: b}\n", "x.yaml:1:8: name must be a single value", ""},
		"wrong type":   {"stages: [{weight: many}]\n", "x.yaml:1:19: ", ""},
		"bad duration": {"stages:\n  - pause: soon\n", `x.yaml:2:12: stages.pause is not understood: time: invalid duration "soon"`, ""},
		"free list":    {"free: [a]\n", "x.yaml:1:7: free must be a mapping", ""},
		"free twice":   {"free: {a: {b: 1, 'b': 2}}\n", "x.yaml:1:18: ", ""},
		"free depth":   {"free:\n" + deep(40), "x.yaml:34:34: the file nests deeper than 32", ""},
		"syntax":       {"name: [\n", "x.yaml:1:7: ", ""},
		"empty":        {"", "x.yaml:1:1: want one YAML document, not 0", "start with apiVersion: drawbridge/v1"},
		"two docs":     {"name: a\n---\nname: b\n", "x.yaml:1:1: want one YAML document, not 2", "start with apiVersion: drawbridge/v1"},
		"twice":        {"name: a\nname: b\n", "x.yaml:2:1: ", ""},
		"alias":        {"env: &a {x: y}\nname: z\n", "x.yaml:1:6: \"&\" is not understood here", "write it without anchors, aliases, tags and directives"},
		"deep":         {strings.Repeat("[", 100_000), "x.yaml:1:33: it is nested deeper than 32 levels", ""},
		"deep list":    {strings.Repeat("- ", 100_000), "x.yaml:1:65: it is nested deeper than 32 levels", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var r root
			_, err := yamlfile.Decode("x.yaml", []byte(c.src), &r)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if f := fault.As(err); f == nil || f.Kind != fault.Invalid || f.Hint != c.hint {
				t.Errorf("fault %+v, want hint %q", f, c.hint)
			}
		})
	}
}

// deep is a mapping in block form that nests n levels.
func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

func TestDecodeFreely(t *testing.T) {
	var r root
	f, err := yamlfile.Decode("x.yaml", []byte("free:\n  type: object\n  properties: {n: {enum: [1, x, null, 2.5]}}\n"), &r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(r.Free)
	if want := `{"properties":{"n":{"enum":[1,"x",null,2.5]}},"type":"object"}`; err != nil || string(got) != want {
		t.Errorf("decoded %s, %v, want %s", got, err, want)
	}
	if got := f.At("free.properties.n", "no").Error(); got != "x.yaml:3:16: no" {
		t.Errorf("At gives %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: shop\nstages:\n  - name: dev\n")
	f.Add("a: &a [*a]")
	f.Add("? x\n: y")
	f.Add("free: {a: [{b: .inf}], 1: x}")
	f.Fuzz(func(t *testing.T, src string) {
		var r root
		if _, err := yamlfile.Decode("x.yaml", []byte(src), &r); err != nil && fault.As(err) == nil {
			t.Errorf("no fault: %v", err)
		}
	})
}
