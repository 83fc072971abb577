package cd_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// ask plans what a cause of some kind asks for.
func (w *world) ask(kind bridge.CauseKind, r bridge.Release, environment string) ([]bridge.Start, error) {
	return w.plan(bridge.Request{Release: r, Environment: environment, Cause: bridge.Cause{Kind: kind, Actor: "carol", Note: "because"}})
}

// refused checks the kind and the message of a fault.
func refused(t *testing.T, what string, err error, kind fault.Kind, text string) {
	t.Helper()
	if fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %s with %q", what, err, kind, text)
	}
}

func TestNoAutomaticCauseGoesBackwards(t *testing.T) {
	w := newWorld(t)
	old := w.accept("1.0.0")
	w.settle()
	w.accept("1.1.0")
	w.settle()
	older, why := w.cross("1.0.5", artifactsOf("1.0.5"), "dev")
	if why != "shop/dev runs the newer 1.1.0" {
		t.Errorf("an older release that is new: %q", why)
	}
	if r, err := w.store.Release(t.Context(), older.ID); err != nil || r.Version != "1.0.5" {
		t.Errorf("it did not cross: %v %v", r, err)
	}
	_, err := w.ask(bridge.ByTrigger, old, "dev")
	refused(t, "a trigger", err, fault.Conflict, "runs the newer 1.1.0")
	_, err = w.ask(bridge.ByItself, old, "dev")
	refused(t, "an environment by itself", err, fault.Conflict, "runs the newer 1.1.0")
	starts, err := w.ask(bridge.ByPerson, old, "dev")
	if err != nil || len(starts) != 1 {
		t.Fatalf("a person: %v, %v", starts, err)
	}
	w.write(nil, starts)
	w.settle()
	w.runs("dev", map[string]int{"1.0.0": 100})
	if p := w.newest("dev"); p.Requester != "carol" || p.Causes[0].Kind != cd.CauseManual || !strings.HasPrefix(p.Causes[0].Note, "because") {
		t.Errorf("the promotion has causes %+v", p.Causes)
	}
}

func TestWhatIsMarkedBadStaysAway(t *testing.T) {
	w := newWorld(t)
	w.accept("1.0.0")
	w.settle()
	w.target.Sicken(digestOf("1.1.0"), "crash")
	r := w.accept("1.1.0")
	w.settle()
	if p := w.newest("dev"); p.State != cd.Undone {
		t.Fatalf("dev is %s", p.State)
	}
	_, err := w.ask(bridge.ByTrigger, r, "dev")
	refused(t, "a trigger", err, fault.Conflict, "1.1.0 is marked bad in shop/dev")
	_, err = w.ask(bridge.ByRollback, r, "dev")
	refused(t, "a rollback to what was never done", err, fault.Blocked, "was never done")
	if starts, err := w.ask(bridge.ByPerson, r, "dev"); err != nil || len(starts) != 1 {
		t.Errorf("a person may try again: %v, %v", starts, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	w := newWorld(t)
	r := w.accept("1.0.0")
	w.settle()
	_, err := w.ask(bridge.ByPerson, r, "dev")
	refused(t, "what runs already", err, fault.Conflict, "1.0.0 runs in shop/dev already")
	_, err = w.ask(bridge.ByRollback, r, "dev")
	refused(t, "back to what runs", err, fault.Conflict, "runs in shop/dev already")
	_, err = w.ask(bridge.ByPerson, r, "lab")
	refused(t, "an environment that is not there", err, fault.NotFound, `no environment "lab"`)
	_, err = w.ask(bridge.ByTrigger, r, "")
	refused(t, "nothing", err, fault.Conflict, "no environment is asked for")
	r.Application = "nobody"
	_, err = w.ask(bridge.ByPerson, r, "dev")
	refused(t, "an application that is not there", err, fault.NotFound, "nobody")
}

// What opens by itself comes along with a new release alone, also where the environment that
// was asked for is refused.
func TestWhatOpensByItself(t *testing.T) {
	const opens = `  - name: lab
    auto: true
    target: {process: {artifact: web}}
`
	w := newWorldOf(t, delivery+opens)
	w.accept("1.1.0")
	w.settle()
	w.runs("lab", map[string]int{"1.1.0": 100})
	r, why := w.cross("1.2.0", artifactsOf("1.2.0"), "") // of a trigger that asks for nothing
	w.settle()
	if why != "" {
		t.Errorf("a trigger that asks for nothing is refused: %s", why)
	}
	w.runs("lab", map[string]int{"1.2.0": 100})
	w.runs("dev", map[string]int{"1.1.0": 100})
	starts, err := w.ask(bridge.ByTrigger, r, "dev")
	if err != nil || len(starts) != 1 || starts[0].Environment != "dev" {
		t.Errorf("asked for again, it gives %v, %v", starts, err)
	}
	w.write(nil, starts)
	w.settle()
	w.now = w.now.Add(1)
	old := bridge.Release{ID: strings.Repeat("0", 64), Application: "shop", Version: "1.1.5", Artifacts: artifactsOf("1.1.5"), Delivery: 1, Author: "alice"}
	starts, err = w.plan(bridge.Request{Release: old, Environment: "dev", New: true, Cause: bridge.Cause{Kind: bridge.ByTrigger}})
	refused(t, "backwards", err, fault.Conflict, "runs the newer 1.2.0")
	if len(starts) != 0 { // it would go backwards there too
		t.Errorf("beside it %v opens", starts)
	}
	if _, err := w.service.Rollback(t.Context(), "bob", env("lab"), ""); err != nil {
		t.Fatal(err)
	}
	w.settle()
	starts, err = w.plan(bridge.Request{
		Release: old, Environment: "dev", New: true, Cause: bridge.Cause{Kind: bridge.ByTrigger}, Inputs: map[string]any{"region": "eu"},
	})
	refused(t, "backwards", err, fault.Conflict, "runs the newer 1.2.0")
	if len(starts) == 1 && strings.Contains(string(starts[0].Plan), "region") {
		t.Error("inputs for dev come to lab")
	}
	if len(starts) != 1 || starts[0].Environment != "lab" || starts[0].Cause.Kind != bridge.ByItself || starts[0].Cause.Actor != "alice" {
		t.Errorf("beside it %v opens, want lab", starts)
	}
}

func TestRollbackByACommit(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	old := w.newest("production").Plan
	w.ship("1.1.0")
	// Later versions of the file do not matter: what comes back comes as it ran.
	changed := strings.Replace(delivery, "approval: {required: 1", "approval: {required: 2", 1)
	if _, err := cd.ApplyDelivery(t.Context(), w.store, "ops", "delivery.yaml", []byte(changed), false); err != nil {
		t.Fatal(err)
	}
	r, err := w.store.Release(t.Context(), old.Release)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.ask(bridge.ByRollback, r, "lab")
	refused(t, "in no environment", err, fault.Blocked, "was never done in shop/lab")
	starts, err := w.ask(bridge.ByRollback, r, "production")
	if err != nil || len(starts) != 1 {
		t.Fatalf("the rollback: %v, %v", starts, err)
	}
	w.write(nil, starts)
	w.settle()
	p := w.newest("production")
	if !p.Rollback() || p.State != cd.Done || p.Requester != "carol" || p.Plan.Delivery != old.Delivery || p.Plan.After != nil ||
		slices.ContainsFunc(p.Plan.Steps, func(s cd.Step) bool { return s.Kind == cd.StepApprove || s.Kind == cd.StepPause }) {
		t.Fatalf("the rollback is %+v", p)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
	left, err := w.store.Release(t.Context(), p.Plan.Base)
	if err != nil || left.Version != "1.1.0" {
		t.Fatalf("it left %v, %v", left, err)
	}
	_, err = w.ask(bridge.ByRollback, left, "production")
	refused(t, "to what was left", err, fault.Blocked, "1.1.0 is marked bad in shop/production")
}

// New evidence gives a rollback a new plan, but what comes back comes as it ran all the same.
func TestRollbackIsPlannedAnew(t *testing.T) {
	w := newWorld(t)
	w.ship("1.0.0")
	old := w.newest("production").Plan
	w.ship("1.1.0")
	changed := strings.Replace(delivery, "canary: {steps: [{weight: 10}", "canary: {steps: [{weight: 20}", 1)
	if _, err := cd.ApplyDelivery(t.Context(), w.store, "ops", "delivery.yaml", []byte(changed), false); err != nil {
		t.Fatal(err)
	}
	w.believer.extra = 1
	first, err := w.service.Rollback(t.Context(), "bob", env("production"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	p := w.newest("production")
	if got := w.promotion(first.ID); got.State != cd.Superseded || p.Causes[0].Again != int64(first.ID) {
		t.Fatalf("the first plan is %s, its successor %+v", got.State, p.Causes)
	}
	if p.State != cd.Done || p.Plan.Delivery != old.Delivery || p.Plan.Snapshot == old.Snapshot {
		t.Errorf("the successor is %s with delivery %d, want %d and new evidence", p.State, p.Plan.Delivery, old.Delivery)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

// A plan that names nothing to prove proves nothing.
func TestPlanWithoutArtifacts(t *testing.T) {
	w := newWorld(t)
	r, _ := w.cross("1.0.0", artifactsOf("1.0.0"), "")
	starts, err := w.ask(bridge.ByPerson, r, "dev")
	if err != nil {
		t.Fatal(err)
	}
	var plan cd.Plan
	if err := json.Unmarshal(starts[0].Plan, &plan); err != nil {
		t.Fatal(err)
	}
	plan.Artifacts, plan.Snapshot = nil, bridge.EvidenceSet{}.Hash()
	starts[0].Plan, err = json.Marshal(plan)
	starts[0].Digest = plan.Digest()
	if err != nil {
		t.Fatal(err)
	}
	w.write(nil, starts)
	w.settle()
	if p := w.newest("dev"); p.State != cd.Failed || !strings.Contains(p.Reason, "names no artifact") {
		t.Errorf("dev is %s, %q", p.State, p.Reason)
	}
}

func TestStartIsThePlan(t *testing.T) {
	w := newWorld(t)
	r := w.accept("1.0.0")
	starts, err := w.ask(bridge.ByPerson, r, "staging")
	if err != nil {
		t.Fatal(err)
	}
	p, err := cd.OpenStart(starts[0], bridge.Handoff{At: w.now})
	if err != nil || p.PlanDigest != starts[0].Digest || p.Author != "alice" {
		t.Errorf("opened %+v, %v", p, err)
	}
	starts[0].Plan = append(starts[0].Plan, ' ')
	if _, err := cd.OpenStart(starts[0], bridge.Handoff{At: w.now}); err == nil {
		t.Error("a plan that is not the one that was made is opened")
	}
}
