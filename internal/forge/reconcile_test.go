package forge_test

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

func (h *host) failWith(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = err
}

// forget makes as if the server had died before it recorded what came after a state.
func (h *host) forget(known map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pushes, h.known = nil, known
}

// A push that cannot be recorded is no success to its sender, and the next push records it
// first: it hides nothing.
func TestNextPushRecordsTheOneBefore(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	shas := []string{must(t, dir, "rev-parse", "HEAD")}
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	h.failWith(errors.New("secret detail"))
	shas = append(shas, commit(t, dir, nil))
	out, err := git(t, dir, "push", h.remote("b-token", "shop"), "main")
	if err == nil || strings.Contains(out, "secret detail") {
		t.Errorf("the sender hears %v: %s", err, out)
	}
	shas = append(shas, commit(t, dir, nil))
	refused(t, "507", dir, "push", h.fails(fault.New(fault.Full, "the database is full")).remote("a-token", "shop"), "main")
	h.failWith(nil)
	h.forget(maps.Clone(h.known))
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	want := []ci.RefChange{
		{Ref: "refs/heads/main", Old: shas[0], New: shas[1], Pusher: "bob"},
		{Ref: "refs/heads/main", Old: shas[1], New: shas[2], Pusher: "alice"},
	}
	if diff := cmp.Diff(want, slices.Concat(h.told()...), ignoreTime); diff != "" {
		t.Error(diff)
	}
}

func (h *host) fails(err error) *host {
	h.failWith(err)
	return h
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	first := must(t, dir, "rev-parse", "HEAD")
	must(t, dir, "push", h.remote("a-token", "shop"), "main", "main:gone")
	start := maps.Clone(h.known)
	second := commit(t, dir, nil)
	must(t, dir, "tag", "-a", "-m", "one", "v1.0.0")
	must(t, dir, "push", h.remote("b-token", "shop"), "main", "v1.0.0")
	must(t, dir, "push", h.remote("b-token", "shop"), ":gone")
	third := commit(t, dir, nil)
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	// A branch that nobody's log tells of.
	must(t, filepath.Join(h.dir, "shop.git"), "-c", "core.logAllRefUpdates=false", "branch", "quiet", first)

	h.forget(start)
	for range 2 { // the second one finds nothing
		if err := h.Reconcile(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	want := [][]ci.RefChange{{
		{Ref: "refs/heads/main", Old: first, New: second, Pusher: "bob"},
		{Ref: "refs/heads/main", Old: second, New: third, Pusher: "alice"},
		{Ref: "refs/tags/v1.0.0", Old: ci.NoCommit, New: second, Pusher: "bob"}, // the commit, not the tag object
		{Ref: "refs/heads/gone", Old: first, New: ci.NoCommit, Pusher: "unknown"},
		{Ref: "refs/heads/quiet", Old: ci.NoCommit, New: first, Pusher: "unknown"},
	}}
	byRef := func(list [][]ci.RefChange) [][]ci.RefChange {
		for _, l := range list {
			slices.SortStableFunc(l, func(a, b ci.RefChange) int { return strings.Compare(a.Ref, b.Ref) })
		}
		return list
	}
	if diff := cmp.Diff(byRef(want), byRef(h.told()), ignoreTime); diff != "" {
		t.Error(diff)
	}
	if err := h.Reconcile(t.Context(), "nope"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Reconcile of no repository = %v", err)
	}
}
