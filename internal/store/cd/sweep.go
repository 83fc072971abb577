package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// How long a row may lie without a task before Sweep looks after it.
const (
	overdue      = 10 * time.Second // an event
	overdueClock = time.Minute      // a clock, or a handoff that waits
)

// What is kept of deliveries as they arrived.
const (
	rawKept = 7 * 24 * time.Hour
	rawMax  = 1 << 30 // bytes
)

// Sweep brings back the tasks of events, handoffs, clocks and promotions that should be
// moving and have none: those that were given up after many tries. What waits on a timer is
// left. It also drops deliveries that were kept for long enough.
func (s *Store) Sweep(ctx context.Context) error {
	tasks, err := s.lost(ctx)
	if err != nil {
		return err
	}
	for after := cd.PromotionID(0); ; {
		page, err := s.Moving(ctx, after, pageMax)
		if err != nil {
			return err
		}
		tasks = append(tasks, page...)
		if len(page) < pageMax {
			break
		}
		after = cd.PromotionID(page[len(page)-1].ID)
	}
	for _, t := range tasks {
		err := s.in(ctx, func(ctx context.Context, tx *store.Tx, _ *sqlc.Queries) error { return tx.Ensure(ctx, t) })
		if err != nil {
			return err
		}
	}
	return s.prune(ctx)
}

// Rows that should have a task or a timer and have none. One query looks at all tasks once;
// asking for each row would look at all of them for each.
const (
	lostEventsSQL = `SELECT e.id, 0 FROM event e WHERE e.state = 'received' AND e.received_ms <= $2` + taskless + ` ORDER BY e.id LIMIT $3`
	lostLooksSQL  = `SELECT e.id, 0 FROM handoff e WHERE e.state = 'waiting' AND e.look_ms < $2` + taskless + ` ORDER BY e.id LIMIT $3`
	lostClocksSQL = `SELECT e.id, e.version FROM clock e WHERE e.next_ms > 0 AND e.next_ms < $2` + taskless + ` ORDER BY e.id LIMIT $3`
	taskless      = ` AND NOT EXISTS (SELECT 1 FROM timer t WHERE t.name = $1 AND t.id = e.id)
AND e.id NOT IN (SELECT CAST(j.args ->> 'i' AS bigint) FROM river_job j
	WHERE j.state IN ('available', 'running', 'retryable', 'scheduled', 'pending') AND j.args ->> 'n' = $1)`
)

// lost lists the tasks of rows that have none.
func (s *Store) lost(ctx context.Context) ([]store.Task, error) {
	now := s.db.Now()
	var out []store.Task
	for _, q := range []struct {
		name, text string
		before     time.Time
	}{
		{TaskEvent, lostEventsSQL, now.Add(-overdue)},
		{TaskHandoff, lostLooksSQL, now.Add(-overdueClock)},
		{TaskClock, lostClocksSQL, now.Add(-overdueClock)},
	} {
		list, err := s.lostOf(ctx, q.name, q.text, q.before)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// lostOf lists the tasks of one name that rows before a time lack.
func (s *Store) lostOf(ctx context.Context, name, text string, before time.Time) ([]store.Task, error) {
	rows, err := s.db.Reader().QueryContext(ctx, text, name, store.Millis(before), pageMax)
	if err != nil {
		return nil, store.Fault(fmt.Errorf("look for lost tasks %s: %w", name, err))
	}
	list, err := lostTasks(rows, name)
	if err != nil {
		return nil, store.Fault(fmt.Errorf("look for lost tasks %s: %w", name, err))
	}
	return list, nil
}

func lostTasks(rows *sql.Rows, name string) ([]store.Task, error) {
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []store.Task
	for rows.Next() {
		t := store.Task{Name: name}
		if err := rows.Scan(&t.ID, &t.Version); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// Bounds of one pruning: the rest is for the next sweep.
const (
	pruneAtOnce  = 100
	pruneBatches = 100
)

// prune drops deliveries as they arrived: those that are too old, and the oldest while there
// are too many bytes of them.
func (s *Store) prune(ctx context.Context) error {
	upto, err := s.read().NewestRaw(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return store.Fault(err)
	}
	old := store.Millis(s.db.Now().Add(-rawKept))
	for range pruneBatches {
		var n int64
		err := s.in(ctx, func(ctx context.Context, _ *store.Tx, q *sqlc.Queries) (err error) {
			n, err = q.PruneRaw(ctx, sqlc.PruneRawParams{Page: pruneAtOnce, BeforeMs: old, Upto: upto - s.rawMax})
			return err
		})
		if err != nil {
			return fmt.Errorf("drop old deliveries: %w", err)
		}
		if n < pruneAtOnce {
			return nil
		}
	}
	return nil
}
