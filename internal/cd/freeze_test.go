package cd_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// freeze freezes an environment, or every one with "", on ops' word.
func (w *world) freeze(environment string, long time.Duration) bridge.Freeze {
	w.t.Helper()
	f, err := w.service.Freeze(w.t.Context(), cd.FreezeWish{Actor: "ops", Environment: env(environment), Reason: "holidays", For: long})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) lift(f bridge.Freeze) {
	w.t.Helper()
	if _, err := w.service.Lift(w.t.Context(), "ops", f.ID, "over"); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// canary brings 1.0.0 to production, and 1.1.0 beside it with a tenth of the traffic.
func (w *world) canary() cd.Promotion {
	w.t.Helper()
	w.ship("1.0.0")
	w.accept("1.1.0")
	w.settle()
	p := w.approve(w.newest("production"))
	w.runs("production", map[string]int{"1.0.0": 90, "1.1.0": 10})
	return p
}

// isFrozen checks that a promotion waits for a freeze, at a step.
func (w *world) isFrozen(id cd.PromotionID, at cd.StepKind) {
	w.t.Helper()
	p := w.promotion(id)
	if p.State != cd.Waiting || p.Signal != cd.SignalTime || p.Current().Kind != at || !strings.Contains(p.Reason, "by ops: holidays; lifts by drawbridge freeze lift") {
		w.t.Fatalf("promotion %d is %s for %q at %s: %q", id, p.State, p.Signal, p.Current(), p.Reason)
	}
}

func TestFrozenAtBegin(t *testing.T) {
	w := newWorld(t)
	f := w.freeze("production", 0)
	if !f.Until.Equal(w.now.Add(24*time.Hour)) || f.By != "ops" {
		t.Errorf("freeze %+v, want it for a day by ops", f)
	}
	w.accept("1.0.0")
	w.settle()
	w.runs("staging", map[string]int{"1.0.0": 100})
	p := w.newest("production")
	if p.State != cd.Queued || !strings.HasPrefix(p.Reason, "frozen until 2026-01-06 09:00 UTC by ops: holidays") {
		t.Fatalf("production is %s, %q", p.State, p.Reason)
	}
	a, err := w.service.WhyPromotion(t.Context(), p.ID)
	if err != nil || a.Hint != "drawbridge freeze lift 1" || !strings.Contains(a.Says, "frozen until") {
		t.Errorf("why: %+v, %v", a, err)
	}
	list, err := w.service.Status(t.Context(), "shop")
	if err != nil || list[0].Frozen != "" || !strings.Contains(list[2].Frozen, "by ops: holidays") {
		t.Errorf("status %+v, %v", list, err)
	}
	w.lift(f)
	if p := w.promotion(p.ID); p.Signal != cd.SignalApproval {
		t.Errorf("after the freeze production is %s, %q", p.State, p.Reason)
	}
	if _, err := w.service.Lift(t.Context(), "ops", f.ID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("lifted twice: %v, want %s", err, fault.Conflict)
	}
}

// A freeze that begins after the approval is met at admit, and its time is no time of the step's.
func TestFrozenAtAdmit(t *testing.T) {
	w := newWorld(t)
	w.accept("1.0.0")
	w.settle()
	w.freeze("", 48*time.Hour)
	p := w.approve(w.newest("production"))
	w.isFrozen(p.ID, cd.StepAdmit)
	w.runs("production", map[string]int{})
	w.now = w.now.Add(47 * time.Hour)
	w.settle()
	w.isFrozen(p.ID, cd.StepAdmit)
	w.now = w.now.Add(time.Hour)
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Done {
		t.Fatalf("after the freeze it is %s, %q", got.State, got.Reason)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

func TestFrozenCanaryKeepsItsWeight(t *testing.T) {
	w := newWorld(t)
	p := w.canary()
	f := w.freeze("production", time.Hour)
	w.target.Serve(digestOf("1.1.0"), cd.Figures{Requests: 50})
	w.now = w.now.Add(5 * time.Second)
	w.settle()
	w.isFrozen(p.ID, cd.StepShift)
	w.now = w.now.Add(30 * time.Minute)
	w.settle()
	w.isFrozen(p.ID, cd.StepShift)
	w.runs("production", map[string]int{"1.0.0": 90, "1.1.0": 10})
	if a, err := w.service.WhyPromotion(t.Context(), p.ID); err != nil || a.Hint != "drawbridge freeze lift 1" {
		t.Errorf("why: %+v, %v", a, err)
	}
	w.lift(f)
	w.runs("production", map[string]int{"1.1.0": 100})
}

func TestFrozenCanaryIsWatched(t *testing.T) {
	w := newWorld(t)
	p := w.canary()
	w.freeze("production", time.Hour)
	w.target.Serve(digestOf("1.1.0"), cd.Figures{Requests: 50})
	w.now = w.now.Add(5 * time.Second)
	w.settle()
	w.isFrozen(p.ID, cd.StepShift)
	w.target.Serve(digestOf("1.1.0"), cd.Figures{Requests: 50, Errors: 40})
	w.settle()
	if got := w.promotion(p.ID); got.State != cd.Undone || !strings.Contains(got.Reason, "over the limit") {
		t.Errorf("it is %s, %q", got.State, got.Reason)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

func TestFreezeNeverStopsTheWayBack(t *testing.T) {
	t.Run("undo", func(t *testing.T) {
		w := newWorld(t)
		p := w.canary()
		w.freeze("", time.Hour)
		if _, err := w.service.Rollback(t.Context(), "bob", env("production"), "stop"); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if got := w.promotion(p.ID); got.State != cd.Undone {
			t.Errorf("it is %s, %q", got.State, got.Reason)
		}
		w.runs("production", map[string]int{"1.0.0": 100})
	})
	t.Run("rollback", func(t *testing.T) {
		w := newWorld(t)
		w.ship("1.0.0")
		w.ship("1.1.0")
		w.freeze("", time.Hour)
		if _, err := w.service.Rollback(t.Context(), "bob", env("production"), "prices"); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.runs("production", map[string]int{"1.0.0": 100})
	})
	t.Run("rollback that joins what is frozen", func(t *testing.T) {
		w := newWorld(t)
		w.ship("1.0.0")
		first := w.newest("production").Plan.Release
		w.ship("1.1.0")
		w.freeze("", time.Hour)
		w.promote("carol", first, "production")
		w.settle()
		p := w.newest("production")
		if p.State != cd.Queued || !strings.Contains(p.Reason, "frozen until") {
			t.Fatalf("it is %s, %q", p.State, p.Reason)
		}
		if _, err := w.service.Rollback(t.Context(), "bob", env("production"), "prices"); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if got := w.promotion(p.ID); got.State == cd.Queued {
			t.Errorf("it is %s, %q", got.State, got.Reason)
		}
	})
}

func TestFreezeOfOthers(t *testing.T) {
	w := newWorld(t)
	w.freeze("staging", time.Hour)
	w.accept("1.0.0")
	w.settle()
	w.runs("dev", map[string]int{"1.0.0": 100})
	w.runs("staging", map[string]int{})
	long := w.freeze("", 2*time.Hour)
	w.now = w.now.Add(time.Hour)
	w.settle()
	if p := w.newest("staging"); p.State != cd.Queued || !strings.Contains(p.Reason, "11:00 UTC") {
		t.Errorf("one freeze ended and another holds: staging is %s, %q", p.State, p.Reason)
	}
	w.lift(long)
	w.runs("staging", map[string]int{"1.0.0": 100})
	answers, err := w.service.WhyEnvironments(t.Context(), "shop")
	if err != nil || slices.ContainsFunc(answers, func(a cd.Answer) bool { return strings.Contains(a.Says, "frozen") }) {
		t.Errorf("why: %+v, %v", answers, err)
	}
	w.freeze("dev", time.Hour)
	if answers, err = w.service.WhyEnvironments(t.Context(), "shop"); err != nil || !strings.Contains(answers[0].Says, "runs here") || !strings.Contains(answers[0].Says, "frozen until") {
		t.Errorf("why: %+v, %v", answers, err)
	}
}

func TestFreezeRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		application, environment, reason string
		long                             time.Duration
		kind                             fault.Kind
		field                            string
	}{
		"no reason":           {"shop", "production", "", 0, fault.Invalid, "reason"},
		"a long reason":       {"shop", "production", strings.Repeat("x", 1001), 0, fault.TooLarge, "reason"},
		"too short":           {"shop", "production", "x", time.Second, fault.Invalid, "for"},
		"negative":            {"shop", "production", "x", -time.Hour, fault.Invalid, "for"},
		"too long":            {"shop", "production", "x", 721 * time.Hour, fault.Invalid, "for"},
		"unknown application": {"till", "production", "x", 0, fault.NotFound, ""},
		"unknown environment": {"shop", "*", "x", 0, fault.NotFound, ""},
	} {
		_, err := w.service.Freeze(t.Context(), cd.FreezeWish{
			Actor: "ops", Environment: cd.EnvironmentRef{Application: c.application, Name: c.environment}, Reason: c.reason, For: c.long,
		})
		if f := fault.As(err); f == nil || f.Kind != c.kind || f.Field != c.field {
			t.Errorf("%s: %v, want %s of %q", name, err, c.kind, c.field)
		}
	}
	if _, err := w.service.Lift(t.Context(), "ops", 1, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("lift of nothing: %v, want %s", err, fault.NotFound)
	}
}
