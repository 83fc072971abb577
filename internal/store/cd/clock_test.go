package cd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

// scheduled is the delivery with a schedule and a registry that is looked at.
func scheduled(cron, image, poll string) string {
	d := strings.Replace(delivery, "{name: web, image: shop/web}", "{name: web, image: "+image+", poll: "+poll+"}", 1)
	return strings.Replace(d, "triggers:\n", "triggers:\n  - {name: nightly, on: schedule, cron: \""+cron+"\", from: dev, promote: staging}\n", 1)
}

func (w *world) clocks() map[string]bridge.Clock {
	w.t.Helper()
	list, err := w.Clocks(w.t.Context(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]bridge.Clock{}
	for _, c := range list {
		out[c.Name] = c
	}
	return out
}

// timer is when a clock's task is due, in what version; zero when it is not.
func (w *world) timer(c bridge.Clock) (at time.Time, version int64) {
	w.t.Helper()
	if w.count("SELECT count(*) FROM timer WHERE name = $1 AND id = $2", storecd.TaskClock, c.ID) == 0 {
		return at, 0
	}
	ms := w.count("SELECT due_ms FROM timer WHERE name = $1 AND id = $2", storecd.TaskClock, c.ID)
	return time.UnixMilli(ms).UTC(), w.count("SELECT version FROM timer WHERE name = $1 AND id = $2", storecd.TaskClock, c.ID)
}

func TestClocksFollowTheDelivery(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if list := w.clocks(); len(list) != 0 {
			t.Fatalf("clocks without a need: %+v", list)
		}
		w.apply(scheduled("0 2 * * *", "shop/web", "1m"))
		first := w.clocks()
		nightly, web := first["nightly"], first["web"]
		if len(first) != 2 || nightly.Kind != bridge.ClockSchedule || !nightly.Next.Equal(start.Add(17*time.Hour)) ||
			web.Kind != bridge.ClockRegistry || !web.Next.Equal(start) || web.Version != 1 {
			t.Fatalf("clocks %+v", first)
		}
		if at, v := w.timer(nightly); !at.Equal(nightly.Next) || v != 1 {
			t.Errorf("nightly has a timer at %s, version %d", at, v)
		}
		seen := web
		seen.Next, seen.Last, seen.State, seen.Failures, seen.Reason, seen.Version = start.Add(time.Minute), start, []byte(`{"known":{"1.0.0":""}}`), 3, "away\x00", 2
		if err := w.Tick(t.Context(), web, seen, nil); err != nil {
			t.Fatal(err)
		}
		seen.Reason = "away\uFFFD"

		w.clock.move(time.Hour)
		w.apply(scheduled("0 2 * * *", "shop/web", "1m") + "# a remark\n")
		if diff := cmp.Diff(map[string]bridge.Clock{"nightly": nightly, "web": seen}, w.clocks()); diff != "" {
			t.Errorf("the same again changed the clocks (-before +after):\n%s", diff)
		}

		w.apply(scheduled("0 3 * * *", "shop/web", "2m"))
		now := w.clocks()
		if c := now["nightly"]; c.ID != nightly.ID || !c.Next.Equal(start.Add(18*time.Hour)) || c.Version != 2 {
			t.Errorf("another time of day: %+v", c)
		}
		if c := now["web"]; c.ID != web.ID || !c.Next.Equal(start.Add(time.Hour)) || string(c.State) != string(seen.State) || c.Failures != 0 || c.Version != 3 {
			t.Errorf("another interval: %+v", c)
		}
		if at, v := w.timer(web); !at.Equal(start.Add(time.Hour)) || v != 3 {
			t.Errorf("web has a timer at %s, version %d", at, v)
		}

		w.apply(scheduled("0 3 * * *", "shop/site", "2m"))
		if c := w.clocks()["web"]; len(c.State) != 0 || c.Version != 4 {
			t.Errorf("another image: %+v", c)
		}
		w.apply(delivery)
		if list := w.clocks(); len(list) != 0 {
			t.Errorf("clocks that nobody needs any more: %+v", list)
		}
		if n := w.count("SELECT count(*) FROM timer"); n != 0 {
			t.Errorf("%d timers are left", n)
		}
		if _, err := w.Clock(t.Context(), web.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a clock that is gone: %v", err)
		}
	})
}

func TestTickOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.apply(scheduled("0 2 * * *", "shop/web", "1m"))
		was := w.clocks()["web"]
		now := was
		now.Version, now.Next, now.Last = 2, start.Add(time.Minute), start
		found := []bridge.Message{w.published("1.0.0", 1), w.published("1.1.0", 1), w.published("1.1.0", 1)}
		for i := range found {
			found[i].Receiver, found[i].Sender, found[i].Headers, found[i].Body = bridge.DoorPoll, bridge.DoorPoll, nil, nil
		}
		tick := func() error { return w.Tick(t.Context(), was, now, found) }
		conflicts(t, race(tick, tick, tick, tick))
		if n := w.count("SELECT count(*) FROM event"); n != 2 {
			t.Errorf("%d events", n)
		}
		w.sort()
		if n := w.count("SELECT count(*) FROM river_job WHERE args ->> 'n' = 'event.process'"); n != 2 {
			t.Errorf("%d tasks", n)
		}
		if c := w.clocks()["web"]; !cmp.Equal(c, now) {
			t.Errorf("clock %+v", c)
		}
		if at, v := w.timer(was); !at.Equal(now.Next) || v != 2 {
			t.Errorf("timer at %s, version %d", at, v)
		}
		if _, err := w.Raw(t.Context(), 1); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a delivery of nobody: %v", err)
		}
		// What was found is known by then; and a clock that rings no more has no timer.
		last := now
		last.Version, last.Next = 3, time.Time{}
		if err := w.Tick(t.Context(), now, last, found); err != nil {
			t.Fatal(err)
		}
		if n := w.count("SELECT count(*) FROM event"); n != 2 {
			t.Errorf("%d events", n)
		}
		if at, _ := w.timer(was); !at.IsZero() {
			t.Errorf("timer at %s", at)
		}
		w.audited()
	})
}

func TestSweepBringsBackWhatTheBridgeLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.apply(scheduled("0 2 * * *", "shop/web", "1m"))
		e := w.receive("1.0.0", 1)
		h := w.cross(w.outcome(w.receive("2.0.0", 1), "published", bridge.Waiting, "waits"))[0]
		sweep := func() {
			t.Helper()
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.move(24 * time.Hour)
		sweep()
		web, nightly := w.clocks()["web"], w.clocks()["nightly"]
		tasks := func() [4]int64 {
			return [4]int64{
				w.tasks(storecd.TaskEvent, e.ID, 0), w.tasks(storecd.TaskHandoff, h, 0),
				w.tasks(storecd.TaskClock, web.ID, 1), w.tasks(storecd.TaskClock, nightly.ID, 1),
			}
		}
		if got := tasks(); got != [4]int64{1, 0, 0, 0} {
			t.Errorf("nothing was lost, and yet there are tasks %v", got)
		}
		for _, q := range []string{"DELETE FROM timer", "DELETE FROM river_job"} {
			w.exec(q)
		}
		sweep()
		sweep()
		if got := tasks(); got != [4]int64{1, 1, 1, 1} {
			t.Errorf("tasks %v, want one of each", got)
		}
	})
}
