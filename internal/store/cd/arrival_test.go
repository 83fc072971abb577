package cd_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"drawbridge/internal/bridge"
	storecd "drawbridge/internal/store/cd"
)

// split says that events with an odd id concern nobody.
func split(_ context.Context, batch []bridge.Event) (nobody, somebody []int64) {
	for _, e := range batch {
		if e.ID%2 == 1 {
			nobody = append(nobody, e.ID)
		} else {
			somebody = append(somebody, e.ID)
		}
	}
	return nobody, somebody
}

func TestArrivalsAreSortedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 150 // more than one statement takes
		for i := range n {
			w.receive("1.0.0", i+1)
		}
		if _, fresh, err := w.Receive(t.Context(), w.published("1.0.0", 1)); err != nil || fresh { // it is no arrival
			t.Fatal(fresh, err)
		}
		if _, _, err := w.Receive(t.Context(), bridge.Message{Receiver: "github", Key: "dead", Wrong: "no JSON"}); err != nil {
			t.Fatal(err)
		}
		seen := map[int64]int{}
		look := func(ctx context.Context, batch []bridge.Event) (nobody, somebody []int64) {
			for _, e := range batch {
				seen[e.ID]++
			}
			return split(ctx, batch)
		}
		for range 3 { // the second time reads the rows, the third finds nothing
			if err := w.Sort(t.Context(), look); err != nil {
				t.Fatal(err)
			}
		}
		for id, times := range seen {
			if times != 1 {
				t.Errorf("event %d was sorted %d times", id, times)
			}
		}
		w.has(map[string]int64{
			"SELECT count(*) FROM event WHERE state = 'processed'":                            n / 2,
			"SELECT count(*) FROM event WHERE state = 'received'":                             n / 2,
			"SELECT count(*) FROM event WHERE state = 'dead'":                                 1,
			"SELECT count(*) FROM river_job WHERE args ->> 'n' = '" + storecd.TaskEvent + "'": n / 2,
		})
		if len(seen) != n {
			t.Errorf("%d events were sorted, want %d", len(seen), n)
		}
	})
}

// A server that is killed has its arrivals in rows alone.
func TestArrivalsSurvive(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 7 {
			w.receive("1.0.0", i+1)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, w.cfg)
		<-again.Arrived()
		var seen []int64
		look := func(_ context.Context, batch []bridge.Event) (nobody, somebody []int64) {
			for _, e := range batch {
				seen = append(seen, e.ID)
			}
			return nil, seen
		}
		if err := again.Sort(t.Context(), look); err != nil || !slices.Equal(seen, []int64{1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("after a restart %v are sorted, %v", seen, err)
		}
	})
}

// A row that cannot be read holds up no other.
func TestArrivalThatCannotBeRead(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.receive("1.0.0", i+1)
		}
		w.exec(`UPDATE event SET body = '{"artifact": "NO IMAGE"}' WHERE id = 2`)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, w.cfg)
		var seen []int64
		err := again.Sort(t.Context(), func(_ context.Context, batch []bridge.Event) (nobody, somebody []int64) {
			for _, e := range batch {
				seen = append(seen, e.ID)
			}
			return nil, seen
		})
		if err != nil || !slices.Equal(seen, []int64{1, 3}) {
			t.Errorf("%v are sorted, %v", seen, err)
		}
	})
}

// What could not be written is sorted again.
func TestSortThatFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.receive("1.0.0", 1)
		ctx, cancel := context.WithCancel(t.Context())
		err := w.Sort(ctx, func(_ context.Context, batch []bridge.Event) (nobody, somebody []int64) {
			cancel()
			return []int64{batch[0].ID}, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		<-w.Arrived()
		if err := w.Sort(t.Context(), split); err != nil {
			t.Fatal(err)
		}
		w.has(map[string]int64{"SELECT count(*) FROM event WHERE state = 'processed'": 1})
	})
}
