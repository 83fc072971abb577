package ci_test

import (
	"context"
	"crypto/ecdsa"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/attest"
	"drawbridge/internal/ci"
	"drawbridge/internal/ci/citest"
	"drawbridge/internal/fault"
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// world is a CI plane with everything around it in memory.
type world struct {
	*ci.Service
	store    *citest.Memory
	source   *citest.Source
	executor *citest.Executor
	registry *citest.Registry
	poster   *citest.Poster
	logs     *citest.Logs
	key      *ecdsa.PrivateKey
}

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// newWorld has a repository shop with one commit, whose tree is files, and change applied
// to its configuration.
func newWorld(t *testing.T, files map[string]string, change ...func(*ci.Config)) *world {
	t.Helper()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		store: &citest.Memory{}, executor: citest.NewExecutor(t), registry: citest.NewRegistry(), poster: &citest.Poster{},
		logs: citest.NewLogs(), key: key,
		source: &citest.Source{At: now.Add(-time.Hour), Repositories: map[string]map[string]map[string]string{}},
	}
	cfg := ci.Config{
		Store: w.store, Source: w.source, Executor: w.executor, Publisher: w.registry, Resolver: w.registry, Poster: w.poster, Logs: w.logs,
		Key: key, Now: func() time.Time { return now }, Random: rand.NewChaCha8([32]byte{}),
		Builder: "https://ci.example.com", URL: "https://ci.example.com", Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	if w.Service, err = ci.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.repository(t, "shop", files)
	return w
}

func (w *world) repository(t *testing.T, name string, files map[string]string) {
	t.Helper()
	if _, err := w.CreateRepository(t.Context(), name, "ops"); err != nil {
		t.Fatal(err)
	}
	w.source.Repositories[name] = map[string]map[string]string{commitA: files, commitB: files}
}

const ciFile = ".drawbridge/workflows/ci.yaml"

// oneJob is a tree whose workflow has one job of these steps.
func oneJob(steps string) map[string]string {
	return map[string]string{ciFile: "name: ci\non: push\njobs:\n  job:\n    runs-on: linux\n    steps:\n" + indent(steps, "      ")}
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		b.WriteString(by + line)
	}
	return b.String() + "\n"
}

func pushed(ref string) ci.RefChange {
	return ci.RefChange{Ref: ref, Old: ci.NoCommit, New: commitA, Pusher: "alice", At: now}
}

const mainRef = "refs/heads/main"

// push pushes to repository's ref and works everything that follows.
func (w *world) push(t *testing.T, repository, ref string) {
	t.Helper()
	if err := w.Sync(t.Context(), repository, []ci.RefChange{pushed(ref)}); err != nil {
		t.Fatalf("Sync = %v", err)
	}
	w.drain(t)
}

// drain works tasks until there are none.
func (w *world) drain(t *testing.T) {
	t.Helper()
	for range 1000 {
		task, ok := w.store.TakeTask()
		if !ok {
			return
		}
		if err := w.perform(t.Context(), task); err != nil {
			t.Fatalf("%s %d: %v", task.Name, task.ID, err)
		}
	}
	t.Fatal("there is no end of tasks")
}

func (w *world) perform(ctx context.Context, task ci.Task) error {
	switch task.Name {
	case ci.TaskRun:
		return w.Work(ctx, task.ID)
	case ci.TaskJob:
		return w.WorkJob(ctx, task.ID, task.Version)
	case ci.TaskSeal:
		return w.Seal(ctx, task.ID)
	case ci.TaskPost:
		return w.Post(ctx, task.ID)
	}
	return fault.New(fault.Internal, "no such task: %s", task.Name)
}

func (w *world) run(t *testing.T, id int64) ci.Run {
	t.Helper()
	r, err := w.store.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRun fails the test, with the logs, unless the run ended as it should.
func (w *world) wantRun(t *testing.T, id int64, state ci.RunState, reason string) {
	t.Helper()
	r := w.run(t, id)
	if r.State == state && strings.Contains(r.Reason, reason) {
		return
	}
	t.Errorf("run %d is %s (%q), want %s (%q)", id, r.State, r.Reason, state, reason)
	jobs, err := w.store.Jobs(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		t.Logf("job %s: %s %q\n%s", j.Key, j.State, j.Reason, w.logs.Text(j.ID))
	}
}

// wantLog fails the test unless the job's log holds each text.
func (w *world) wantLog(t *testing.T, job int64, texts ...string) {
	t.Helper()
	log := w.logs.Text(job)
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("the log lacks %q:\n%s", text, log)
		}
	}
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v, want a fault of kind %s", what, err, kind)
	}
}
