package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

const setTimerSQL = `INSERT INTO timer (name, id, version, queue, due_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name, id) DO UPDATE SET version = excluded.version, queue = excluded.queue, due_ms = excluded.due_ms`

// WakeAt enqueues t at a time: not before it, and as soon after it as the server runs. A
// task has one timer per name and id; setting it again replaces time and version.
func (tx *Tx) WakeAt(ctx context.Context, t Task, at time.Time) error {
	if t.Name == "" {
		return fmt.Errorf("setting a timer: the task has no name")
	}
	if _, err := tx.SQL.ExecContext(ctx, setTimerSQL, t.Name, t.ID, t.Version, t.queue(), due(at)); err != nil {
		return fmt.Errorf("setting the timer of %s: %w", t, err)
	}
	tx.timer = true
	return nil
}

const cancelTimerSQL = `DELETE FROM timer WHERE name = $1 AND id = $2`

// CancelWake removes the timer that WakeAt set for name and id. None is no error. A timer
// that has rung already has enqueued its task, which CancelWake leaves.
func (tx *Tx) CancelWake(ctx context.Context, name string, id int64) error {
	if _, err := tx.SQL.ExecContext(ctx, cancelTimerSQL, name, id); err != nil {
		return fmt.Errorf("removing the timer of %s %d: %w", name, id, err)
	}
	return nil
}

// timersAtOnce bounds how many timers ring in one transaction.
const timersAtOnce = 500

// The subquery picks the due timers that were due first; the DELETE asks again, so of two
// replicas only one gets each row.
const dueTimersSQL = `DELETE FROM timer WHERE due_ms <= $1 AND due_ms <= (
	SELECT max(due_ms) FROM (SELECT due_ms FROM timer WHERE due_ms <= $1 ORDER BY due_ms LIMIT $2) AS first)
RETURNING name, id, version, queue, due_ms`

const nextTimerSQL = `SELECT min(due_ms) FROM timer`

// RingTimers turns every timer that is due into its task, the earliest first, in one
// transaction, and returns when the next one is due: the zero time when there is none. It
// is for internal/queue.
func (db *DB) RingTimers(ctx context.Context) (time.Time, error) {
	// Look first: usually nothing is due, and looking takes no lock.
	next, err := nextTimer(ctx, db.Reader())
	if err != nil {
		return time.Time{}, Fault(err)
	}
	if next.IsZero() || next.After(db.Now()) {
		return next, nil
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		tasks, err := tx.takeDue(ctx, db.Now().UnixMilli())
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if err := tx.Enqueue(ctx, t); err != nil {
				return err
			}
		}
		next, err = nextTimer(ctx, tx.SQL)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("ringing timers: %w", err)
	}
	return next, nil
}

func nextTimer(ctx context.Context, q querier) (time.Time, error) {
	var ms sql.NullInt64
	if err := q.QueryRowContext(ctx, nextTimerSQL).Scan(&ms); err != nil {
		return time.Time{}, fmt.Errorf("looking at the timers: %w", err)
	}
	if !ms.Valid {
		return time.Time{}, nil
	}
	return Time(ms.Int64), nil
}

func (tx *Tx) takeDue(ctx context.Context, now int64) ([]Task, error) {
	rows, err := tx.SQL.QueryContext(ctx, dueTimersSQL, now, timersAtOnce)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	type timer struct {
		Task
		due int64
	}
	var timers []timer
	for rows.Next() {
		var t timer
		if err := rows.Scan(&t.Name, &t.ID, &t.Version, &t.Queue, &t.due); err != nil {
			return nil, err
		}
		timers = append(timers, t)
	}
	slices.SortStableFunc(timers, func(a, b timer) int { return int(min(max(a.due-b.due, -1), 1)) })
	tasks := make([]Task, len(timers))
	for i, t := range timers {
		tasks[i] = t.Task
	}
	return tasks, rows.Err()
}

// TimerSet receives after a commit of this process that may have set an earlier timer than
// RingTimers last returned. Several sets may be told once.
func (db *DB) TimerSet() <-chan struct{} { return db.timers }

func (db *DB) nudge() {
	select {
	case db.timers <- struct{}{}:
	default: // one is waiting already
	}
}
