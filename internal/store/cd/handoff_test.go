package cd_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

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
			page, err := w.Events(ctx, storecd.EventFilter{Before: after, Limit: 3})
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
		w.cross(w.outcome(w.receive("0.9.0", 1), "tagged", bridge.Refused, "no signature"))
		ctx := t.Context()
		for name, c := range map[string]struct {
			f    storecd.HandoffFilter
			want int
		}{
			"all":          {storecd.HandoffFilter{}, 2},
			"refused":      {storecd.HandoffFilter{State: bridge.Refused}, 1},
			"ignored":      {storecd.HandoffFilter{State: bridge.Ignored}, 0},
			"waiting":      {storecd.HandoffFilter{State: bridge.Waiting}, 0},
			"of another":   {storecd.HandoffFilter{Application: "sho"}, 0},
			"of a trigger": {storecd.HandoffFilter{Application: "shop", Trigger: "tagged"}, 1},
			"of an event":  {storecd.HandoffFilter{Event: 1}, 1},
			"of no event":  {storecd.HandoffFilter{Event: 9}, 0},
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

func TestHostileTextInHandoffs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n := 0
		for name, text := range hostile() {
			n++
			c := w.outcome(w.receive("1.0.0", n), text, bridge.Refused, text)
			c.Outcomes[0].Handoff.Once, c.Outcomes[0].Handoff.Actor = text, text
			id := w.cross(c)[0]
			h, err := w.Handoff(t.Context(), id)
			if err != nil || h.Reason != text || h.Trigger != text {
				t.Errorf("%s came back as %q, %v", name, h.Reason, err)
			}
		}
		c := w.outcome(w.receive("1.0.0", n+1), "published", bridge.Waiting, "a\x00b\xff")
		h := c.Outcomes[0].Handoff
		h.ID = w.cross(c)[0]
		if err := w.Settle(t.Context(), bridge.Outcome{Handoff: h}); err != nil {
			t.Error(err)
		}
		if n := w.count("SELECT count(*) FROM audit_entry"); n != int64(2+2*len(hostile())+1) {
			t.Errorf("%d audit entries: a reason that is the same was told as another", n)
		}
		if h, err := w.Handoff(t.Context(), h.ID); err != nil || h.Reason != "a\uFFFDb\uFFFD" {
			t.Errorf("reason %q, %v", h.Reason, err)
		}
		w.audited()
	})
}

func TestTriggerFigures(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ship("1.0.0")
		w.cross(w.outcome(w.receive("1.0.0", 2), "published", bridge.Ignored, "duplicate of 1"))
		w.cross(w.outcome(w.receive("1.0.0", 3), "tagged", bridge.Refused, "not proven"))
		waits := w.cross(w.outcome(w.receive("2.0.0", 1), "published", bridge.Waiting, "waits"))[0]
		w.cross(w.outcome(w.receive("1.0.0", 4), "published", bridge.Ignored, "duplicate of 1"))
		list, err := w.TriggerFigures(t.Context(), "shop")
		if err != nil || len(list) != 2 {
			t.Fatalf("figures %+v, %v", list, err)
		}
		p, g := list[0], list[1]
		if p.Trigger != "published" || p.Last.ID != 5 || p.Last.State != bridge.Ignored || p.Last.Reason != "duplicate of 1" || p.Accepted.ID != 1 || !p.Accepted.At.Equal(start) {
			t.Errorf("published: %+v", p)
		}
		if g.Trigger != "tagged" || g.Last.Reason != "not proven" || g.Accepted.ID != 0 {
			t.Errorf("tagged: %+v", g)
		}
		// One that waited and is accepted now is the last one, though its number is smaller.
		w.clock.move(time.Minute)
		final := w.accepted(bridge.Event{ID: 4, Fact: bridge.Fact{Artifact: image("2.0.0")}}, "published").Outcomes[0]
		final.Handoff.ID = waits
		if err := w.Settle(t.Context(), final); err != nil {
			t.Fatal(err)
		}
		if h, err := w.Accepted(t.Context(), "shop", "published", ""); err != nil || h.ID != waits {
			t.Errorf("accepted last: %+v, %v", h, err)
		}
		if h, err := w.Accepted(t.Context(), "shop", "tagged", ""); err != nil || h.ID != 0 {
			t.Errorf("accepted at tagged: %+v, %v", h, err)
		}
	})
}

func TestPause(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		if p, err := w.Paused(ctx, "shop", "published"); err != nil || p.By != "" {
			t.Fatalf("before: %+v, %v", p, err)
		}
		for _, by := range []string{"alice", "bob"} {
			if err := w.SetPause(ctx, by, "shop", "published", bridge.Pause{By: by, Reason: "incident\x00 " + by}); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := w.Paused(ctx, "shop", "published"); err != nil || p != (bridge.Pause{By: "bob", Reason: "incident\uFFFD bob", At: start}) {
			t.Errorf("paused: %+v, %v", p, err)
		}
		for _, other := range [][2]string{{"shop", "tagged"}, {"sho", "published"}} {
			if p, err := w.Paused(ctx, other[0], other[1]); err != nil || p.By != "" {
				t.Errorf("%v: %+v, %v", other, p, err)
			}
		}
		for range 2 {
			if err := w.SetPause(ctx, "carol", "shop", "published", bridge.Pause{}); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := w.Paused(ctx, "shop", "published"); err != nil || p.By != "" {
			t.Errorf("resumed: %+v, %v", p, err)
		}
		got := w.entries()[1:]
		if want := []string{"trigger.pause trigger/shop/published", "trigger.pause trigger/shop/published", "trigger.resume trigger/shop/published"}; !slices.Equal(got, want) {
			t.Errorf("audit log %v", got)
		}
	})
}

func TestReleasesAsTheBridgeFindsThem(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for i, version := range []string{"1.0.0", "1.1.0"} { // both of one commit, and one of none
			w.clock.move(time.Second)
			c := w.accepted(w.receive(version, i), "published")
			c.Outcomes[0].Release.Commit, c.Outcomes[0].Release.Accepted = "c0ffee", w.clock.now()
			w.cross(c)
		}
		none, _ := w.ship("2.0.0")
		id := w.release("1.0.0").ID
		for _, c := range []struct{ app, key, want string }{
			{"shop", id, "1.0.0"},
			{"shop", "1.1.0", "1.1.0"},
			{"shop", none.ID, "2.0.0"},
			{"shop", id[:12], ""},
			{"shop", "", ""},
			{"shop", "3.0.0", ""},
			{"sho", id, ""},
			{"sho", "1.0.0", ""},
			{"shop", "a\x00", ""},
		} {
			if r, err := w.ReleaseBy(ctx, c.app, c.key); err != nil || r.Version != c.want {
				t.Errorf("release %s %q is %q, %v, want %q", c.app, c.key, r.Version, err, c.want)
			}
		}
		for _, c := range []struct{ app, commit, want string }{{"shop", "c0ffee", "1.1.0"}, {"shop", "", ""}, {"shop", "c0ffe", ""}, {"sho", "c0ffee", ""}} {
			if r, err := w.ReleaseOf(ctx, c.app, c.commit); err != nil || r.Version != c.want {
				t.Errorf("release of commit %s %q is %q, %v, want %q", c.app, c.commit, r.Version, err, c.want)
			}
		}
		if r, err := w.Runs(ctx, "shop", "dev"); err != nil || r.ID != "" {
			t.Errorf("before anything is done dev runs %q, %v", r.Version, err)
		}
		w.end(w.walk(w.promotion(1), cd.StepAdmit))
		if r, err := w.Runs(ctx, "shop", "dev"); err != nil || r.ID != id {
			t.Errorf("dev runs %q, %v", r.Version, err)
		}
		if r, err := w.Runs(ctx, "shop", "nowhere"); err != nil || r.ID != "" {
			t.Errorf("nowhere runs %q, %v", r.Version, err)
		}
	})
}
