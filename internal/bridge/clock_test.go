package bridge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

// clockOf finds the one clock of a kind.
func (w *world) clockOf(kind bridge.ClockKind) bridge.Clock {
	w.t.Helper()
	list, err := w.store.Clocks(w.t.Context(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range list {
		if c.Kind == kind {
			return c
		}
	}
	w.t.Fatalf("no clock of kind %s in %+v", kind, list)
	return bridge.Clock{}
}

// ring rings the clock of a kind when it is due, and returns the subjects of what it brought.
func (w *world) ring(kind bridge.ClockKind) []string {
	w.t.Helper()
	c := w.clockOf(kind)
	if w.now.Before(c.Next) {
		w.now = c.Next
	}
	newest := int64(0)
	for _, e := range w.events() {
		newest = max(newest, e.ID)
	}
	for range 2 { // the second one is of a version that has passed
		if err := w.clock.Ring(w.t.Context(), c.ID, c.Version); err != nil {
			w.t.Fatal(err)
		}
	}
	var out []string
	for _, e := range w.events() {
		if e.ID > newest {
			w.process(e.ID)
			out = append([]string{e.Fact.Subject}, out...)
		}
	}
	return out
}

func (w *world) events() []bridge.Event {
	w.t.Helper()
	list, err := w.store.Events(w.t.Context(), storecd.EventFilter{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestScheduleFires(t *testing.T) {
	t.Parallel()
	for catchUp, want := range map[string]string{"once": "fired for 2026-01-09T02:00:00Z; missed before it: 3", "skip": "skipped 4"} {
		w := crossed(t, `{name: nightly, on: schedule, cron: "0 2 * * *", catchUp: `+catchUp+`, from: dev, promote: staging}`)
		w.done("dev", "1.1.0")
		c := w.clockOf(bridge.ClockSchedule)
		if want := time.Date(2026, 1, 6, 2, 0, 0, 0, time.UTC); !c.Next.Equal(want) {
			t.Fatalf("next is %v, want %v", c.Next, want)
		}
		w.now = time.Date(2026, 1, 9, 10, 0, 0, 0, time.UTC) // no server ran for days
		got := w.ring(bridge.ClockSchedule)
		c = w.clockOf(bridge.ClockSchedule)
		if !strings.Contains(c.Reason, want) || !c.Next.Equal(time.Date(2026, 1, 10, 2, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %q, next %v", catchUp, c.Reason, c.Next)
		}
		if catchUp == "skip" {
			if len(got) != 0 {
				t.Errorf("skip brought %v", got)
			}
			got = w.ring(bridge.ClockSchedule) // the next one is on time
		}
		if len(got) != 1 || len(w.opened()) != 2 || w.opened()[1] != "staging 1.1.0" {
			t.Errorf("%s: brought %v, opened %v", catchUp, got, w.opened())
		}
	}
}

// A clock that rings before its time, after an edit of the row, fires nothing.
func TestScheduleTooEarly(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: nightly, on: schedule, cron: "0 2 * * *", from: dev, promote: staging}`)
	c := w.clockOf(bridge.ClockSchedule)
	if err := w.clock.Ring(t.Context(), c.ID, c.Version); err != nil {
		t.Fatal(err)
	}
	for _, e := range w.events() {
		if e.Fact.Kind == bridge.KindClock {
			t.Errorf("it fired: %+v", e)
		}
	}
	if now := w.clockOf(bridge.ClockSchedule); !now.Next.Equal(c.Next) {
		t.Errorf("next moved from %v to %v", c.Next, now.Next)
	}
}

const polled = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, poll: 1m, require: [signature, provenance, tests]}
triggers:
  - {name: released, on: artifact, tags: {semver: ">=1.0.0"}, promote: dev}
  - {name: moving, on: artifact, tags: {digest: edge}, promote: staging}
environments:
  - {name: dev, target: {process: {artifact: web, command: [./web]}}}
  - {name: staging, target: {process: {artifact: web, command: [./web]}}}
`

func TestPollRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polled)
	for i := range 5 {
		w.image("shop/web", fmt.Sprintf("1.%d.0", i), fmt.Sprint(i), made{})
	}
	w.image("shop/web", "0.1.0", "old", made{})
	w.image("shop/web", "edge", "e1", made{})
	got := w.ring(bridge.ClockRegistry)
	if len(got) != 2 || !strings.Contains(got[0], ":1.4.0@") || !strings.Contains(got[1], ":edge@") {
		t.Errorf("the first look brought %v, want the newest and the tag that moves", got)
	}
	if got := w.ring(bridge.ClockRegistry); len(got) != 0 {
		t.Errorf("nothing changed, and it brought %v", got)
	}
	w.image("shop/web", "1.5.0", "5", made{})
	w.image("shop/web", "0.2.0", "old2", made{})
	w.image("shop/web", "edge", "e2", made{})
	got = w.ring(bridge.ClockRegistry)
	if len(got) != 2 || !strings.Contains(got[0], ":1.5.0@") || !strings.Contains(got[1], ":edge@") {
		t.Errorf("the third look brought %v", got)
	}
	if got := w.opened(); len(got) != 4 {
		t.Errorf("opened %v", got)
	}
}

// What comes at once and in great number is brought look by look, and nothing is lost.
func TestPollBringsAllInTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polled)
	w.image("shop/web", "1.0.0", "0", made{})
	w.ring(bridge.ClockRegistry)
	for i := range 50 {
		w.image("shop/web", fmt.Sprintf("2.%d.0", i), fmt.Sprint("2-", i), made{})
	}
	seen := map[string]bool{}
	for range 4 {
		got := w.ring(bridge.ClockRegistry)
		if len(got) > 20 {
			t.Errorf("one look brought %d", len(got))
		}
		for _, s := range got {
			if seen[s] {
				t.Errorf("%s came twice", s)
			}
			seen[s] = true
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d of 50 came", len(seen))
	}
}

// A registry that asks to be left alone is, and one that fails is asked more and more rarely.
func TestPollBacksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polled)
	throttled := fault.Wrap(fault.Unavailable, bridge.Throttled{After: 10 * time.Minute}, "the registry asks to wait")
	w.registry.down = throttled
	if _, ok := errors.AsType[bridge.Throttled](w.registry.down); !ok {
		t.Fatal("a fault hides what it wraps")
	}
	w.ring(bridge.ClockRegistry)
	c := w.clockOf(bridge.ClockRegistry)
	if wait := c.Next.Sub(w.now); wait < 9*time.Minute || c.Failures != 1 || !strings.Contains(c.Reason, "asks to wait") {
		t.Errorf("asked again after %v, %+v", wait, c)
	}
	w.registry.down = fault.New(fault.Unavailable, "it does not answer")
	last := time.Duration(0)
	for range 4 {
		w.ring(bridge.ClockRegistry)
		wait := w.clockOf(bridge.ClockRegistry).Next.Sub(w.now)
		if wait <= last {
			t.Errorf("the wait went from %v to %v", last, wait)
		}
		last = wait
	}
	w.registry.down = nil
	w.image("shop/web", "1.0.0", "0", made{})
	if got := w.ring(bridge.ClockRegistry); len(got) != 1 {
		t.Errorf("it brought %v", got)
	}
	if c := w.clockOf(bridge.ClockRegistry); c.Failures != 0 {
		t.Errorf("%d failures after a good look", c.Failures)
	}
}

func TestPollGit(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: tagged, on: release, repository: `+source+`, tags: {semver: ">=1.0.0"}, poll: 1m, promote: staging}`)
	for _, tag := range []string{"v1.0.0", "v1.9.0", "v1.10.0", "v0.5.0", "nightly"} {
		w.git.refs[source+" refs/tags/"+tag] = commitOf("a")
	}
	w.git.refs[source+" refs/heads/main"] = commitOf("b")
	if got := w.ring(bridge.ClockGit); len(got) != 1 || !strings.HasSuffix(got[0], "refs/tags/v1.10.0") {
		t.Errorf("the first look brought %v, want the newest tag", got)
	}
	w.git.refs[source+" refs/tags/v1.11.0"] = commitOf("b")
	if got := w.ring(bridge.ClockGit); len(got) != 1 || !strings.HasSuffix(got[0], "refs/tags/v1.11.0") {
		t.Errorf("the second look brought %v", got)
	}
	if got := w.opened(); len(got) != 2 || got[0] != "staging 1.0.0" || got[1] != "staging 1.1.0" {
		t.Errorf("opened %v", got)
	}
}

// An edit of the schedule sets the clock anew; one of something else does not.
func TestClockFollowsTheDelivery(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: nightly, on: schedule, cron: "0 2 * * *", from: dev, promote: staging}`)
	before := w.clockOf(bridge.ClockSchedule)
	w.now = w.now.Add(24 * time.Hour)
	w.apply(withTrigger(`{name: nightly, on: schedule, cron: "0 2 * * *", catchUp: once, from: dev, promote: staging}`))
	if c := w.clockOf(bridge.ClockSchedule); !c.Next.Equal(before.Next) || c.ID != before.ID {
		t.Errorf("clock %+v, want %+v", c, before)
	}
	w.apply(withTrigger(`{name: nightly, on: schedule, cron: "0 5 * * *", from: dev, promote: staging}`))
	if c := w.clockOf(bridge.ClockSchedule); c.Next.Hour() != 5 {
		t.Errorf("clock %+v, want it at five", c)
	}
	w.apply(withTrigger(`{name: published, on: artifact, promote: dev}`))
	if list, err := w.store.Clocks(t.Context(), "shop"); err != nil || len(list) != 0 {
		t.Errorf("clocks %+v, %v, want none", list, err)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	var b bridge.Budget
	now := time.Unix(0, 0)
	first, _ := b.Take("slow", now)
	second, _ := b.Take("slow", now)
	if third, wait := b.Take("slow", now); first == nil || second == nil || third != nil || wait <= 0 {
		t.Error("one host took more than its places")
	}
	if other, _ := b.Take("fast", now); other == nil {
		t.Error("a slow host kept another waiting")
	}
	first()
	first() // once is enough
	if again, _ := b.Take("slow", now); again == nil {
		t.Error("a place that was given back is gone")
	}
	if more, _ := b.Take("slow", now); more != nil {
		t.Error("a place was given back twice")
	}
	b.Throttle("fast", now.Add(time.Minute))
	if r, wait := b.Take("fast", now); r != nil || wait != time.Minute {
		t.Errorf("a host that asked to be left alone: %v", wait)
	}
	if r, _ := b.Take("fast", now.Add(time.Minute)); r == nil {
		t.Error("it is left alone for ever")
	}
}
