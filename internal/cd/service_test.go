package cd_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

func (b *believer) Verify(_ context.Context, _ bridge.ArtifactRule, d artifact.Digest, _ time.Time) (bridge.Verdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revoked[d] {
		return bridge.Verdict{Refusals: []attest.Refusal{{Rule: "signer", Message: "signer ci is revoked"}}}, nil
	}
	return bridge.Verdict{Evidence: evidence(b.extra), Trust: 1}, nil
}

func evidence(extra int) attest.Evidence {
	return attest.Evidence{Attestations: make([]attest.Attestation, 1+extra)}
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

func newWorld(t *testing.T) *world {
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
	if _, err := cd.ApplyDelivery(t.Context(), db, "ops", "delivery.yaml", []byte(delivery), false); err != nil {
		t.Fatal(err)
	}
	return w
}

func digestOf(version string) artifact.Digest { return artifact.DigestOf([]byte(version)) }

// accept writes an accepted handoff of version, pushed by alice, as the bridge does.
func (w *world) accept(version string) bridge.Release {
	w.t.Helper()
	w.n++
	ref := artifact.Reference{Repository: "shop/web", Tag: version, Digest: digestOf(version)}
	pub := bridge.Published{Source: "/ci", ID: fmt.Sprint("run/", w.n), Artifact: ref, At: w.now, Chain: "chain" + version}
	ev, _, err := w.store.Receive(w.t.Context(), bridge.Event{Published: pub, Sender: "ci", Received: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	arts := map[string]artifact.Digest{"web": ref.Digest}
	r := bridge.Release{
		ID: bridge.ReleaseID("shop", arts), Application: "shop", Version: version, Artifacts: arts, Evidence: evidence(w.believer.extra),
		Snapshot: evidence(w.believer.extra).Hash(), Delivery: 1, Trust: 1, Author: "alice", Accepted: w.now, Built: w.now,
	}
	starts, err := cd.Planner{Reader: w.store}.Starts(w.t.Context(), r, "dev")
	if err != nil {
		w.t.Fatal(err)
	}
	h := bridge.Handoff{Event: ev.ID, Application: "shop", Trigger: "published", State: bridge.Accepted, Release: r.ID, Image: ref, At: w.now}
	if err := w.store.Cross(w.t.Context(), bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{{Handoff: h, Release: &r, Starts: starts}}}); err != nil {
		w.t.Fatal(err)
	}
	return r
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

func TestRoadToProduction(t *testing.T) {
	w := newWorld(t)
	w.accept("1.0.0")
	w.settle()
	w.runs("dev", map[string]int{"1.0.0": 100})
	w.runs("staging", map[string]int{"1.0.0": 100})
	w.runs("production", map[string]int{})
	p := w.newest("production")
	if p.State != cd.Waiting || p.Signal != cd.SignalApproval || !strings.Contains(p.Reason, "anybody but alice") {
		t.Fatalf("production is %s, %q", p.State, p.Reason)
	}
	for name, c := range map[string]struct {
		actor string
		plan  artifact.Digest
		kind  fault.Kind
	}{
		"by the requester": {"alice", p.PlanDigest, fault.Forbidden},
		"of another plan":  {"bob", digestOf("x"), fault.Conflict},
	} {
		if _, err := w.service.Approve(t.Context(), c.actor, p.ID, c.plan, "x"); fault.KindOf(err) != c.kind {
			t.Errorf("approval %s: %v, want %s", name, err, c.kind)
		}
	}
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.runs("production", map[string]int{"1.0.0": 100}) // the first release shares with nobody
	if got := w.promotion(p.ID); got.State != cd.Done || len(got.Decisions) != 1 || got.Decisions[0].Actor != "bob" {
		t.Fatalf("production is %+v", got)
	}
}

func TestWhoJoinsARequestDoesNotApproveIt(t *testing.T) {
	w := newWorld(t)
	w.accept("1.0.0")
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Promote(t.Context(), "bob", p.Plan.Release, "production", "it is urgent"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "mine"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("approval by one who asked too: %v, want %s", err, fault.Forbidden)
	}
	if _, err := w.service.Approve(t.Context(), "carol", p.ID, p.PlanDigest, "looked at it"); err != nil {
		t.Errorf("approval by one who did not ask: %v", err)
	}
}

func TestCanaryIsUndoneByItsFigures(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.runs("production", map[string]int{"1.0.0": 90, "1.1.0": 10})
	w.target.Serve(digestOf("1.1.0"), cd.Figures{Requests: 20, Errors: 2})
	w.settle()
	got := w.promotion(p.ID)
	if got.State != cd.Undone || !strings.Contains(got.Reason, "10.0 % is over the limit of 5.0 %") {
		t.Fatalf("production is %s, %q", got.State, got.Reason)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
	if bad, err := w.store.Bad(t.Context(), env("production"), p.Plan.Release); err != nil || !bad {
		t.Errorf("the release is not marked bad: %v %v", bad, err)
	}
	row, err := w.store.Environment(t.Context(), env("production"))
	if err != nil || row.Active != 0 || w.promotion(row.Live).Plan.Version != "1.0.0" {
		t.Errorf("environment %+v, %v", row, err)
	}
}

func TestCanaryWithoutTrafficEnds(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.now = w.now.Add(2 * time.Minute)
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Undone || !strings.Contains(got.Reason, "did not end within") {
		t.Fatalf("production is %s, %q", got.State, got.Reason)
	}
}

func TestUnhealthyCandidateIsUndone(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.target.Sicken(digestOf("1.1.0"), "exit status 1")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("dev")
	if p.State != cd.Undone || !strings.Contains(p.Reason, "exit status 1") {
		t.Fatalf("dev is %s, %q", p.State, p.Reason)
	}
	w.runs("dev", map[string]int{"1.0.0": 100})
	if s := w.newest("staging"); s.Plan.Version != "1.0.0" {
		t.Errorf("staging was asked for %s", s.Plan.Version)
	}
}

func TestNewerReleaseDisplacesUnapproved(t *testing.T) {
	w := newWorld(t)
	w.accept("1.0.0")
	w.settle()
	first := w.newest("production")
	w.accept("1.1.0")
	w.settle()
	if got := w.promotion(first.ID); got.State != cd.Superseded {
		t.Fatalf("the older promotion is %s", got.State)
	}
	w.accept("1.0.5") // an older version that comes later changes nothing
	w.settle()
	if got := w.newest("dev"); got.State != cd.Superseded || got.Plan.Version != "1.0.5" {
		t.Errorf("dev's newest is %s %s, %q", got.Plan.Version, got.State, got.Reason)
	}
	w.runs("dev", map[string]int{"1.1.0": 100})
}

func TestApprovedWaitsForItsTurnAndIsPlannedAnew(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	for _, v := range []string{"1.1.0", "1.2.0"} {
		w.accept(v)
		w.settle()
		p := w.newest("production")
		if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
			t.Fatal(err)
		}
		w.settle()
	}
	w.runs("production", map[string]int{"1.0.0": 90, "1.1.0": 10})
	second := w.newest("production")
	if second.Signal != cd.SignalSlot {
		t.Fatalf("1.2.0 is %s, %q", second.State, second.Reason)
	}
	w.target.Serve(digestOf("1.1.0"), cd.Figures{Requests: 50})
	w.now = w.now.Add(5 * time.Second)
	w.settle()
	w.runs("production", map[string]int{"1.1.0": 100})
	if got := w.promotion(second.ID); got.State != cd.Superseded {
		t.Fatalf("the approved promotion is %s, %q: its base is gone", got.State, got.Reason)
	}
	third := w.newest("production")
	if third.ID == second.ID || third.Signal != cd.SignalApproval || third.PlanDigest == second.PlanDigest || third.Causes[0].Again != int64(second.ID) {
		t.Errorf("its successor is %+v", third)
	}
}

func TestRevokedAfterApprovalDoesNotMove(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	w.believer.revoked[digestOf("1.1.0")] = true
	p := w.newest("production")
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Failed || !strings.Contains(got.Reason, "revoked") {
		t.Fatalf("production is %s, %q", got.State, got.Reason)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

func TestNewEvidenceNeedsNewApproval(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("production")
	w.believer.extra = 1
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Superseded {
		t.Fatalf("production is %s, %q", got.State, got.Reason)
	}
	if got := w.newest("production"); got.ID == p.ID || got.Signal != cd.SignalApproval {
		t.Errorf("its successor is %s, %q", got.State, got.Reason)
	}
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	if _, err := w.service.Rollback(t.Context(), "bob", env("production"), ""); fault.KindOf(err) != fault.Blocked {
		t.Errorf("rollback of nothing: %v", err)
	}
	w.ship("1.0.0")
	w.ship("1.1.0")
	p, err := w.service.Rollback(t.Context(), "bob", env("production"), "prices are wrong")
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.runs("production", map[string]int{"1.0.0": 100})
	if got := w.promotion(p.ID); got.State != cd.Done || slices.ContainsFunc(got.Plan.Steps, func(s cd.Step) bool { return s.Kind == cd.StepApprove }) {
		t.Errorf("the rollback is %s with %v", got.State, got.Plan.Steps)
	}
	if bad, _ := w.store.Bad(t.Context(), env("production"), bridge.ReleaseID("shop", map[string]artifact.Digest{"web": digestOf("1.1.0")})); !bad {
		t.Error("the release that was left is not marked bad")
	}
}

func TestRollbackStopsACanary(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if _, err := w.service.Rollback(t.Context(), "ops", env("production"), "stop"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Undone || got.Reason != "stopped by ops: stop" {
		t.Errorf("production is %s, %q", got.State, got.Reason)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

func TestRestoreInACanary(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.newest("production")
	if _, err := w.service.Approve(t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.target.Forget()
	if err := w.service.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runs("production", map[string]int{"1.0.0": 90, "1.1.0": 10})
	w.runs("dev", map[string]int{"1.1.0": 100})
}

func TestPromoteWaitsUntilEligible(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	w.target.Sicken(digestOf("1.1.0"), "crash")
	r := w.accept("1.1.0")
	w.settle()
	p, err := w.service.Promote(t.Context(), "carol", r.ID, "staging", "hurry")
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Queued || !strings.Contains(got.Reason, "until 1.1.0 is done in dev") {
		t.Fatalf("staging is %s, %q", got.State, got.Reason)
	}
	again, err := w.service.Promote(t.Context(), "dave", r.ID, "staging", "me too")
	if err != nil || again.ID != p.ID || len(again.Causes) != 2 {
		t.Errorf("a second request gave %+v, %v", again, err)
	}
}

func TestDoneTwiceIsOnce(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	before := len(w.target.Calls)
	for id := cd.PromotionID(1); id <= 3; id++ {
		for v := int64(1); v < 12; v++ {
			if err := w.service.Work(t.Context(), id, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := len(w.target.Calls); got != before {
		t.Errorf("stale work had %d effects", got-before)
	}
}
