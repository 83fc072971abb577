package cd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

func TestDeliveryIsKeptOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.receive("1.0.0", 1)
		again := w.published("1.0.0", 1)
		again.Facts[0].Artifact = image("6.6.6")
		again.Facts = append(again.Facts, again.Facts[0])
		kept, fresh, err := w.Receive(t.Context(), again)
		if err != nil || fresh {
			t.Fatalf("a repetition: fresh %v, %v", fresh, err)
		}
		if diff := cmp.Diff([]bridge.Event{first}, kept, digests()); diff != "" {
			t.Errorf("a repetition changed the event (-first +now):\n%s", diff)
		}
		for name, change := range map[string]func(*bridge.Message){
			"another receiver": func(m *bridge.Message) { m.Receiver = "github" },
			"another sender":   func(m *bridge.Message) { m.Sender = "mallory" },
			"another key":      func(m *bridge.Message) { m.Key = "other" },
		} {
			m := w.published("1.0.0", 1)
			change(&m)
			if kept, fresh, err = w.Receive(t.Context(), m); err != nil || !fresh || kept[0].ID == first.ID {
				t.Errorf("the same of %s: event %d, fresh %v, %v", name, kept[0].ID, fresh, err)
			}
		}
		w.sort()
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

func TestDeliveryIsKeptOnceByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.Store // of another replica, where there can be one
		if strings.HasPrefix(w.cfg.URL, "postgres") {
			other = open(t, w.cfg)
		}
		calls := make([]func() error, 16)
		ids := make([]int64, len(calls))
		freshness := make([]bool, len(calls))
		for i := range calls {
			s := []*storecd.Store{w.Store, other}[i%2]
			calls[i] = func() error {
				kept, fresh, err := s.Receive(t.Context(), w.published("1.0.0", 1))
				if err == nil {
					ids[i], freshness[i] = kept[0].ID, fresh
				}
				return err
			}
		}
		fresh := 0
		for i, err := range race(calls...) {
			if err != nil {
				t.Errorf("receive: %v", err)
			}
			if ids[i] != 1 {
				t.Errorf("receive gave event %d", ids[i])
			}
			if freshness[i] {
				fresh++
			}
		}
		if n := w.count("SELECT count(*) FROM event"); n != 1 || fresh != 1 {
			t.Errorf("%d events, %d fresh", n, fresh)
		}
		w.sort()
		if n := w.tasks(storecd.TaskEvent, 1, 0); n != 1 {
			t.Errorf("%d tasks", n)
		}
		w.audited()
	})
}

func TestManySendersLoseNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const senders, each = 16, 20
		calls := make([]func() error, senders)
		for i := range calls {
			calls[i] = func() error {
				for j := range each {
					m := w.published("1.0.0", j)
					m.Sender = fmt.Sprint("sender ", i/2) // two send the same
					if _, _, err := w.Receive(t.Context(), m); err != nil {
						return err
					}
				}
				return nil
			}
		}
		for _, err := range race(calls...) {
			if err != nil {
				t.Error(err)
			}
		}
		w.sort()
		const want = senders / 2 * each
		for query, want := range map[string]int64{
			"SELECT count(*) FROM event": want, "SELECT count(*) FROM event_raw": want,
			"SELECT max(id) FROM event": want, // no gaps
			"SELECT count(*) FROM river_job WHERE args ->> 'n' = 'event.process'": want,
		} {
			if n := w.count(query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		w.audited()
	})
}

func TestDeliveryInParts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.published("1.0.0", 1)
		m.Applications = []string{"shop"}
		for i := range 249 { // more than one statement takes
			f := m.Facts[0]
			f.Subject = fmt.Sprint("part ", i+1)
			m.Facts = append(m.Facts, f)
		}
		kept, fresh, err := w.Receive(t.Context(), m)
		if err != nil || !fresh || len(kept) != 250 {
			t.Fatalf("%d events, fresh %v, %v", len(kept), fresh, err)
		}
		again, fresh, err := w.Receive(t.Context(), m)
		if diff := cmp.Diff(kept, again, digests()); err != nil || fresh || diff != "" {
			t.Errorf("again: fresh %v, %v\n%s", fresh, err, diff)
		}
		last := kept[249]
		if last.Part != 249 || last.Fact.Subject != "part 249" || !slices.Equal(last.Applications, []string{"shop"}) {
			t.Errorf("the last part is %+v", last)
		}
		raw, err := w.Raw(t.Context(), last.ID)
		if err != nil || string(raw.Body) != `{"id":"1.0.0/1"}` || raw.Headers["content-type"] != "application/json" {
			t.Errorf("the delivery of the last part: %+v, %v", raw, err)
		}
		w.sort()
		if n := w.count("SELECT count(*) FROM river_job WHERE args ->> 'n' = 'event.process'"); n != 250 {
			t.Errorf("%d tasks", n)
		}
		w.audited()
	})
}

func TestApplicationsOfAnEvent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i, list := range [][]string{nil, {}, {"shop"}, {`a"b`, "c"}} {
			m := w.published("1.0.0", i)
			m.Applications = list
			e, err := w.Event(t.Context(), w.received(m).ID)
			if err != nil || !slices.Equal(e.Applications, list) || (e.Applications == nil) != (list == nil) {
				t.Errorf("%#v came back as %#v, %v", list, e.Applications, err)
			}
		}
	})
}

func TestDeliveryThatNobodyCanRead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := bridge.Message{Receiver: "harbor", Sender: "harbor", Key: "sha256:1", Body: []byte("\x00\xffno JSON"), Wrong: "line 1: no \x00JSON\xff"}
		e := w.received(m)
		if e.State != bridge.EventDead || e.Reason != "line 1: no \uFFFDJSON\uFFFD" {
			t.Fatalf("event is %+v", e)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 0 {
			t.Errorf("a dead event has %d tasks", n)
		}
		if raw, err := w.Raw(t.Context(), e.ID); err != nil || string(raw.Body) != "\x00\xffno JSON" {
			t.Errorf("the delivery is %q, %v", raw.Body, err)
		}
		if got := w.entries(); got[len(got)-1] != "event.dead event/1" {
			t.Errorf("audit log ends with %s", got[len(got)-1])
		}
		dead, err := w.Events(t.Context(), storecd.EventFilter{State: bridge.EventDead})
		if err != nil || len(dead) != 1 {
			t.Errorf("dead letters: %v, %v", dead, err)
		}
		if _, _, err := w.Receive(t.Context(), bridge.Message{Receiver: "harbor", Key: "2"}); err == nil {
			t.Error("a delivery without facts and without a reason was kept")
		}
	})
}

func TestFactThatCannotBeKeptAsItIs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, change := range map[string]func(*bridge.Fact){
			"a year that JSON has not": func(f *bridge.Fact) { f.At = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) },
			"an artifact that is none": func(f *bridge.Fact) { f.Artifact = artifact.Reference{Repository: "UPPER case"} },
			"NUL in an artifact":       func(f *bridge.Fact) { f.Artifact = artifact.Reference{Repository: "a\x00b"} },
			"no UTF-8": func(f *bridge.Fact) {
				f.Subject, f.Chain, f.Type, f.Actor = "a\xffb", "a\xff\x00b", "a\xffb\x00", "\xc3\x28"
				f.Git = &bridge.GitRef{Repository: "\xff", Ref: "\x00"}
				f.Alert = &bridge.Alert{Labels: map[string]string{"\xff": "\x00"}}
				f.Trigger = &bridge.TriggerRef{Application: "a\x00b\xff"}
			},
		} {
			m := w.published("1.0.0", 1)
			m.Key = name
			change(&m.Facts[0])
			e := w.received(m)
			got, err := w.Event(t.Context(), e.ID)
			if diff := cmp.Diff(e, got, digests()); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", name, err, diff)
			}
			if bad := strings.Contains(name, "artifact"); bad != (got.State == bridge.EventDead) || bad != (got.Reason != "") {
				t.Errorf("%s: the event is %s: %s", name, got.State, got.Reason)
			}
		}
		w.audited()
	})
}

func TestHostileTextOfSenders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		texts := hostile()
		texts["NUL"], texts["no UTF-8"], texts["huge"] = "a\x00b", "a\xffb", strings.Repeat("k", 1<<20)
		texts["another huge one"] = strings.Repeat("k", 1<<20) + "2"
		seen := map[int64]string{}
		for name, text := range texts {
			m := w.published("1.0.0", 1)
			m.Receiver, m.Sender, m.Key, m.Facts[0].Source = text, text, text, text
			m.Headers = map[string]string{text: text}
			m.Body = []byte(text)
			e := w.received(m)
			if other, ok := seen[e.ID]; ok {
				t.Errorf("%s and %s are one event", name, other)
			}
			seen[e.ID] = name
			if _, fresh, err := w.Receive(t.Context(), m); err != nil || fresh {
				t.Errorf("%s is kept twice: %v", name, err)
			}
			raw, err := w.Raw(t.Context(), e.ID)
			if err != nil || string(raw.Body) != text {
				t.Errorf("%s: the body is another, %v", name, err)
			}
			got, err := w.Event(t.Context(), e.ID)
			if err != nil || got.Fact.Source != strings.ToValidUTF8(text, "\uFFFD") {
				t.Errorf("%s came back as %.40q, %v", name, got.Fact.Source, err)
			}
		}
		w.audited()
	})
}

func TestRawIsKeptForAWhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old := w.receive("1.0.0", 1)
		w.clock.move(7*24*time.Hour + time.Minute)
		young := w.receive("1.0.0", 2)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Raw(t.Context(), old.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a delivery of last week: %v", err)
		}
		if _, err := w.Raw(t.Context(), young.ID); err != nil {
			t.Errorf("a delivery of today: %v", err)
		}
		if _, err := w.Event(t.Context(), old.ID); err != nil {
			t.Errorf("its event: %v", err)
		}
	})
}

func TestRawIsBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.SetRawMax(1 << 20)
		body := []byte(strings.Repeat("x", 10<<10))
		const n = 350 // more than one pruning drops
		for i := range n {
			m := w.published("1.0.0", i)
			m.Body = body
			w.received(m)
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		size := w.count("SELECT sum(length(body)) FROM event_raw")
		if size > 1<<20 || size < 1<<20-20<<10 {
			t.Errorf("%d bytes are kept", size)
		}
		if _, err := w.Raw(t.Context(), n); err != nil {
			t.Errorf("the newest: %v", err)
		}
		if _, err := w.Raw(t.Context(), 1); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the oldest: %v", err)
		}
	})
}

func TestFailedIsTriedAgainAndThenDead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		e := w.receive("1.0.0", 1)
		if err := w.DB().InTx(t.Context(), deleteTasks); err != nil {
			t.Fatal(err)
		}
		e.Attempts, e.Reason = 1, "the registry is away\x00"
		again := w.clock.now().Add(time.Hour)
		if err := w.Failed(t.Context(), e, again); err != nil {
			t.Fatal(err)
		}
		got, err := w.Event(t.Context(), e.ID)
		if err != nil || got.State != bridge.EventReceived || got.Attempts != 1 || got.Reason != "the registry is away\uFFFD" {
			t.Errorf("after a try: %+v, %v", got, err)
		}
		w.clock.move(30 * time.Minute)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 0 {
			t.Errorf("the sweep did not leave what waits for its next try: %d tasks", n)
		}
		w.clock.move(30 * time.Minute)
		if _, err := w.DB().RingTimers(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0); n != 1 {
			t.Errorf("%d tasks when its time has come", n)
		}
		if err := w.DB().InTx(t.Context(), deleteTasks); err != nil {
			t.Fatal(err)
		}
		e.Attempts = 2
		if err := w.Failed(t.Context(), e, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Failed(t.Context(), e, again); err != nil { // a worker that is late
			t.Fatal(err)
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err = w.Event(t.Context(), e.ID); err != nil || got.State != bridge.EventDead || got.Attempts != 2 {
			t.Errorf("given up: %+v, %v", got, err)
		}
		if n := w.tasks(storecd.TaskEvent, e.ID, 0) + w.count("SELECT count(*) FROM timer"); n != 0 {
			t.Errorf("a dead event has %d tasks and timers", n)
		}
		if got := w.entries(); got[len(got)-1] != "event.dead event/1" {
			t.Errorf("audit log ends with %s", got[len(got)-1])
		}
	})
}

func TestPublishedNewestFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 5 {
			w.receive(fmt.Sprintf("1.0.%d", i), 1)
		}
		push := w.published("2.0.0", 1)
		push.Facts[0].Kind = bridge.KindPush
		w.received(push)
		other := w.published("3.0.0", 1)
		other.Facts[0].Artifact.Repository = "shop/webx"
		w.received(other)
		list, err := w.Published(t.Context(), image("whatever"), 3)
		if err != nil {
			t.Fatal(err)
		}
		var tags []string
		for _, e := range list {
			tags = append(tags, e.Fact.Artifact.Tag)
		}
		if !slices.Equal(tags, []string{"1.0.4", "1.0.3", "1.0.2"}) {
			t.Errorf("published: %v", tags)
		}
		if list, err := w.Published(t.Context(), artifact.Reference{}, 3); err != nil || len(list) != 0 {
			t.Errorf("no image: %v, %v", list, err)
		}
	})
}

func TestEventFilters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.ship("1.0.0")
		hook := w.published("2.0.0", 1)
		hook.Receiver = "github"
		dead := w.received(hook)
		if err := w.Failed(t.Context(), dead, time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.receive("3.0.0", 1)
		for name, c := range map[string]struct {
			f    storecd.EventFilter
			want []int64
		}{
			"all":                       {storecd.EventFilter{}, []int64{3, 2, 1}},
			"received":                  {storecd.EventFilter{State: bridge.EventReceived}, []int64{3}},
			"processed":                 {storecd.EventFilter{State: bridge.EventProcessed}, []int64{1}},
			"dead":                      {storecd.EventFilter{State: bridge.EventDead}, []int64{2}},
			"dead, of a receiver":       {storecd.EventFilter{State: bridge.EventDead, Receiver: "github"}, []int64{2}},
			"dead, of another":          {storecd.EventFilter{State: bridge.EventDead, Receiver: "api"}, nil},
			"dead, of an application":   {storecd.EventFilter{State: bridge.EventDead, Application: "shop"}, nil},
			"of a receiver":             {storecd.EventFilter{Receiver: "api"}, []int64{3, 1}},
			"of an application":         {storecd.EventFilter{Application: "shop"}, []int64{1}},
			"of another application":    {storecd.EventFilter{Application: "sho"}, nil},
			"a page":                    {storecd.EventFilter{Before: 3, Limit: 1}, []int64{2}},
			"a huge limit":              {storecd.EventFilter{Limit: 1 << 40}, []int64{3, 2, 1}},
			"a state that there is not": {storecd.EventFilter{State: "lost"}, nil},
		} {
			list, err := w.Events(t.Context(), c.f)
			var got []int64
			for _, e := range list {
				got = append(got, e.ID)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("events, %s: %v, %v, want %v", name, got, err, c.want)
			}
		}
	})
}
