package cd_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

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
	w.promote("bob", p.Plan.Release, "production")
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
	if got := w.newest("dev"); got.State != cd.Done || got.Plan.Version != "1.1.0" {
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
	w.promote("carol", r.ID, "staging")
	w.settle()
	p := w.newest("staging")
	if got := w.promotion(p.ID); got.State != cd.Queued || !strings.Contains(got.Reason, "until 1.1.0 is done in dev") {
		t.Fatalf("staging is %s, %q", got.State, got.Reason)
	}
	w.promote("dave", r.ID, "staging")
	if again := w.newest("staging"); again.ID != p.ID || len(again.Causes) != 2 {
		t.Errorf("a second request gave %+v", again)
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
