package cd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

// frozen is a freeze of production that trigger alarm sets for an alert.
func (w *world) frozen(key string) bridge.Freeze {
	now := w.clock.now()
	return bridge.Freeze{
		Application: "shop", Environments: []string{"production"}, Trigger: "alarm", Key: key, Reason: "alert HighErrors", By: "alerts",
		Since: now.Add(-time.Minute), At: now, Until: now.Add(time.Hour),
	}
}

// freezing is a crossing that sets freezes and lifts some, by a new event.
func (w *world) freezing(n int, set []bridge.Freeze, lift []bridge.Lift) bridge.Crossing {
	ev := w.received(bridge.Message{
		Receiver: "alerts", Sender: "alerts", Key: fmt.Sprint("a", n), Body: []byte("{}"),
		Facts: []bridge.Fact{{Kind: bridge.KindAlert, Type: "firing", Alert: &bridge.Alert{Name: "HighErrors", Key: "k"}}},
	})
	c := w.outcome(ev, "alarm", bridge.Accepted, "froze production")
	c.Outcomes[0].Freezes, c.Outcomes[0].Lifts = set, lift
	return c
}

func (w *world) lifted(key string) []bridge.Lift {
	now := w.clock.now()
	return []bridge.Lift{{Application: "shop", Trigger: "alarm", Key: key, By: "alerts", Reason: "alert HighErrors ended", At: now, Ended: now}}
}

func TestFreezeIsKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		want := w.frozen("k")
		w.cross(w.freezing(1, []bridge.Freeze{want}, nil))
		want.ID = 1
		got, err := w.Frozen(t.Context(), "shop", "alarm", "k")
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("kept %+v, %v\nwant %+v", got, err, want)
		}
		for _, other := range [][3]string{{"till", "alarm", "k"}, {"shop", "other", "k"}, {"shop", "alarm", "l"}} {
			if got, err := w.Frozen(t.Context(), other[0], other[1], other[2]); err != nil || got.ID != 0 {
				t.Errorf("%v is frozen by %+v, %v", other, got, err)
			}
		}
		w.clock.move(time.Minute)
		w.cross(w.freezing(2, nil, w.lifted("k")))
		got, err = w.Freeze(t.Context(), 1)
		if err != nil || !got.Lifted.Equal(w.clock.now()) || got.LiftedBy != "alerts" || !got.Ended.Equal(w.clock.now()) || got.Holds(w.clock.now()) {
			t.Errorf("lifted %+v, %v", got, err)
		}
		if list, err := w.Freezes(t.Context(), "shop", w.clock.now()); err != nil || len(list) != 0 {
			t.Errorf("holding %+v, %v", list, err)
		}
		w.cross(w.freezing(3, []bridge.Freeze{func() bridge.Freeze { f := w.frozen("k"); f.Since = f.At.Add(time.Millisecond); return f }()}, nil))
		log := w.entries()
		for _, action := range []string{"freeze.set", "freeze.lift"} {
			if !slices.ContainsFunc(log, func(e string) bool { return strings.Contains(e, action) }) {
				t.Errorf("the audit log has no %s: %v", action, log)
			}
		}
		w.audited()
	})
}

// Two events of one alert that are judged in the same instant: the second is judged again.
func TestFreezeOncePerAlert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second := w.freezing(1, []bridge.Freeze{w.frozen("k")}, nil), w.freezing(2, []bridge.Freeze{w.frozen("k")}, nil)
		errs := race(
			func() error { _, err := w.Cross(t.Context(), first); return err },
			func() error { _, err := w.Cross(t.Context(), second); return err },
		)
		if succeeded(errs) != 1 || !slices.ContainsFunc(errs, func(err error) bool { return fault.Is(err, fault.Unavailable) }) {
			t.Errorf("errors %v, want one success and one to be judged again", errs)
		}
		if list, err := w.Freezes(t.Context(), "shop", w.clock.now()); err != nil || len(list) != 1 {
			t.Errorf("holding %+v, %v", list, err)
		}
		w.clock.move(time.Hour) // its time is over, and the next one takes its place
		w.cross(w.freezing(3, []bridge.Freeze{w.frozen("k")}, nil))
		if list, err := w.FreezeList(t.Context(), storecd.FreezeFilter{Application: "shop", Past: true}); err != nil || len(list) != 2 || list[0].ID < list[1].ID {
			t.Errorf("all %+v, %v", list, err)
		}
		if list, err := w.FreezeList(t.Context(), storecd.FreezeFilter{}); err != nil || len(list) != 1 {
			t.Errorf("holding %+v, %v", list, err)
		}
	})
}

// The end of an alert that comes before its beginning is kept: what was judged before it was
// known does not freeze.
func TestEndedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		late := w.freezing(1, []bridge.Freeze{w.frozen("k")}, nil)
		w.cross(w.freezing(2, nil, w.lifted("k")))
		if _, err := w.Cross(t.Context(), late); !fault.Is(err, fault.Unavailable) {
			t.Errorf("crossed with %v, want %s", err, fault.Unavailable)
		}
		if list, err := w.FreezeList(t.Context(), storecd.FreezeFilter{Past: true}); err != nil || len(list) != 0 {
			t.Errorf("freezes %+v, %v", list, err)
		}
		if f, err := w.Frozen(t.Context(), "shop", "alarm", "k"); err != nil || f.Ended.IsZero() || f.Holds(w.clock.now()) {
			t.Errorf("what is known of the alert: %+v, %v", f, err)
		}
		if _, err := w.LiftFreeze(t.Context(), "ops", 1, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("lift: %v, want %s", err, fault.NotFound)
		}
	})
}

func TestLiftHasWhatWaitsLookedAt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, dev := w.ship("1.0.0")
		p := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice"})
		f := w.frozen("")
		f.Trigger, f.By = "", "ops"
		set, err := w.SetFreeze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.SetFreeze(t.Context(), f) // a person may freeze what is frozen
		if err != nil || again.ID == set.ID {
			t.Errorf("a second freeze: %+v, %v", again, err)
		}
		w.exec("DELETE FROM river_job")
		if _, err := w.LiftFreeze(t.Context(), "bob", set.ID, strings.Repeat("x", 9000)+"\x00"); err != nil {
			t.Fatal(err)
		}
		if n := w.tasks(storecd.TaskPromotion, int64(p.ID), p.Version); n != 1 {
			t.Errorf("%d tasks for what waited, want 1", n)
		}
		if n := w.tasks(storecd.TaskPromotion, int64(dev.ID), dev.Version); n != 0 {
			t.Errorf("%d tasks for another environment, want 0", n)
		}
		w.clock.move(time.Hour)
		if _, err := w.LiftFreeze(t.Context(), "bob", again.ID, ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("lift of one that ended: %v, want %s", err, fault.Conflict)
		}
		w.audited()
	})
}

// A rollback passes a freeze: one that joins a promotion which waits for the end of a freeze
// has it looked at.
func TestRollbackThatJoinsIsLookedAt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		p := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice"})
		for kind, want := range map[cd.CauseKind]int64{cd.CauseManual: 0, cd.CauseRollback: 1} {
			w.exec("DELETE FROM river_job")
			joined := w.opened(r, "production", cd.Cause{Kind: kind, Actor: "bob"})
			if n := w.tasks(storecd.TaskPromotion, int64(p.ID), p.Version); joined.ID != p.ID || n != want {
				t.Errorf("promotion %d, %d tasks after %s joined promotion %d, want %d", joined.ID, n, kind, p.ID, want)
			}
		}
	})
}

func TestFreezeOfHostileText(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n := 0
		for name, text := range hostile() {
			n++
			f := w.frozen(text)
			f.Reason, f.By = text, text
			w.cross(w.freezing(n, []bridge.Freeze{f}, nil))
			if got, err := w.Frozen(t.Context(), "shop", "alarm", text); err != nil || got.ID == 0 {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if list, err := w.FreezeList(t.Context(), storecd.FreezeFilter{Limit: 100}); err != nil || len(list) != n {
			t.Errorf("%d freezes, %v, want %d", len(list), err, n)
		}
	})
}
