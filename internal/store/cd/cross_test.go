package cd_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

func TestCrossOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ev := w.receive("1.0.0", 1)
		c := w.accepted(ev, "published")
		cross := func() error {
			_, err := w.Cross(t.Context(), c)
			return err
		}
		errs := race(cross, cross, cross, cross)
		if n := succeeded(errs); n != 1 {
			t.Fatalf("%d of 4 crossings counted: %v", n, errs)
		}
		for _, err := range errs {
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Errorf("a crossing too many: %v, want a conflict", err)
			}
		}
		for query, want := range map[string]int64{
			"SELECT count(*) FROM handoff": 1, "SELECT count(*) FROM release": 1, "SELECT count(*) FROM promotion": 1,
		} {
			if n := w.count(query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		if n := w.tasks(storecd.TaskPromotion, 1, 1); n != 1 {
			t.Errorf("%d tasks for the promotion", n)
		}
		if got, err := w.Event(t.Context(), ev.ID); err != nil || got.State != bridge.EventProcessed {
			t.Errorf("event is %s, %v", got.State, err)
		}
		want := []string{"delivery.apply delivery/shop", "event.receive event/1", "handoff.accept handoff/1", "promotion.open promotion/1"}
		if diff := cmp.Diff(want, w.entries()); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
		w.audited()
	})
}

func TestOneAcceptedHandoffPerTriggerAndKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second := w.receive("1.0.0", 1), w.receive("1.0.0", 2)
		one, two := w.accepted(first, "published"), w.accepted(second, "published")
		errs := race(func() error { _, err := w.Cross(t.Context(), one); return err }, func() error { _, err := w.Cross(t.Context(), two); return err })
		if n := succeeded(errs); n != 1 {
			t.Fatalf("%d of two accepted handoffs for one release: %v", n, errs)
		}
		if n := w.count("SELECT count(*) FROM handoff"); n != 1 {
			t.Errorf("%d handoffs", n)
		}
		// A conflict would mean that another worker has processed this very event.
		for _, err := range errs {
			if err != nil && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("the second: %v, want it to be tried again", err)
			}
		}
		// What lost has changed nothing: it is judged again and is a duplicate now.
		left, err := w.Events(t.Context(), storecd.EventFilter{State: bridge.EventReceived})
		if err != nil || len(left) != 1 {
			t.Fatalf("unprocessed events: %v, %v", left, err)
		}
		h, err := w.Accepted(t.Context(), "shop", "published", w.release("1.0.0").ID)
		if err != nil || h.ID == 0 || h.State != bridge.Accepted {
			t.Errorf("accepted handoff %+v, %v", h, err)
		}
		for _, key := range []string{"other", w.release("1.0.0").ID + "0", "\x00", "%"} {
			if h, err := w.Accepted(t.Context(), "shop", "published", key); err != nil || h.ID != 0 {
				t.Errorf("under %q: %+v, %v", key, h, err)
			}
		}
		// Another trigger may hand the same release over, and without a key a trigger accepts twice.
		w.cross(w.accepted(w.receive("1.0.0", 3), "tagged"))
		for n := range 2 {
			c := w.accepted(w.receive("1.0.0", 4+n), "free")
			c.Outcomes[0].Handoff.Once = ""
			w.cross(c)
		}
	})
}

// TestProcessedTwiceAtOnce has the service judge two events of one digest at once, until
// both are processed: one is accepted, the other says whose duplicate it is.
func TestProcessedTwiceAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.bridge()
		for n := range 6 {
			w.receive("1.0.0", n)
		}
		for range 5 {
			left, err := w.Events(t.Context(), storecd.EventFilter{State: bridge.EventReceived})
			if err != nil {
				t.Fatal(err)
			}
			var calls []func() error
			for _, e := range left {
				process := func() error { return s.Process(t.Context(), e.ID) }
				calls = append(calls, process, process)
			}
			for _, err := range race(calls...) {
				if err != nil {
					t.Errorf("process: %v", err)
				}
			}
			for _, e := range left { // each one that is received still is on its way
				now, err := w.Event(t.Context(), e.ID)
				if err != nil || now.State == bridge.EventReceived && w.count("SELECT count(*) FROM timer WHERE name = 'event.process' AND id = $1", e.ID) != 1 {
					t.Errorf("event %d stands still: %+v, %v", e.ID, now, err)
				}
			}
		}
		figures := map[bridge.HandoffState]int{}
		list, err := w.Handoffs(t.Context(), storecd.HandoffFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list {
			figures[h.State]++
		}
		if want := map[bridge.HandoffState]int{bridge.Accepted: 1, bridge.Ignored: 5}; !cmp.Equal(figures, want) {
			t.Errorf("handoffs %v, want %v", figures, want)
		}
		if n := w.count("SELECT count(*) FROM promotion"); n != 1 {
			t.Errorf("%d promotions", n)
		}
		w.audited()
	})
}

func TestVersionNamesOneReleaseForEver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ship("1.0.0")
		ev := w.receive("1.0.0", 2)
		c := w.accepted(ev, "published")
		r := *c.Outcomes[0].Release
		r.Artifacts = map[string]artifact.Digest{"web": digestOf("other")}
		r.ID = bridge.ReleaseID("shop", r.Artifacts)
		c.Outcomes[0].Release, c.Outcomes[0].Handoff.Release, c.Outcomes[0].Handoff.Once, c.Outcomes[0].Starts = &r, r.ID, r.ID, nil
		if _, err := w.Cross(t.Context(), c); fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("version 1.0.0 names two releases: %v, want it to be judged again", err)
		}
		if n := w.count("SELECT count(*) FROM release"); n != 1 {
			t.Errorf("%d releases", n)
		}
		if got, err := w.Event(t.Context(), ev.ID); err != nil || got.State != bridge.EventReceived {
			t.Errorf("the event is %s, %v: what failed must be undone as a whole", got.State, err)
		}
		// The same digests under another version are judged again too: a release has one name.
		c = w.accepted(ev, "tagged")
		c.Outcomes[0].Release.Version = "v1"
		if _, err := w.Cross(t.Context(), c); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("one release under two versions: %v", err)
		}
		w.audited()
	})
}

func TestWhatAPersonAsksForIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		asked := func(key string) bridge.Crossing {
			ev := bridge.Event{
				Receiver: bridge.DoorPerson, Key: key, Sender: "alice", Received: w.clock.now(),
				Fact: bridge.Fact{Kind: bridge.KindPerson, Type: "promote", Trigger: &bridge.TriggerRef{Application: "shop"}},
			}
			starts, err := cd.Planner{Reader: w.Store}.Plan(t.Context(), bridge.Request{Release: r, Environment: "production", Cause: bridge.Cause{Kind: bridge.ByPerson, Actor: "alice"}})
			if err != nil {
				t.Fatal(err)
			}
			h := bridge.Handoff{Application: "shop", State: bridge.Accepted, Release: r.ID, Once: "person/" + key, Actor: "alice", At: w.clock.now()}
			return bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{{Handoff: h, Starts: starts}}}
		}
		c := asked("request 1")
		ask := func() error { _, err := w.Cross(t.Context(), c); return err }
		errs := race(ask, ask, ask, ask)
		conflicts(t, errs)
		h, err := w.Handoff(t.Context(), 2)
		if err != nil || h.Event != 2 || h.Actor != "alice" {
			t.Fatalf("handoff %+v, %v", h, err)
		}
		e, err := w.Event(t.Context(), h.Event)
		if err != nil || e.State != bridge.EventProcessed || e.Sender != "alice" || e.Receiver != bridge.DoorPerson {
			t.Errorf("event %+v, %v", e, err)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 0 {
			t.Errorf("%d tasks for what is processed", n)
		}
		list, err := w.Promotions(t.Context(), cd.PromotionFilter{Environment: env("production")})
		if err != nil || len(list) != 1 || list[0].Requester != "alice" {
			t.Errorf("promotions %+v, %v", list, err)
		}
		w.cross(asked("request 2")) // joins
		want := []string{"event.receive event/2", "handoff.accept handoff/2", "promotion.open promotion/2", "event.receive event/3", "handoff.accept handoff/3"}
		if diff := cmp.Diff(want, w.entries()[4:][:5]); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
	})
}

func TestWaitingIsSettledOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ev := w.receive("1.0.0", 1)
		id := w.cross(w.outcome(ev, "published", bridge.Waiting, "waits for worker"))[0]
		if n := w.count("SELECT due_ms FROM timer WHERE name = $1 AND id = $2", storecd.TaskHandoff, id); n != start.Add(time.Minute).UnixMilli() {
			t.Errorf("it is looked at at %d", n)
		}
		// It goes on waiting, at first for the same.
		w.clock.move(time.Minute)
		on := w.outcome(ev, "published", bridge.Waiting, "waits for worker").Outcomes[0]
		on.Handoff.ID = id
		for range 2 {
			if err := w.Settle(t.Context(), on); err != nil {
				t.Fatal(err)
			}
		}
		on.Handoff.Reason = "waits for evidence"
		if err := w.Settle(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		if n := w.count("SELECT due_ms FROM timer WHERE name = $1 AND id = $2", storecd.TaskHandoff, id); n != start.Add(2*time.Minute).UnixMilli() {
			t.Errorf("then it is looked at at %d", n)
		}
		if h, err := w.Handoff(t.Context(), id); err != nil || h.State != bridge.Waiting || h.Reason != "waits for evidence" {
			t.Errorf("handoff %+v, %v", h, err)
		}
		final := w.accepted(ev, "published").Outcomes[0]
		final.Handoff.ID, final.Handoff.Event, final.Handoff.Trigger = id, 77, "other" // whatever it says, it stays where it is
		settle := func() error { return w.Settle(t.Context(), final) }
		conflicts(t, race(settle, settle, settle, settle))
		h, err := w.Handoff(t.Context(), id)
		if err != nil || h.State != bridge.Accepted || h.Event != ev.ID || h.Trigger != "published" || h.Release != w.release("1.0.0").ID {
			t.Errorf("settled: %+v, %v", h, err)
		}
		if n := w.count("SELECT count(*) FROM timer WHERE name = $1", storecd.TaskHandoff); n != 0 {
			t.Error("a handoff that is settled has a timer")
		}
		if n := w.count("SELECT count(*) FROM promotion"); n != 1 {
			t.Errorf("%d promotions", n)
		}
		want := []string{
			"delivery.apply delivery/shop", "event.receive event/1", "handoff.wait handoff/1", "handoff.wait handoff/1",
			"handoff.accept handoff/1", "promotion.open promotion/1",
		}
		if diff := cmp.Diff(want, w.entries()); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
		final.Handoff.ID = 99
		if err := w.Settle(t.Context(), final); fault.KindOf(err) != fault.NotFound {
			t.Errorf("no such handoff: %v", err)
		}
		w.audited()
	})
}

func TestTwoWaitForOneRelease(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var calls []func() error
		for n := range 3 {
			ev := w.receive("1.0.0", n)
			id := w.cross(w.outcome(ev, "published", bridge.Waiting, "waits"))[0]
			final := w.accepted(ev, "published").Outcomes[0]
			final.Handoff.ID = id
			calls = append(calls, func() error { return w.Settle(t.Context(), final) })
		}
		errs := race(calls...)
		if n := succeeded(errs); n != 1 {
			t.Errorf("%d were accepted: %v", n, errs)
		}
		for _, err := range errs {
			if err != nil && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("another: %v, want it to be looked at again", err)
			}
		}
		if n := w.count("SELECT count(*) FROM handoff WHERE state = 'waiting'"); n != 2 {
			t.Errorf("%d wait still", n)
		}
		w.audited()
	})
}

func TestWhatWaitsIsLookedAtAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.outcome(w.receive("0.1.0", 1), "published", bridge.Waiting, "of another application")
		other.Outcomes[0].Handoff.Application = "another"
		w.cross(other)
		first := w.cross(w.outcome(w.receive("1.0.0", 1), "published", bridge.Waiting, "waits"))[0]
		w.cross(w.outcome(w.receive("1.0.0", 2), "published", bridge.Refused, "no"))
		w.cross(w.outcome(w.receive("1.0.0", 3), "published", bridge.Ignored, "no"))
		if n := w.count("SELECT count(*) FROM river_job WHERE args ->> 'n' = 'handoff.look'"); n != 0 {
			t.Fatalf("%d were looked at without a reason", n)
		}
		second := w.cross(w.outcome(w.receive("2.0.0", 1), "published", bridge.Waiting, "waits"))[0]
		if a, b := w.tasks(storecd.TaskHandoff, first, 0), w.tasks(storecd.TaskHandoff, second, 0); a != 1 || b != 0 {
			t.Errorf("after another one waits: %d and %d tasks", a, b)
		}
		w.ship("3.0.0")
		if a, b := w.tasks(storecd.TaskHandoff, first, 0), w.tasks(storecd.TaskHandoff, second, 0); a != 2 || b != 1 {
			t.Errorf("after a release: %d and %d tasks", a, b)
		}
		if n := w.count("SELECT count(*) FROM river_job WHERE args ->> 'n' = 'handoff.look'"); n != 3 {
			t.Errorf("%d tasks: another application was told", n)
		}
	})
}

func TestWhatIsExpected(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		stated := func(n int, version string, at time.Time) bridge.Crossing {
			c := w.outcome(w.receive("1.0.0", n), "state", bridge.Accepted, "commit")
			for _, env := range []string{"dev", "staging"} {
				c.Outcomes[0].Expected = append(c.Outcomes[0].Expected, bridge.Expectation{
					Application: "shop", Trigger: "state", Environment: env, Version: version, Commit: version, Actor: "alice", At: at,
				})
			}
			return c
		}
		w.cross(stated(1, "1.0.0", start.Add(time.Second)))
		w.cross(stated(2, "2.0.0", start.Add(2*time.Second)))
		late := stated(3, "1.5.0", start.Add(time.Second)) // judged before the last one, written after it
		if _, err := w.Cross(t.Context(), late); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("an older statement: %v, want it to be judged again", err)
		}
		list, err := w.Expected(t.Context(), "shop")
		if err != nil || len(list) != 2 || list[0].Environment != "dev" || list[0].Version != "2.0.0" || list[1].Version != "2.0.0" {
			t.Errorf("expected: %+v, %v", list, err)
		}
		if list, err := w.Expected(t.Context(), "another"); err != nil || len(list) != 0 {
			t.Errorf("of another application: %+v, %v", list, err)
		}
	})
}
