package cd_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/cd/cdtest"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// believer is a cd.Verifier that believes everything but what is revoked.
type believer struct {
	mu      sync.Mutex
	revoked map[artifact.Digest]bool
	extra   int
}

func (b *believer) VerifySet(_ context.Context, rules []bridge.ArtifactRule, artifacts map[string]artifact.Digest, _ time.Time) (bridge.SetVerdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := bridge.SetVerdict{Evidence: evidence(artifacts, b.extra), Trust: 1}
	for name, d := range artifacts {
		if !slices.ContainsFunc(rules, func(r bridge.ArtifactRule) bool { return r.Name == name }) {
			v.Refusals = append(v.Refusals, attest.Refusal{Message: "no rule for " + name})
		}
		if b.revoked[d] {
			v.Refusals = append(v.Refusals, attest.Refusal{Rule: "signer", Message: name + ": signer ci is revoked"})
		}
	}
	return v, nil
}

func evidence(artifacts map[string]artifact.Digest, extra int) bridge.EvidenceSet {
	out := bridge.EvidenceSet{}
	for name := range artifacts {
		out[name] = attest.Evidence{Attestations: make([]attest.Attestation, 1+extra)}
	}
	return out
}

// world is the CD plane on a real database, worked by hand.
type world struct {
	t        *testing.T
	store    *storecd.Store
	service  *cd.Service
	target   *cdtest.Target
	believer *believer
	now      time.Time
	n        int
}

func newWorld(t *testing.T) *world { return newWorldOf(t, delivery) }

func newWorldOf(t *testing.T, file string) *world {
	t.Helper()
	w := &world{t: t, target: &cdtest.Target{}, believer: &believer{revoked: map[artifact.Digest]bool{}}, now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
	cfg := storetest.SQLite(t, "cd", nil)
	cfg.Now = func() time.Time { return w.now }
	db, err := storecd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.store = db
	w.service = &cd.Service{Store: db, Verifier: w.believer, Target: w.target, Now: func() time.Time { return w.now }}
	if _, err := cd.ApplyDelivery(t.Context(), db, "ops", "delivery.yaml", []byte(file), false); err != nil {
		t.Fatal(err)
	}
	return w
}

func digestOf(version string) artifact.Digest { return artifact.DigestOf([]byte(version)) }

// accept crosses a release of the artifact web, which a trigger asks for in dev.
func (w *world) accept(version string) bridge.Release {
	w.t.Helper()
	r, _ := w.cross(version, map[string]artifact.Digest{"web": digestOf(version)}, "dev")
	return r
}

// cross writes an accepted handoff of a new release, pushed by alice, as the bridge does. It
// returns why nothing was opened in the environment that was asked for; "" when it was.
func (w *world) cross(version string, artifacts map[string]artifact.Digest, environment string) (bridge.Release, string) {
	w.t.Helper()
	w.n++
	e := evidence(artifacts, w.believer.extra)
	r := bridge.Release{
		ID: bridge.ReleaseID("shop", artifacts), Application: "shop", Version: version, Artifacts: artifacts, Evidence: e,
		Snapshot: e.Hash(), Delivery: 1, Trust: 1, Author: "alice", Accepted: w.now, Built: w.now,
	}
	starts, err := w.plan(bridge.Request{Release: r, Environment: environment, New: true, Cause: bridge.Cause{Kind: bridge.ByTrigger, Actor: "alice", Note: "trigger published"}})
	why := ""
	if fault.Is(err, fault.Conflict) {
		why = fault.As(err).Message
	} else if err != nil {
		w.t.Fatal(err)
	}
	w.write(&r, starts)
	return r, why
}

func (w *world) plan(q bridge.Request) ([]bridge.Start, error) {
	return cd.Planner{Reader: w.store}.Plan(w.t.Context(), q)
}

// promote asks for a release that crossed, on a person's word.
func (w *world) promote(person, release, environment string) {
	w.t.Helper()
	r, err := w.store.Release(w.t.Context(), release)
	if err != nil {
		w.t.Fatal(err)
	}
	starts, err := w.plan(bridge.Request{Release: r, Environment: environment, Cause: bridge.Cause{Kind: bridge.ByPerson, Actor: person}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(nil, starts)
}

// write writes starts as the outcome of an event.
func (w *world) write(fresh *bridge.Release, starts []bridge.Start) {
	w.t.Helper()
	w.n++
	ref := artifact.Reference{Repository: "shop/web", Tag: fmt.Sprint(w.n), Digest: digestOf(fmt.Sprint(w.n))}
	kept, _, err := w.store.Receive(w.t.Context(), bridge.Message{
		Receiver: bridge.DoorAPI, Sender: "ci", Key: fmt.Sprint("run/", w.n), Facts: []bridge.Fact{{Kind: bridge.KindArtifact, Artifact: ref, At: w.now}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ev := kept[0]
	ev.State = bridge.EventProcessed
	h := bridge.Handoff{Event: ev.ID, Application: "shop", Trigger: "published", State: bridge.Accepted, Image: ref, Once: fmt.Sprint(w.n), At: w.now}
	if fresh != nil {
		h.Release, h.Version = fresh.ID, fresh.Version
	}
	if _, err := w.store.Cross(w.t.Context(), bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{{Handoff: h, Release: fresh, Starts: starts}}}); err != nil {
		w.t.Fatal(err)
	}
}

// settle works everything that can move without time passing, and returns.
func (w *world) settle() {
	w.t.Helper()
	for range 100 {
		moved := false
		tasks, err := w.store.Moving(w.t.Context(), 0, 200)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, task := range tasks {
			id := cd.PromotionID(task.ID)
			if err := w.service.Work(w.t.Context(), id, task.Version); err != nil {
				w.t.Fatalf("work promotion %d: %v", id, err)
			}
			p := w.promotion(id)
			moved = moved || p.Version != task.Version
		}
		if !moved {
			return
		}
	}
	w.t.Fatal("it does not settle")
}

func (w *world) promotion(id cd.PromotionID) cd.Promotion {
	w.t.Helper()
	p, err := w.store.Promotion(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func env(name string) cd.EnvironmentRef { return cd.EnvironmentRef{Application: "shop", Name: name} }

// newest is the newest promotion into an environment.
func (w *world) newest(name string) cd.Promotion {
	w.t.Helper()
	list, err := w.store.Promotions(w.t.Context(), cd.PromotionFilter{Environment: env(name), Limit: 1})
	if err != nil || len(list) == 0 {
		w.t.Fatalf("no promotion into %s: %v", name, err)
	}
	return list[0]
}

func (w *world) runs(name string, want map[string]int) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.target.Running(env(name))); diff != "" {
		w.t.Fatalf("%s runs (-want +got):\n%s", name, diff)
	}
}

// ship brings a version to production with bob's approval and good figures.
func (w *world) ship(version string) {
	w.t.Helper()
	w.accept(version)
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Approve(w.t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	w.target.Serve(digestOf(version), cd.Figures{Requests: 100})
	w.now = w.now.Add(3 * time.Second)
	w.settle()
	w.runs("production", map[string]int{version: 100})
}
