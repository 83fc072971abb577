package cd

import (
	"context"
	"fmt"
	"sync"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// Bounds of the events that wait to be sorted.
const (
	arrivalsMax = 4096 // in memory
	sortedMax   = 1024 // at once; of what is read from rows at most pageMax
)

// arrivals are the events that were kept and not sorted yet. The rows alone count: memory
// saves reading them, and what does not fit, or was there before a crash, is read.
type arrivals struct {
	mu     sync.Mutex
	events []bridge.Event
	behind bool          // there may be rows that are not among events
	signal chan struct{} // holds a token when there may be something to sort
}

// ring wakes whoever sorts.
func (a *arrivals) ring() {
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// add takes the events of letters that were committed.
func (a *arrivals) add(letters []*letter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range letters {
		if l.err != nil || !l.fresh {
			continue
		}
		for _, e := range l.kept {
			switch {
			case e.State != bridge.EventReceived:
			case len(a.events) == arrivalsMax:
				a.behind = true
			default:
				a.events = append(a.events, e)
			}
		}
	}
	if len(a.events) > 0 || a.behind {
		a.ring()
	}
}

// lag says that rows may hold what memory does not.
func (a *arrivals) lag() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.behind = true
	a.ring()
}

// take takes the oldest events. When there are none and rows are to be read, behind is true
// and counts as dealt with.
func (a *arrivals) take() (batch []bridge.Event, behind bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(a.events), sortedMax)
	batch, a.events = a.events[:n:n], a.events[n:]
	if n == 0 {
		a.events = nil
		behind, a.behind = a.behind, false
	}
	if len(a.events) > 0 || a.behind {
		a.ring()
	}
	return batch, behind
}

// Arrived has a token when Sort has something to do.
func (s *Store) Arrived() <-chan struct{} { return s.arrivals.signal }

// Sort has look say of a batch of events that arrived which ones concern nobody: those are
// processed at once, all in one transaction, and each of the others gets a task of its own.
// It is quick for many events, and a crash loses none: what has not been sorted is received
// still and has no task. One caller at a time.
func (s *Store) Sort(ctx context.Context, look func(ctx context.Context, batch []bridge.Event) (nobody, somebody []int64)) error {
	batch, behind := s.arrivals.take()
	if behind {
		var err error
		if batch, err = s.unsorted(ctx); err != nil {
			s.arrivals.lag()
			return err
		}
		if len(batch) == pageMax {
			s.arrivals.lag()
		}
	}
	if len(batch) == 0 {
		return nil
	}
	nobody, somebody := look(ctx, batch)
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, _ *sqlc.Queries) error {
		return sorted(ctx, tx, nobody, somebody)
	})
	if err != nil {
		s.arrivals.lag()
		return fmt.Errorf("sort %d events: %w", len(batch), err)
	}
	return nil
}

// unsorted reads received events that have neither task nor timer. A row that cannot be read
// holds up no other: the sweep gives it a task, which says what is wrong with it.
func (s *Store) unsorted(ctx context.Context) ([]bridge.Event, error) {
	lost, err := s.lostOf(ctx, TaskEvent, lostEventsSQL, s.db.Now())
	if err != nil {
		return nil, err
	}
	out := make([]bridge.Event, 0, len(lost))
	for _, t := range lost {
		e, err := s.Event(ctx, t.ID)
		if ctx.Err() != nil || fault.Is(err, fault.Unavailable) {
			return nil, err
		}
		if err == nil {
			out = append(out, e)
		}
	}
	return out, nil
}

const idleSQL = `UPDATE event SET state = 'processed', reason = '' WHERE state = 'received' AND id IN (%s)`

// sorted writes what came of sorting.
func sorted(ctx context.Context, tx *store.Tx, nobody, somebody []int64) error {
	for len(nobody) > 0 {
		n := min(len(nobody), sortedAtOnce)
		if _, err := tx.SQL.ExecContext(ctx, fmt.Sprintf(idleSQL, store.Params(sortedAtOnce)), padded(nobody[:n])...); err != nil {
			return err
		}
		nobody = nobody[n:]
	}
	tasks := make([]store.Task, len(somebody))
	for i, id := range somebody {
		tasks[i] = store.Task{Name: TaskEvent, ID: id}
	}
	return tx.EnqueueAll(ctx, tasks)
}

// sortedAtOnce is how many ids one statement has; fewer are filled up with the last one, so
// that its text is always the same.
const sortedAtOnce = 64

func padded(ids []int64) []any {
	out := make([]any, sortedAtOnce)
	for i := range out {
		out[i] = ids[min(i, len(ids)-1)]
	}
	return out
}
