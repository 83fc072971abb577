package cd_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

func (w *world) redrive(e bridge.Event, facts ...bridge.Fact) bridge.Event {
	w.t.Helper()
	got, err := w.Redrive(w.t.Context(), "alice", e, facts)
	if err != nil {
		w.t.Fatal(err)
	}
	stored, err := w.Event(w.t.Context(), got.ID)
	if diff := cmp.Diff(stored, got, digests()); err != nil || diff != "" {
		w.t.Errorf("redriven event as it is stored: %v\n%s", err, diff)
	}
	if got.State != bridge.EventReceived || got.Attempts != 0 {
		w.t.Errorf("redriven event is %+v", got)
	}
	return got
}

func TestRedriveOfADeadEvent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		e := w.receive("1.0.0", 1)
		w.exec("DELETE FROM river_job")
		e.Attempts, e.Reason = 12, "no"
		if err := w.Failed(t.Context(), e, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := w.redrive(e); got.ID != e.ID || !cmp.Equal(got.Fact, e.Fact, digests()) {
			t.Errorf("redriven: %+v", got)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 1 {
			t.Errorf("%d tasks", n)
		}
		want := []string{"delivery.apply delivery/shop", "event.receive event/1", "event.dead event/1", "event.redrive event/1"}
		if diff := cmp.Diff(want, w.entries()); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
		w.audited()
	})
}

func TestRedriveOfWhatCanBeReadNow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.published("1.0.0", 1)
		facts := []bridge.Fact{m.Facts[0], w.published("1.1.0", 1).Facts[0], w.published("1.2.0", 1).Facts[0]}
		m.Facts, m.Wrong = nil, "field a is missing"
		e := w.received(m)
		if _, err := w.Redrive(t.Context(), "alice", e, nil); fault.KindOf(err) != fault.Invalid {
			t.Errorf("nothing can be read yet: %v", err)
		}
		if got := w.redrive(e, facts...); got.ID != e.ID || got.Fact.Artifact.Tag != "1.0.0" {
			t.Errorf("redriven: %+v", got)
		}
		kept, fresh, err := w.Receive(t.Context(), m) // the sender repeats: all parts are there
		if err != nil || fresh || len(kept) != 3 || kept[2].Part != 2 || kept[2].Fact.Artifact.Tag != "1.2.0" || kept[2].State != bridge.EventReceived {
			t.Fatalf("parts %+v, %v", kept, err)
		}
		for _, k := range kept {
			if n := w.tasks(storecd.TaskEvent, k.ID, 0); n != 1 {
				t.Errorf("part %d has %d tasks", k.Part, n)
			}
			if raw, err := w.Raw(t.Context(), k.ID); err != nil || string(raw.Body) != string(m.Body) {
				t.Errorf("part %d: %q, %v", k.Part, raw.Body, err)
			}
		}
		if list, err := w.Published(t.Context(), image("x"), 10); err != nil || len(list) != 3 {
			t.Errorf("%d are known as published, %v", len(list), err)
		}
		// Once more: nothing is kept twice.
		w.redrive(kept[0], facts...)
		if n := w.count("SELECT count(*) FROM event"); n != 3 {
			t.Errorf("%d events", n)
		}
	})
}

func TestRedriveOfAProcessedEvent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.published("1.0.0", 1)
		m.Facts = append(m.Facts, w.published("1.1.0", 1).Facts[0])
		m.Applications = []string{"shop"}
		parts, _, err := w.Receive(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			w.cross(w.outcome(p, "published", bridge.Refused, "no"))
		}
		first := w.redrive(parts[1])
		if first.ID == parts[1].ID || first.Key != m.Key+" redrive 1" || first.Fact.Artifact.Tag != "1.1.0" || first.Applications[0] != "shop" {
			t.Errorf("made again: %+v", first)
		}
		if raw, err := w.Raw(t.Context(), first.ID); err != nil || string(raw.Body) != string(m.Body) || len(raw.Headers) != 1 {
			t.Errorf("its delivery: %+v, %v", raw, err)
		}
		w.cross(w.outcome(first, "published", bridge.Refused, "no"))
		if second := w.redrive(first, m.Facts...); second.Key != m.Key+" redrive 2" || second.Fact.Artifact.Tag != "1.1.0" {
			t.Errorf("again: %+v", second)
		}
		if n := w.count("SELECT count(*) FROM event"); n != 4 {
			t.Errorf("%d events", n)
		}
		if list, err := w.Handoffs(t.Context(), storecd.HandoffFilter{}); err != nil || len(list) != 3 {
			t.Errorf("the handoffs that were there stand: %d, %v", len(list), err)
		}
		if _, err := w.Redrive(t.Context(), "alice", bridge.Event{ID: 99}, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("no such event: %v", err)
		}
		w.audited()
	})
}

func TestRedriveByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		e := w.receive("1.0.0", 1)
		w.cross(w.outcome(e, "published", bridge.Refused, "no"))
		again := func() error { _, err := w.Redrive(t.Context(), "alice", e, nil); return err }
		if errs := race(again, again, again, again); succeeded(errs) != 4 {
			t.Errorf("redrive: %v", errs)
		}
		if n := w.count("SELECT count(*) FROM event"); n != 5 {
			t.Errorf("%d events, want one of each redrive", n)
		}
	})
}

func TestRedriveOfWhatWaitsForItsNextTry(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		e := w.receive("1.0.0", 1)
		w.exec("DELETE FROM river_job")
		e.Attempts = 3
		if err := w.Failed(t.Context(), e, start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		w.redrive(e)
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 1 {
			t.Errorf("%d tasks", n)
		}
		if n := w.count("SELECT count(*) FROM timer"); n != 0 {
			t.Errorf("%d timers", n)
		}
	})
}
