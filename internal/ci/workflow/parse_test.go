package workflow_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/ci/workflow"
)

// good is a workflow that uses every key there is.
func good(t testing.TB) []byte {
	t.Helper()
	src, err := os.ReadFile("testdata/good.yml")
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func parse(t *testing.T, src string) *workflow.Workflow {
	t.Helper()
	w, err := workflow.Parse("w.yml", []byte(src))
	if err != nil {
		for _, p := range workflow.Check("w.yml", []byte(src)) {
			t.Log(p)
		}
		t.Fatal(err)
	}
	return w
}

func TestParse(t *testing.T) {
	src := good(t)
	w, err := workflow.Parse(".drawbridge/workflows/good.yml", src)
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "ci" || w.File != ".drawbridge/workflows/good.yml" || w.Digest != artifact.DigestOf(src) {
		t.Errorf("head = %q %q %v", w.Name, w.File, w.Digest)
	}
	if len(w.Jobs) != 2 || w.Jobs[0].ID != "publish" || w.Jobs[1].ID != "Test" {
		t.Fatalf("jobs = %+v, want publish and Test in the order of the file", w.Jobs)
	}
	pub, test := w.Job("PUBLISH"), w.Job("test")
	if !slices.Equal(pub.Needs, []string{"Test"}) {
		t.Errorf("needs = %v, want the id as it is written", pub.Needs)
	}
	if pub.Timeout != 150*time.Second || test.Timeout != workflow.DefaultTimeout {
		t.Errorf("timeouts = %v and %v", pub.Timeout, test.Timeout)
	}
	if pub.Line != 12 || test.Steps[1].Line != 40 {
		t.Errorf("lines = %d and %d, want 12 and 40", pub.Line, test.Steps[1].Line)
	}
	s := pub.Steps[0]
	if s.Uses != workflow.Publish || s.ID != "pub" || s.With["image"].Source() != "shop/web" || s.With["env"].Source() != "A=1\n" {
		t.Errorf("publish step = %+v", s)
	}
	v := test.Steps[1]
	if v.Shell != workflow.ShellBash || v.Dir.Source() != "src" || v.Timeout != time.Minute || !v.ContinueOnError || v.Env["B"].Source() != "two" {
		t.Errorf("script step = %+v", v)
	}
	c := workflow.Context{
		Github: map[string]any{"sha": "abc", "ref": "refs/heads/main", "ref_name": "main"},
		Needs:  map[string]any{"Test": workflow.JobState{Result: workflow.Success, Outputs: map[string]string{"Version": "1.2"}}.Value()},
		Steps:  map[string]any{"pub": workflow.StepState{Outputs: map[string]string{"digest": "d"}}.Value()},
	}
	for _, row := range []struct {
		text workflow.Text
		want string
	}{
		{pub.Name, "Publish abc"},
		{w.Env["A"], "main"},
		{pub.Env["GREETING"], "hello 1.2"},
		{pub.Outputs["Digest"], "d"},
		{s.With["tags"], "1.2 latest"},
		{v.Run, "go test -json ./... > tests.json\necho abc\n"},
	} {
		got, err := row.text.Eval(c)
		if err != nil || got != row.want {
			t.Errorf("Eval(%q) = %q, %v, want %q", row.text.Source(), got, err, row.want)
		}
	}
}

func TestNameDefaultsToFile(t *testing.T) {
	w, err := workflow.Parse("a/b/unit.yml", []byte("on: push\njobs: {a: {runs-on: linux, steps: [{run: 'true'}]}}\n"))
	if err != nil || w.Name != "unit.yml" {
		t.Fatalf("Name = %v, %v, want unit.yml", w, err)
	}
	if w.Job("nope") != nil {
		t.Error("a job that is not there was found")
	}
}
