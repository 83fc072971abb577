package ci_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		steps  string
		state  ci.RunState
		reason string
		log    []string
	}{
		"a script":      {"- run: echo hello", ci.RunSucceeded, "", []string{"Z hello\n"}},
		"an exit code":  {"- run: exit 3\n- run: echo never", ci.RunFailed, "step 1 (Run exit 3): exit code 3", nil},
		"bash -e":       {"- run: |\n    false\n    echo never", ci.RunFailed, "exit code 1", nil},
		"pipefail":      {"- run: false | true\n  shell: bash", ci.RunFailed, "exit code 1", nil},
		"a timeout":     {"- run: sleep 100\n  timeout-minutes: 0.005", ci.RunFailed, "timed out after", nil},
		"a checkout":    {"- uses: actions/checkout@v4\n- run: cat hello.txt", ci.RunSucceeded, "", []string{"Z world\n"}},
		"outputs":       {"- id: a\n  run: echo v=1.2 >> $GITHUB_OUTPUT\n- run: echo got ${{ steps.a.outputs.v }}", ci.RunSucceeded, "", []string{"got 1.2"}},
		"heredoc":       {"- id: a\n  run: printf 'v<<E\\na\\nb\\nE\\n' >> $GITHUB_OUTPUT\n- run: echo \"${{ steps.a.outputs.v }}\"", ci.RunSucceeded, "", []string{"Z a\n", "Z b\n"}},
		"a bad output":  {"- run: echo nonsense >> $GITHUB_OUTPUT", ci.RunFailed, "GITHUB_OUTPUT:1", nil},
		"environment":   {"- run: echo A=b >> $GITHUB_ENV\n- run: echo \"$A ${{ env.A }}\"", ci.RunSucceeded, "", []string{"b b"}},
		"server's env":  {"- run: echo GITHUB_SHA=x >> $GITHUB_ENV", ci.RunFailed, "set by the server", nil},
		"path":          {"- run: |\n    mkdir bin; printf '#!/bin/sh\\necho tool' > bin/tool; chmod +x bin/tool; echo $PWD/bin >> $GITHUB_PATH\n- run: tool", ci.RunSucceeded, "", []string{"Z tool\n"}},
		"context":       {"- run: echo $GITHUB_SHA ${{ github.ref_name }} $GITHUB_REPOSITORY $CI $GITHUB_ACTOR", ci.RunSucceeded, "", []string{commitA + " main shop true alice"}},
		"if false":      {"- run: exit 1\n  if: github.ref == 'x'", ci.RunSucceeded, "", nil},
		"always":        {"- run: exit 1\n- run: echo cleaned\n  if: always()", ci.RunFailed, "exit code 1", []string{"cleaned"}},
		"may fail":      {"- id: a\n  run: exit 1\n  continue-on-error: true\n- run: echo ${{ steps.a.outcome }} ${{ steps.a.conclusion }}", ci.RunSucceeded, "", []string{"failure success"}},
		"a summary":     {"- run: echo '# hi' >> $GITHUB_STEP_SUMMARY", ci.RunSucceeded, "", nil},
		"files gone":    {"- run: rm -r $(dirname $GITHUB_OUTPUT)", ci.RunSucceeded, "", nil},
		"no env leaks":  {"- run: env | grep -c ^HOME=; test -z \"$DRAWBRIDGE_SECRET\"", ci.RunSucceeded, "", nil},
		"a directory":   {"- run: mkdir sub\n- run: pwd\n  working-directory: sub", ci.RunSucceeded, "", []string{"/sub\n"}},
		"step env":      {"- run: echo $A\n  env: {A: '${{ github.ref }}'}\n- run: echo .$A.", ci.RunSucceeded, "", []string{"refs/heads/main", ".."}},
		"a signal":      {"- run: kill -9 $$", ci.RunFailed, "ended by", nil},
		"a missing dir": {"- run: pwd\n  working-directory: nowhere", ci.RunFailed, "internal error", nil},
		"commands":      {"- run: echo '::error file=a.go,line=3::broken'; echo '::group::G'", ci.RunSucceeded, "", []string{"##[error]a.go:3: broken", "##[group]G"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := oneJob(tt.steps)
			files["hello.txt"] = "world\n"
			w := newWorld(t, files)
			w.push(t, "shop", mainRef)
			w.wantRun(t, 1, tt.state, tt.reason)
			w.wantLog(t, 1, tt.log...)
			if left := w.executor.Left(); len(left) > 0 {
				t.Errorf("jobs were left open: %v", left)
			}
		})
	}
}

const threeJobs = `name: ci
on: push
jobs:
  build:
    runs-on: linux
    outputs: {v: '${{ steps.a.outputs.v }}'}
    steps: [{id: a, run: 'echo v=7 >> $GITHUB_OUTPUT'}]
  test:
    needs: build
    runs-on: linux
    steps: [{run: 'echo got ${{ needs.build.outputs.v }}; exit %EXIT%'}]
  after:
    needs: test
    runs-on: linux
    steps: [{run: 'true'}]
`

func TestJobs(t *testing.T) {
	t.Parallel()
	for exit, tt := range map[string]struct {
		run   ci.RunState
		after ci.JobState
	}{"0": {ci.RunSucceeded, ci.JobSucceeded}, "1": {ci.RunFailed, ci.JobSkipped}} {
		w := newWorld(t, map[string]string{ciFile: strings.ReplaceAll(threeJobs, "%EXIT%", exit)})
		w.push(t, "shop", mainRef)
		w.wantRun(t, 1, tt.run, "")
		w.wantLog(t, 2, "got 7")
		jobs, err := w.store.Jobs(t.Context(), 1)
		if err != nil || jobs[2].State != tt.after {
			t.Errorf("exit %s: the last job is %s, %v, want %s", exit, jobs[2].State, err, tt.after)
		}
	}
}

// The server dies while a job runs: the same task comes again.
func TestRestartIsTheNextAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: test ! -e left && touch left && echo ran"))
	dead, die := context.WithCancel(t.Context())
	w.executor.OnOpen = func(ci.JobSpec) error { w.executor.OnOpen = nil; die(); return nil }
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Work(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.store.TakeTask() // posts the event of the push
	w.store.TakeTask() // of the run
	task, _ := w.store.TakeTask()
	if err := w.WorkJob(dead, task.ID, task.Version); !errors.Is(err, context.Canceled) {
		t.Fatalf("WorkJob when the server stops = %v, want canceled", err)
	}
	if j, err := w.store.Job(t.Context(), 1); err != nil || j.State != ci.JobRunning {
		t.Fatalf("the job is %s, %v, want running", j.State, err)
	}
	for range 2 {
		w.store.PutTask(task)
	}
	w.drain(t)
	w.wantRun(t, 1, ci.RunSucceeded, "")
	w.wantLog(t, 1, "attempt 1", "attempt 2", "Z ran\n")
	if r := w.run(t, 1); r.Attempt != 2 {
		t.Errorf("attempt = %d, want 2", r.Attempt)
	}
	specs := w.executor.Specs()
	if len(specs) != 2 || specs[0].ID == specs[1].ID {
		t.Errorf("the job was opened as %+v, want twice with two ids", specs)
	}
}

func TestStaleJobTaskDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: true"))
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	if err := w.WorkJob(t.Context(), 1, 99); err != nil || len(w.executor.Specs()) != 0 {
		t.Errorf("a task of another version: %v, %d jobs opened, want none", err, len(w.executor.Specs()))
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: true"))
	w.executor.OnOpen = func(ci.JobSpec) error {
		return fault.New(fault.Unavailable, "user namespaces are forbidden").WithHint("allow them")
	}
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunFailed, "user namespaces are forbidden; allow them")
}

func TestCacheIsForProtectedRefs(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{mainRef: "shop", "refs/heads/feature": ""} {
		w := newWorld(t, oneJob("- run: true"))
		w.push(t, "shop", ref)
		if got := w.executor.Specs()[0].Cache; got != want {
			t.Errorf("%s: cache %q, want %q", ref, got, want)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: echo started; sleep 1000"))
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Work(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.WorkJob(t.Context(), 1, 2) }()
	var offset int64
	for !strings.Contains(w.logs.Text(1), "Z started\n") {
		if err := w.logs.Wait(t.Context(), 1, offset); err != nil {
			t.Fatal(err)
		}
		offset = int64(len(w.logs.Text(1)))
	}
	if err := w.Cancel(t.Context(), 1, "bob"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	w.wantRun(t, 1, ci.RunCancelled, "cancelled by bob")
	if j, err := w.store.Job(t.Context(), 1); err != nil || j.State != ci.JobCancelled {
		t.Errorf("the job is %s, %v, want cancelled", j.State, err)
	}
	wantKind(t, "Cancel again", w.Cancel(t.Context(), 1, "bob"), fault.Conflict)
}
