package ci_test

import (
	"strings"
	"testing"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

func runs(t *testing.T, w *world) []ci.Run {
	t.Helper()
	list, err := w.store.ListRuns(t.Context(), ci.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSync(t *testing.T) {
	t.Parallel()
	const onTags = "on:\n  push:\n    tags: ['v*']\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: 'true'}]\n"
	files := oneJob("- run: true")
	files[".drawbridge/workflows/tags.yaml"] = onTags
	w := newWorld(t, files)
	for range 2 {
		w.push(t, "shop", mainRef)
	}
	if list := runs(t, w); len(list) != 1 || list[0].File != ciFile || len(list[0].Chain) != 32 || list[0].Pusher != "alice" {
		t.Fatalf("runs of a push that was told twice = %+v, want one of %s", list, ciFile)
	}
	w.push(t, "shop", "refs/tags/v1")
	list := runs(t, w)
	if len(list) != 3 || list[0].Chain != list[1].Chain || list[0].Chain == list[2].Chain {
		t.Errorf("runs after a tag = %+v, want two more with one chain", list)
	}
	gone := ci.RefChange{Ref: mainRef, Old: commitA, New: ci.NoCommit, Pusher: "alice", At: now}
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{gone}); err != nil || len(runs(t, w)) != 3 {
		t.Errorf("a deleted ref: %v, %d runs, want none more", err, len(runs(t, w)))
	}
	wantKind(t, "a push to no repository", w.Sync(t.Context(), "nope", []ci.RefChange{pushed(mainRef)}), fault.NotFound)
}

func TestSyncOneBadRefKeepsBackNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: true"))
	bad := pushed("refs/heads/bad")
	bad.New = "zzz"
	nobody := pushed("refs/heads/nobody")
	nobody.Pusher = ""
	err := w.Sync(t.Context(), "shop", []ci.RefChange{bad, nobody, pushed(mainRef)})
	wantKind(t, "Sync", err, fault.Invalid)
	if len(runs(t, w)) != 1 {
		t.Errorf("%d runs, want that of main", len(runs(t, w)))
	}
}

func TestMalformedWorkflowIsAFailedRun(t *testing.T) {
	t.Parallel()
	files := oneJob("- run: true")
	files[".drawbridge/workflows/bad.yaml"] = "on: push\njobs:\n  a:\n    runs-on: linux\n    step: []\n"
	files[".drawbridge/workflows/nul.yaml"] = "name: \"a\\0b\"\non: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: 'true'}]\n"
	w := newWorld(t, files)
	w.push(t, "shop", mainRef)
	if n := len(runs(t, w)); n != 3 {
		t.Fatalf("%d runs, want 3", n)
	}
	w.wantRun(t, 1, ci.RunFailed, ".drawbridge/workflows/bad.yaml:")
	w.wantRun(t, 2, ci.RunSucceeded, "")
	for _, r := range runs(t, w) {
		if strings.ContainsRune(r.Name+r.Reason, 0) {
			t.Errorf("run %d holds a NUL byte, which no database takes", r.ID)
		}
	}
	if jobs, err := w.store.Jobs(t.Context(), 1); err != nil || len(jobs) != 0 {
		t.Errorf("the failed run has jobs: %v, %v", jobs, err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"shop": true, "a": true, "0-1": true, "": false, "-a": false, "Shop": false, "a/b": false, "..": false, "a.b": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, "a\n": false,
	} {
		if err := ci.ValidRepository(name); (err == nil) != ok {
			t.Errorf("ValidRepository(%q) = %v, want ok %v", name, err, ok)
		}
	}
	r := ci.Repository{Protected: ci.DefaultProtected()}
	for ref, want := range map[string]bool{
		mainRef: true, "refs/tags/v1": true, "refs/tags/v": true, "refs/heads/main2": false, "refs/heads/mai": false,
		"refs/tags/1": false, "main": false, "refs/heads/refs/heads/main": false, "": false,
	} {
		if r.Protects(ref) != want {
			t.Errorf("Protects(%q) = %v, want %v", ref, !want, want)
		}
	}
}
