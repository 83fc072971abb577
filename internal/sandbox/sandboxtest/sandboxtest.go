// Package sandboxtest is the conformance suite of ci.Executor: every executor passes it. It
// tests what an executor promises a run, not how well it locks a job in.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/ci"
)

// patience bounds what is waited for; nothing takes as long unless it hangs.
const patience = 60 * time.Second

// Run runs the suite. open gives a new executor, or ends the test where there can be none; each test
// calls it once. Jobs need sh, cat, seq, mkdir, sleep and kill.
func Run(t *testing.T, open func(t *testing.T) ci.Executor) {
	tests := map[string]func(*testing.T, ci.Executor){
		"exit codes":             exitCodes,
		"environment":            environment,
		"working directory":      workingDirectory,
		"output":                 output,
		"one stream":             oneStream,
		"bad writer":             badWriter,
		"timeout":                timeout,
		"cancel":                 cancel,
		"grace":                  grace,
		"background process":     background,
		"put and get":            putAndGet,
		"put refuses":            putRefuses,
		"get refuses":            getRefuses,
		"get freezes":            getFreezes,
		"get stopped early":      getStoppedEarly,
		"open twice":             openTwice,
		"two jobs":               twoJobs,
		"close while it runs":    closeWhileRunning,
		"use after close":        useAfterClose,
		"reattach":               reattach,
		"sweep":                  sweep,
		"cache lasts":            cacheLasts,
		"private cache does not": privateCache,
		"facts":                  facts,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Output collects what a step writes. It is safe for concurrent use, and Wait sees lines as they come.
type Output struct {
	mu     sync.Mutex
	out    bytes.Buffer
	change chan struct{}
}

// Write implements io.Writer; it never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Write(p)
	if o.change != nil {
		close(o.change)
		o.change = nil
	}
	return len(p), nil
}

// Out is what was written until now.
func (o *Output) Out() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.String()
}

// Wait waits until the output holds text; it reports whether it does before ctx ends.
func (o *Output) Wait(ctx context.Context, text string) bool {
	for {
		o.mu.Lock()
		found := strings.Contains(o.out.String(), text)
		if o.change == nil {
			o.change = make(chan struct{})
		}
		change := o.change
		o.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}

// Open opens a job and closes it when the test ends.
func Open(t *testing.T, x ci.Executor, spec ci.JobSpec) ci.Job {
	t.Helper()
	j, err := x.Open(t.Context(), spec)
	if err != nil {
		t.Fatalf("Open(%q): %v", spec.ID, err)
	}
	t.Cleanup(func() {
		if err := j.Close(context.Background()); err != nil {
			t.Errorf("Close(%q): %v", spec.ID, err)
		}
	})
	return j
}

// Shell runs a script in sh and gives its exit and its output.
func Shell(t *testing.T, j ci.Job, script string) (ci.Exit, *Output) {
	t.Helper()
	out := &Output{}
	exit, err := j.Run(t.Context(), ci.StepSpec{Command: []string{"sh", "-c", script}}, out)
	if err != nil {
		t.Fatalf("Run(%q): %v", script, err)
	}
	return exit, out
}

func exitCodes(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "exit"})
	for name, c := range map[string]struct {
		command []string
		code    int
		signal  string
	}{
		"success":   {[]string{"true"}, 0, ""},
		"failure":   {[]string{"sh", "-c", "exit 7"}, 7, ""},
		"signal":    {[]string{"sh", "-c", "kill -9 $$"}, -1, "SIGKILL"},
		"not there": {[]string{"no-such-program"}, 127, ""},
		"no path":   {[]string{"./no-such-program"}, 127, ""},
		"directory": {[]string{"/usr"}, 126, ""},
	} {
		out := &Output{}
		exit, err := j.Run(t.Context(), ci.StepSpec{Command: c.command}, out)
		if err != nil || exit.Code != c.code || exit.Signal != c.signal || exit.TimedOut || exit.OOM {
			t.Errorf("%s: Run(%q) = %+v, %v, want code %d, signal %q", name, c.command, exit, err, c.code, c.signal)
		}
		if exit.Code > 100 && strings.Count(out.Out(), "\n") != 1 {
			t.Errorf("%s: the output is %q, want one line that says why", name, out.Out())
		}
	}
	if _, err := j.Run(t.Context(), ci.StepSpec{}, &Output{}); err == nil {
		t.Error("Run without a command gave no error")
	}
}

func environment(t *testing.T, x ci.Executor) {
	t.Setenv("DRAWBRIDGE_TEST_SECRET", "of the server")
	j := Open(t, x, ci.JobSpec{ID: "env", Env: map[string]string{"A": "job", "B": "job"}})
	out := &Output{}
	step := ci.StepSpec{Command: []string{"sh", "-c", `echo "$A,$B,${DRAWBRIDGE_TEST_SECRET-none}"; test -n "$PATH"`}, Env: map[string]string{"B": "step x=y"}}
	exit, err := j.Run(t.Context(), step, out)
	if want := "job,step x=y,none\n"; err != nil || exit.Code != 0 || out.Out() != want {
		t.Errorf("Run = %+v, %v with output %q, want %q", exit, err, out.Out(), want)
	}
	step.Env = map[string]string{"A=B": "x"}
	if _, err := j.Run(t.Context(), step, out); err == nil {
		t.Error("Run took an environment variable with = in its name")
	}
}

func workingDirectory(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "dir"})
	Shell(t, j, "mkdir -p a/b && echo found > a/b/here")
	out := &Output{}
	exit, err := j.Run(t.Context(), ci.StepSpec{Command: []string{"cat", "here"}, Dir: "a/b"}, out)
	if err != nil || exit.Code != 0 || out.Out() != "found\n" {
		t.Errorf("Run in a/b = %+v, %v with output %q", exit, err, out.Out())
	}
	for _, dir := range []string{"missing", "..", "/etc", "a/../.."} {
		if exit, err := j.Run(t.Context(), ci.StepSpec{Command: []string{"true"}, Dir: dir}, &Output{}); err == nil {
			t.Errorf("Run in %q = %+v, want an error", dir, exit)
		}
	}
}

func output(t *testing.T, x ci.Executor) {
	const lines = 50_000
	j := Open(t, x, ci.JobSpec{ID: "output"})
	exit, out := Shell(t, j, fmt.Sprintf("seq 1 %d; seq %d %d >&2", lines, lines+1, 2*lines))
	if exit.Code != 0 {
		t.Fatalf("Run = %+v", exit)
	}
	if want := numbers(2 * lines); out.Out() != want {
		t.Errorf("the output has %d bytes, want %d, in order", len(out.Out()), len(want))
	}
}

// Two streams that are read apart would lose the order between them.
func oneStream(t *testing.T, x ci.Executor) {
	const lines = 2000
	j := Open(t, x, ci.JobSpec{ID: "stream"})
	exit, out := Shell(t, j, fmt.Sprintf("for i in $(seq 1 2 %d); do echo $i; echo $((i+1)) >&2; done", lines))
	if want := numbers(lines); exit.Code != 0 || out.Out() != want {
		t.Errorf("Run = %+v, the output has %d bytes, want %d, in the order in which they were written", exit, len(out.Out()), len(want))
	}
}

// A writer that takes nothing neither stops the step nor fails it.
func badWriter(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "bad"})
	step := ci.StepSpec{Command: []string{"sh", "-c", "seq 1 50000; exit 3"}}
	if exit, err := j.Run(t.Context(), step, broken{}); err != nil || exit.Code != 3 {
		t.Errorf("Run = %+v, %v, want the step's own code", exit, err)
	}
}

// broken is a writer that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("it takes nothing") }

// numbers are the lines 1 to n.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

func timeout(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "timeout"})
	step := ci.StepSpec{Command: []string{"sh", "-c", "sleep 1000 & sleep 1000"}, Timeout: 50 * time.Millisecond}
	exit, err := j.Run(t.Context(), step, &Output{})
	if err != nil || !exit.TimedOut || exit.Signal != "SIGTERM" {
		t.Errorf("Run = %+v, %v, want a timeout by SIGTERM", exit, err)
	}
	if exit, _ := Shell(t, j, "exit 0"); exit.Code != 0 || exit.TimedOut {
		t.Errorf("the step after a timeout gave %+v", exit)
	}
}

func cancel(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "cancel"})
	ctx, stop := context.WithCancel(t.Context())
	out := &Output{}
	go func() {
		out.Wait(t.Context(), "ready")
		stop()
	}()
	step := ci.StepSpec{Command: []string{"sh", "-c", `trap 'echo told; exit 3' TERM; echo ready; sleep 1000 & wait`}, Grace: patience}
	exit, err := j.Run(ctx, step, out)
	if err != nil || exit.Code != 3 || exit.TimedOut || !strings.Contains(out.Out(), "told") {
		t.Errorf("Run = %+v, %v with output %q, want the code of the TERM trap", exit, err, out.Out())
	}
	if exit, err := j.Run(ctx, step, out); err == nil {
		t.Errorf("Run with an ended context = %+v, want an error", exit)
	}
}

func grace(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "grace"})
	step := ci.StepSpec{
		// Parent, child and a grandchild in a session of its own ignore TERM.
		Command: []string{"sh", "-c", `trap '' TERM; setsid sh -c 'while :; do sleep 1000; done' & while :; do sleep 1000; done`},
		Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond,
	}
	exit, err := j.Run(t.Context(), step, &Output{})
	if err != nil || !exit.TimedOut || exit.Signal != "SIGKILL" {
		t.Errorf("Run = %+v, %v, want a timeout by SIGKILL", exit, err)
	}
	if _, out := Shell(t, j, "cat /proc/[0-9]*/comm | grep -c sleep"); out.Out() != "0\n" {
		t.Errorf("%s processes are left of the step's tree", strings.TrimSpace(out.Out()))
	}
}

func background(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "background"})
	Shell(t, j, "(while :; do echo noise; echo alive > beat; sleep 0.01; done) & echo $! > pid")
	if exit, out := Shell(t, j, "rm -f beat; while ! test -s beat; do sleep 0.01; done; kill -0 $(cat pid)"); exit.Code != 0 {
		t.Errorf("the background process of the step before is gone: %+v, %q", exit, out.Out())
	}
	step := ci.StepSpec{Command: []string{"sleep", "1000"}, Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond}
	if exit, err := j.Run(t.Context(), step, &Output{}); err != nil || !exit.TimedOut {
		t.Errorf("Run = %+v, %v, want a timeout", exit, err)
	}
	if exit, _ := Shell(t, j, "kill -0 $(cat pid)"); exit.Code != 0 {
		t.Error("the background process of another step ended with the step that timed out")
	}
}

func openTwice(t *testing.T, x ci.Executor) {
	a := Open(t, x, ci.JobSpec{ID: "twice"})
	Shell(t, a, "echo mine > file")
	b := Open(t, x, ci.JobSpec{ID: "twice"})
	if exit, out := Shell(t, b, "cat file"); exit.Code != 0 || out.Out() != "mine\n" {
		t.Errorf("a second Open gave another place: %+v, %q", exit, out.Out())
	}
}

func twoJobs(t *testing.T, x ci.Executor) {
	ctx, tell := context.WithCancel(t.Context())
	defer tell()
	var both sync.WaitGroup
	outs := []*Output{{}, {}}
	jobs := []ci.Job{Open(t, x, ci.JobSpec{ID: "a"}), Open(t, x, ci.JobSpec{ID: "b"})}
	for i, j := range jobs {
		script := fmt.Sprintf("trap 'cat file /tmp/file; exit 0' TERM; echo %d > file; echo %d > /tmp/file; echo ready; sleep 1000 & wait", i, i)
		both.Go(func() {
			exit, err := j.Run(ctx, ci.StepSpec{Command: []string{"sh", "-c", script}, Grace: patience}, outs[i])
			if err != nil || exit.Code != 0 {
				t.Errorf("job %d: %+v, %v", i, exit, err)
			}
		})
	}
	for _, o := range outs {
		o.Wait(t.Context(), "ready") // neither ends before it is told: they run at once
	}
	late, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := jobs[0].PutFile(late, "x", Tar(t, File{Name: "f"})); err == nil {
		t.Error("PutFile did not wait for the step that runs")
	}
	tell()
	both.Wait()
	for i, o := range outs {
		if want := fmt.Sprintf("ready\n%d\n%d\n", i, i); o.Out() != want {
			t.Errorf("job %d wrote %q, want %q", i, o.Out(), want)
		}
	}
}

func closeWhileRunning(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "close"})
	out := &Output{}
	ended := make(chan error, 1)
	go func() {
		_, err := j.Run(t.Context(), ci.StepSpec{Command: []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"}}, out)
		ended <- err
	}()
	out.Wait(t.Context(), "ready")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := j.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	both.Wait()
	if err := <-ended; !errors.Is(err, ci.ErrGone) {
		t.Errorf("Run of a job that was closed gave %v, want ErrGone", err)
	}
}

func useAfterClose(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "after"})
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context(), ci.StepSpec{Command: []string{"true"}}, &Output{}); !errors.Is(err, ci.ErrGone) {
		t.Errorf("Run: %v, want ErrGone", err)
	}
	if err := j.PutFile(t.Context(), ".", strings.NewReader("")); !errors.Is(err, ci.ErrGone) {
		t.Errorf("PutFile: %v, want ErrGone", err)
	}
	if _, err := j.GetFile(t.Context(), "."); !errors.Is(err, ci.ErrGone) {
		t.Errorf("GetFile: %v, want ErrGone", err)
	}
	if exit, _ := Shell(t, Open(t, x, ci.JobSpec{ID: "after"}), `test -z "$(ls -A)"`); exit.Code != 0 {
		t.Error("a job of the same id does not begin with an empty workspace")
	}
}

func reattach(t *testing.T, x ci.Executor) {
	if _, err := x.Reattach(t.Context(), "never"); !errors.Is(err, ci.ErrGone) {
		t.Errorf("Reattach of a job that never was: %v, want ErrGone", err)
	}
	j := Open(t, x, ci.JobSpec{ID: "here"})
	if again, err := x.Reattach(t.Context(), "here"); err != nil || again != j {
		t.Errorf("Reattach of an open job = %v, %v, want the job", again, err)
	}
}

func sweep(t *testing.T, x ci.Executor) {
	live, dead := Open(t, x, ci.JobSpec{ID: "live"}), Open(t, x, ci.JobSpec{ID: "dead"})
	if err := x.Sweep(t.Context(), func(id string) bool { return id == "live" }); err != nil {
		t.Fatal(err)
	}
	if exit, _ := Shell(t, live, "exit 0"); exit.Code != 0 {
		t.Errorf("a live job gave %+v after Sweep", exit)
	}
	if _, err := dead.Run(t.Context(), ci.StepSpec{Command: []string{"true"}}, &Output{}); !errors.Is(err, ci.ErrGone) {
		t.Errorf("a job that nobody owns gave %v after Sweep, want ErrGone", err)
	}
}

func cacheLasts(t *testing.T, x ci.Executor) {
	a := Open(t, x, ci.JobSpec{ID: "a", Cache: "shop"})
	if exit, out := Shell(t, a, "umask 077; mkdir /cache/d && echo kept > /cache/d/f"); exit.Code != 0 {
		t.Fatalf("writing to the cache: %+v, %s", exit, out.Out())
	}
	other := Open(t, x, ci.JobSpec{ID: "other", Cache: "blog"})
	if exit, _ := Shell(t, other, "test -e /cache/d"); exit.Code == 0 {
		t.Error("a job sees the cache of another key")
	}
	meanwhile := Open(t, x, ci.JobSpec{ID: "meanwhile", Cache: "shop"})
	if exit, out := Shell(t, meanwhile, "echo more >> /cache/d/f"); exit.Code != 0 {
		t.Errorf("a second job with the cache cannot write to it: %s", out.Out())
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := Open(t, x, ci.JobSpec{ID: "b", Cache: "shop"})
	if exit, out := Shell(t, b, "cat /cache/d/f; rm -r /cache/d"); exit.Code != 0 || out.Out() != "kept\nmore\n" {
		t.Errorf("a later job sees %q in its cache (%+v)", out.Out(), exit)
	}
}

func privateCache(t *testing.T, x ci.Executor) {
	a := Open(t, x, ci.JobSpec{ID: "a"})
	Shell(t, a, "echo mine > /cache/f")
	if exit, _ := Shell(t, Open(t, x, ci.JobSpec{ID: "b"}), "test -e /cache/f"); exit.Code == 0 {
		t.Error("a job sees the private cache of another")
	}
}

func facts(t *testing.T, x ci.Executor) {
	f, err := x.Facts(t.Context())
	if err != nil || f.Name == "" || !strings.Contains(f.Platform, "/") || f.Isolation == "" {
		t.Errorf("Facts = %+v, %v", f, err)
	}
}
