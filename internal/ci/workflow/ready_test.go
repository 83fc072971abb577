package workflow_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"drawbridge/internal/ci/workflow"
)

// states reads "a=success b=running".
func states(s string) map[string]workflow.JobState {
	m := map[string]workflow.JobState{}
	for f := range strings.FieldsSeq(s) {
		id, result, _ := strings.Cut(f, "=")
		if result == "running" {
			m[id] = workflow.JobState{Started: true}
		} else {
			m[id] = workflow.JobState{Started: result != "skipped", Result: workflow.Result(result), Outputs: map[string]string{"v": "1"}}
		}
	}
	return m
}

func TestReady(t *testing.T) {
	diamond := []string{"a:", "b: a", "c: a", "d: b c"}
	for name, row := range map[string]struct {
		jobs        []string
		state       string
		cancelled   bool
		start, skip string
	}{
		"roots":                       {jobs: []string{"a:", "b:", "c: a"}, start: "a b"},
		"order of the file":           {jobs: []string{"z:", "b:", "a:"}, start: "z b a"},
		"nothing twice":               {jobs: diamond, state: "a=running"},
		"after the root":              {jobs: diamond, state: "a=success", start: "b c"},
		"no stages":                   {jobs: []string{"a:", "b:", "c: a"}, state: "a=success b=running", start: "c"},
		"join waits":                  {jobs: diamond, state: "a=success b=success c=running"},
		"join":                        {jobs: diamond, state: "a=success b=success c=success", start: "d"},
		"failure skips all below":     {jobs: diamond, state: "a=failure", skip: "b c d"},
		"failure waits for the other": {jobs: diamond, state: "a=success b=failure c=running"},
		"failure skips the join":      {jobs: diamond, state: "a=success b=failure c=success", skip: "d"},
		"skipped skips":               {jobs: []string{"a:", "b: a"}, state: "a=skipped", skip: "b"},
		"if false":                    {jobs: []string{"a: | false", "b: a", "c:"}, start: "c", skip: "a b"},
		"always after failure":        {jobs: []string{"a:", "b: a | always()"}, state: "a=failure", start: "b"},
		"always after skip":           {jobs: []string{"a: | false", "b: a | always()"}, start: "b", skip: "a"},
		"failure()":                   {jobs: []string{"a:", "b: a | failure()"}, state: "a=failure", start: "b"},
		"failure() of an ancestor":    {jobs: []string{"a:", "b: a", "c: b | failure()"}, state: "a=failure", skip: "b", start: "c"},
		"failure() unused":            {jobs: []string{"a:", "b: a | failure()"}, state: "a=success", skip: "b"},
		"not below a failure":         {jobs: []string{"a:", "b: a | always()", "c: b"}, state: "a=failure b=success", skip: "c"},
		"always below a failure":      {jobs: []string{"a:", "b: a | always()", "c: b | needs.b.result == 'success' && always()"}, state: "a=failure b=success", start: "c"},
		"result of needs":             {jobs: []string{"a:", "b: a | always() && needs.a.result == 'failure'"}, state: "a=failure", start: "b"},
		"output of needs":             {jobs: []string{"a:", "b: a | needs.a.outputs.v == 1"}, state: "a=success", start: "b"},
		"ref":                         {jobs: []string{"a: | github.ref == 'refs/heads/main'", "b: | github.ref != 'refs/heads/main'"}, start: "a", skip: "b"},
		"cancelled run":               {jobs: []string{"a:", "b: | always()", "c: | cancelled()", "d: | success()"}, cancelled: true, start: "b c", skip: "a d"},
		"cancelled job":               {jobs: []string{"a:", "b: a"}, state: "a=cancelled", skip: "b"},
		"all ended":                   {jobs: diamond, state: "a=success b=success c=success d=success"},
	} {
		t.Run(name, func(t *testing.T) {
			w := graph(t, row.jobs...)
			d := w.Ready(workflow.RunState{Jobs: states(row.state), Cancelled: row.cancelled, Github: map[string]any{"ref": "refs/heads/main"}})
			if got := strings.Join(d.Start, " "); got != row.start {
				t.Errorf("start %q, want %q", got, row.start)
			}
			if got := strings.Join(d.Skip, " "); got != row.skip {
				t.Errorf("skip %q, want %q", got, row.skip)
			}
			if d.Fail != nil {
				t.Errorf("fail %v", d.Fail)
			}
		})
	}
}

// graph makes a workflow from lines "id: needs | if". Each job has the output v.
func graph(t *testing.T, lines ...string) *workflow.Workflow {
	t.Helper()
	var b strings.Builder
	b.WriteString("on: push\njobs:\n")
	for _, l := range lines {
		id, rest, _ := strings.Cut(l, ":")
		needs, cond, _ := strings.Cut(rest, "|")
		fmt.Fprintf(&b, "  %s:\n    runs-on: linux\n    outputs: {v: '1'}\n    steps: [{run: 'true'}]\n", id)
		if f := strings.Fields(needs); len(f) > 0 {
			fmt.Fprintf(&b, "    needs: [%s]\n", strings.Join(f, ", "))
		}
		if cond = strings.TrimSpace(cond); cond != "" {
			fmt.Fprintf(&b, "    if: \"%s\"\n", cond)
		}
	}
	return parse(t, b.String())
}

// A condition that cannot be evaluated fails its job, and what follows is skipped.
func TestReadyFails(t *testing.T) {
	w := graph(t, "a: | fromJSON(github.ref)", "b: a", "c: a | always()")
	d := w.Ready(workflow.RunState{})
	if len(d.Fail) != 1 || d.Fail[0].Job != "a" || !strings.Contains(d.Fail[0].Err.Error(), "w.yml:7:9") {
		t.Errorf("fail = %v, want a with its place", d.Fail)
	}
	if !slices.Equal(d.Skip, []string{"b"}) || !slices.Equal(d.Start, []string{"c"}) {
		t.Errorf("skip %v, start %v", d.Skip, d.Start)
	}
}

// Whatever the graph and the order of endings: every job is decided exactly once, after all
// that it needs has ended, and an unconditional job runs exactly if all before it succeeded.
func TestReadyLaws(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var lines []string
		n := 1 + r.IntN(8)
		for i := range n {
			l := fmt.Sprintf("j%d:", i)
			for k := range i {
				if r.IntN(3) == 0 {
					l += fmt.Sprintf(" j%d", k)
				}
			}
			lines = append(lines, l)
		}
		r.Shuffle(n, func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
		walk(t, graph(t, lines...), r, seed)
	}
}

func walk(t *testing.T, w *workflow.Workflow, r *rand.Rand, seed uint64) {
	t.Helper()
	state := map[string]workflow.JobState{}
	var running []string
	for {
		d := w.Ready(workflow.RunState{Jobs: state})
		for _, id := range append(slices.Clone(d.Start), d.Skip...) {
			if s := state[id]; s.Started || s.Result != workflow.Unfinished {
				t.Fatalf("seed %d: %s is decided twice", seed, id)
			}
			for _, need := range w.Job(id).Needs {
				if state[need].Result == workflow.Unfinished && !slices.Contains(d.Skip, need) {
					t.Fatalf("seed %d: %s is decided before %s has ended", seed, id, need)
				}
				if state[need].Result != workflow.Success && slices.Contains(d.Start, id) {
					t.Fatalf("seed %d: %s starts after %s: %v", seed, id, need, state[need].Result)
				}
			}
		}
		for _, id := range d.Start {
			state[id] = workflow.JobState{Started: true}
			running = append(running, id)
		}
		for _, id := range d.Skip {
			state[id] = workflow.JobState{Result: workflow.Skipped}
		}
		if len(running) == 0 {
			break
		}
		i := r.IntN(len(running))
		id := running[i]
		running = slices.Delete(running, i, i+1)
		state[id] = workflow.JobState{Started: true, Result: []workflow.Result{workflow.Success, workflow.Success, workflow.Failure}[r.IntN(3)]}
	}
	for _, j := range w.Jobs {
		if state[j.ID].Result == workflow.Unfinished {
			t.Fatalf("seed %d: %s is never decided", seed, j.ID)
		}
	}
}
