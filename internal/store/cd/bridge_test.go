package cd_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

func TestEventIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.receive("1.0.0", 1)
		again := w.published("1.0.0", 1)
		again.Sender = "mallory"
		again.Published.Artifact = image("6.6.6")
		kept, fresh, err := w.Receive(t.Context(), again)
		if err != nil || fresh {
			t.Fatalf("a repetition: fresh %v, %v", fresh, err)
		}
		if diff := cmp.Diff(first, kept, digests()); diff != "" {
			t.Errorf("a repetition changed the event (-first +now):\n%s", diff)
		}
		other := w.published("1.0.0", 1)
		other.Published.Source = "/elsewhere"
		if kept, fresh, err = w.Receive(t.Context(), other); err != nil || !fresh || kept.ID == first.ID {
			t.Errorf("the same id of another source: event %d, fresh %v, %v", kept.ID, fresh, err)
		}
		if n := w.tasks(storecd.TaskEvent, first.ID, 0); n != 1 {
			t.Errorf("%d tasks for one event", n)
		}
		got, err := w.Event(t.Context(), first.ID)
		if diff := cmp.Diff(first, got, digests()); err != nil || diff != "" {
			t.Errorf("event as it is read: %v\n%s", err, diff)
		}
		if _, err := w.Event(t.Context(), 99); fault.KindOf(err) != fault.NotFound {
			t.Errorf("no such event: %v", err)
		}
	})
}

func TestEventIsKeptOnceByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		calls := make([]func() error, 8)
		ids := make([]int64, len(calls))
		freshness := make([]bool, len(calls))
		for i := range calls {
			calls[i] = func() (err error) {
				var e bridge.Event
				e, freshness[i], err = w.Receive(t.Context(), w.published("1.0.0", 1))
				ids[i] = e.ID
				return err
			}
		}
		fresh := 0
		for i, err := range race(calls...) {
			if err != nil && fault.KindOf(err) != fault.Conflict { // in the same instant: the sender repeats
				t.Errorf("receive: %v", err)
			}
			if err == nil && ids[i] != 1 {
				t.Errorf("receive gave event %d", ids[i])
			}
			if err == nil && freshness[i] {
				fresh++
			}
		}
		if n := w.count("SELECT count(*) FROM event"); n != 1 || fresh != 1 {
			t.Errorf("%d events, %d fresh", n, fresh)
		}
		if n := w.tasks(storecd.TaskEvent, 1, 0); n != 1 {
			t.Errorf("%d tasks", n)
		}
		w.audited()
	})
}

func TestCrossOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ev := w.receive("1.0.0", 1)
		c := w.accepted(ev, "published")
		errs := race(
			func() error { return w.Cross(t.Context(), c) }, func() error { return w.Cross(t.Context(), c) },
			func() error { return w.Cross(t.Context(), c) }, func() error { return w.Cross(t.Context(), c) },
		)
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

func TestOneAcceptedHandoffPerTriggerAndRelease(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second := w.receive("1.0.0", 1), w.receive("1.0.0", 2)
		one, two := w.accepted(first, "published"), w.accepted(second, "published")
		errs := race(func() error { return w.Cross(t.Context(), one) }, func() error { return w.Cross(t.Context(), two) })
		if n := succeeded(errs); n != 1 {
			t.Fatalf("%d of two accepted handoffs for one release: %v", n, errs)
		}
		if n := w.count("SELECT count(*) FROM handoff"); n != 1 {
			t.Errorf("%d handoffs", n)
		}
		// What lost has changed nothing: it is judged again and is a duplicate now.
		left, err := w.Unprocessed(t.Context(), start.Add(time.Hour), 10)
		if err != nil || len(left) != 1 {
			t.Fatalf("unprocessed events: %v, %v", left, err)
		}
		h, r, err := w.Accepted(t.Context(), "shop", "published", w.release("1.0.0").ID, "1.0.0")
		if err != nil || h.ID == 0 || r.ID != w.release("1.0.0").ID {
			t.Errorf("accepted handoff %d, release %s, %v", h.ID, r.ID, err)
		}
		// Another trigger may hand the same release over.
		if err := w.Cross(t.Context(), w.accepted(w.receive("1.0.0", 3), "tagged")); err != nil {
			t.Errorf("another trigger: %v", err)
		}
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
		c.Outcomes[0].Release, c.Outcomes[0].Handoff.Release, c.Outcomes[0].Starts = &r, r.ID, nil
		if err := w.Cross(t.Context(), c); err == nil {
			t.Fatal("version 1.0.0 names two releases")
		}
		if n := w.count("SELECT count(*) FROM release"); n != 1 {
			t.Errorf("%d releases", n)
		}
		if got, err := w.Event(t.Context(), ev.ID); err != nil || got.State != bridge.EventReceived {
			t.Errorf("the event is %s, %v: what failed must be undone as a whole", got.State, err)
		}
		w.audited()
	})
}

func TestReleaseByWhatPeopleWrite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		want, _ := w.ship("1.0.0")
		for _, id := range []string{want.ID, want.ID[:6], want.ID[:63], "shop@1.0.0"} {
			if got, err := w.Release(t.Context(), id); err != nil || got.ID != want.ID {
				t.Errorf("release %q: %q, %v", id, got.ID, err)
			}
		}
		for id, kind := range map[string]fault.Kind{
			"": fault.Invalid, want.ID[:5]: fault.Invalid, "%%%%%%": fault.Invalid, "gggggggg": fault.Invalid,
			"000000": fault.NotFound, "shop@2.0.0": fault.NotFound, "@": fault.NotFound, want.ID + "0": fault.NotFound,
			"SHOP@1.0.0": fault.NotFound,
		} {
			if _, err := w.Release(t.Context(), id); fault.KindOf(err) != kind {
				t.Errorf("release %q: %v, want %s", id, err, kind)
			}
		}
	})
}

func TestListsPageWithoutGapsAndRepetitions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 7
		for i := range n {
			if i%3 != 0 { // some are accepted in the same millisecond
				w.clock.move(time.Millisecond)
			}
			w.ship(fmt.Sprintf("1.0.%d", i))
		}
		ctx := t.Context()
		var handoffs, promotions, events []int64
		for before := int64(0); len(handoffs) <= n; {
			page, err := w.Handoffs(ctx, storecd.HandoffFilter{Application: "shop", State: bridge.Accepted, Before: before, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, h := range page {
				before = h.ID
				handoffs = append(handoffs, h.ID)
			}
		}
		for before := cd.PromotionID(0); len(promotions) <= n; {
			page, err := w.Promotions(ctx, cd.PromotionFilter{Environment: cd.EnvironmentRef{Application: "shop"}, Active: true, Before: before, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, p := range page {
				before = p.ID
				promotions = append(promotions, int64(p.ID))
			}
		}
		for after := int64(0); len(events) <= n; {
			page, err := w.Events(ctx, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				after = e.ID
				events = append(events, e.ID)
			}
		}
		want := []int64{7, 6, 5, 4, 3, 2, 1}
		for name, got := range map[string][]int64{"handoffs": handoffs, "promotions": promotions, "events": events} {
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		w.releasesPage(n)
	})
}

// releasesPage walks the releases by twos.
func (w *world) releasesPage(want int) {
	w.t.Helper()
	seen := map[string]bool{}
	var last *bridge.Release
	for range want {
		page, err := w.Releases(w.t.Context(), storecd.ReleaseFilter{Application: "shop", Before: last, Limit: 2})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			if seen[r.ID] || last != nil && r.Accepted.After(last.Accepted) {
				w.t.Errorf("release %s comes twice, or too late", r.Version)
			}
			seen[r.ID] = true
			last = &r
		}
	}
	if len(seen) != want {
		w.t.Errorf("%d releases, want %d", len(seen), want)
	}
}

func TestFiltersAndBounds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ship("1.0.0")
		if err := w.Cross(t.Context(), refused(w.receive("0.9.0", 1), "published", "no signature")); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		for name, c := range map[string]struct {
			f    storecd.HandoffFilter
			want int
		}{
			"all":          {storecd.HandoffFilter{}, 2},
			"refused":      {storecd.HandoffFilter{State: bridge.Refused}, 1},
			"ignored":      {storecd.HandoffFilter{State: bridge.Ignored}, 0},
			"of another":   {storecd.HandoffFilter{Application: "sho"}, 0},
			"a huge limit": {storecd.HandoffFilter{Limit: 1 << 40}, 2},
			"below zero":   {storecd.HandoffFilter{Limit: -1, Before: -5}, 2},
		} {
			got, err := w.Handoffs(ctx, c.f)
			if err != nil || len(got) != c.want {
				t.Errorf("handoffs, %s: %d, %v, want %d", name, len(got), err, c.want)
			}
		}
		h, err := w.Handoff(ctx, 2)
		if err != nil || h.State != bridge.Refused || h.Reason != "no signature" {
			t.Errorf("handoff 2 is %+v, %v", h, err)
		}
		if _, err := w.Handoff(ctx, 3); fault.KindOf(err) != fault.NotFound {
			t.Errorf("no such handoff: %v", err)
		}
		if n := w.count("SELECT count(*) FROM release"); n != 1 {
			t.Errorf("a refused handoff made a release: there are %d", n)
		}
	})
}

func TestHostileTextStaysText(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n := 0
		for name, text := range hostile() {
			n++
			e := w.published("1.0.0", n)
			e.Published.Source, e.Published.Repository, e.Sender = text, text, text
			kept, fresh, err := w.Receive(t.Context(), e)
			if err != nil || !fresh {
				t.Fatalf("%s: fresh %v, %v", name, fresh, err)
			}
			got, err := w.Event(t.Context(), kept.ID)
			if err != nil || got.Published.Source != text || got.Sender != text || got.Published.Repository != text {
				t.Errorf("%s came back as %q, %v", name, got.Published.Source, err)
			}
			if err := w.Cross(t.Context(), refused(kept, text, text)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			h, err := w.Handoff(t.Context(), int64(n))
			if err != nil || h.Reason != text || h.Trigger != text {
				t.Errorf("%s came back as %q, %v", name, h.Reason, err)
			}
		}
		w.audited()
	})
}

func TestTextThatNoDatabaseTakes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, text := range []string{"a\x00b", "a\xffb"} {
			e := w.published("1.0.0", 1)
			e.Published.Source = text
			_, _, err := w.Receive(t.Context(), e)
			var f *fault.Error
			if err != nil && (!errors.As(err, &f) || f.Kind != fault.Invalid) {
				t.Errorf("%q: %v, want it kept or a fault of kind invalid", text, err)
			}
		}
		w.receive("1.0.0", 2) // and the database goes on
	})
}
