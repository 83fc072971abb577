package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

// Queues that a task can go to.
const (
	DefaultQueue = "default" // short steps
	JobQueue     = "job"     // CI jobs: no time limit
)

// maxTries is how often a task is tried before it is given up; with a back-off of at most
// a minute that is about three quarters of an hour. The planes' sweeps bring it back.
const maxTries = 50

// Task names work to be done: a handler's name and the row that it is about. It carries
// no more than these, so that what is done is decided from the rows as they are when it runs.
type Task struct {
	Name    string `json:"n"` // of the handler, for example "promotion.step"
	ID      int64  `json:"i"` // of the row
	Version int64  `json:"v"` // of the row: a task of a version that has passed does nothing
	Queue   string `json:"-"` // "" means DefaultQueue
}

// Kind is the one kind of River job there is.
func (Task) Kind() string { return "task" }

func (t Task) queue() string {
	if t.Queue == "" {
		return DefaultQueue
	}
	return t.Queue
}

// String is for logs: "promotion.step 7 v3".
func (t Task) String() string { return fmt.Sprintf("%s %d v%d", t.Name, t.ID, t.Version) }

// Tx is one transaction. It is valid until the function that got it returns, and is not
// safe for concurrent use.
type Tx struct {
	SQL *sql.Tx // for the plane's queries

	db      *DB
	insert  inserter
	entries []audit.Entry
	queues  map[string]struct{}
	timer   bool
}

type insideKey struct{}

// InTx runs fn in one transaction and returns nil once what fn did is durable. An error of
// fn undoes all of it and is returned as it is; an error of the database becomes a fault
// where Fault knows it. InTx does not give up once fn has started: whoever asked learns
// what became of it.
//
// fn must be short, touch nothing but tx and its own captured results, and must be able to
// run again from the start: after a deadlock on PostgreSQL, and on SQLite when another
// transaction of the same group broke it. Its context carries ctx's values but is not
// cancelled with it on SQLite. A call of InTx inside fn is an error.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if ctx.Value(insideKey{}) == db {
		return fmt.Errorf("starting a transaction: there is one already")
	}
	if db.closed.Load() {
		return errClosed
	}
	var last *Tx
	err := db.engine.transact(ctx, func(ctx context.Context, stx *sql.Tx, insert inserter) error {
		tx := &Tx{SQL: stx, db: db, insert: insert, queues: map[string]struct{}{}}
		last = tx
		if err := fn(context.WithValue(ctx, insideKey{}, db), tx); err != nil {
			return err
		}
		return tx.writeAudit(ctx)
	})
	if err != nil {
		return Fault(err)
	}
	for q := range last.queues {
		db.engine.wake(q)
	}
	if last.timer {
		db.nudge()
	}
	return nil
}

const nextSQL = `INSERT INTO counter (noun, n) VALUES ($1, $2)
ON CONFLICT (noun) DO UPDATE SET n = counter.n + excluded.n RETURNING n`

// Next takes the next id of noun: 1, 2, … without gaps, since an undone transaction gives
// its ids back, and ids become visible in their order. On PostgreSQL it makes other
// transactions that want an id of noun wait until this one ends: take ids before changing
// rows, and of several nouns in one order everywhere, or PostgreSQL has deadlocks to find
// (InTx then repeats, but finding one takes it a second).
func (tx *Tx) Next(ctx context.Context, noun string) (int64, error) { return tx.NextOf(ctx, noun, 1) }

// NextOf takes count ids of noun, one after the other, and returns the first; count is at
// least 1. See Next.
func (tx *Tx) NextOf(ctx context.Context, noun string, count int64) (first int64, err error) {
	var last int64
	if err := tx.SQL.QueryRowContext(ctx, nextSQL, noun, count).Scan(&last); err != nil {
		return 0, fmt.Errorf("taking %d ids for a %s: %w", count, noun, err)
	}
	return last - count + 1, nil
}

// Record adds entries to the audit log. They are checked now and written, in their order,
// right before the commit, so that the log is locked for as short as can be. A zero At is
// set to the clock's time; Seq is set by the log.
func (tx *Tx) Record(_ context.Context, entries ...audit.Entry) error {
	for _, e := range entries {
		if e.At.IsZero() {
			e.At = tx.db.Now()
		}
		e.Seq = 0
		if _, err := e.Body(); err != nil {
			return err
		}
		tx.entries = append(tx.entries, e)
	}
	return nil
}

// Enqueue makes t be worked once the transaction is committed, at least once. A task that
// is enqueued twice is worked twice: its version makes the second one do nothing.
func (tx *Tx) Enqueue(ctx context.Context, t Task) error { return tx.EnqueueAll(ctx, []Task{t}) }

// EnqueueAll enqueues several tasks at once, which is quicker than one by one. None is no error.
func (tx *Tx) EnqueueAll(ctx context.Context, tasks []Task) error {
	if len(tasks) == 0 {
		return nil
	}
	jobs := make([]river.InsertManyParams, len(tasks))
	for i, t := range tasks {
		if t.Name == "" {
			return fmt.Errorf("enqueueing a task: it has no name")
		}
		jobs[i] = river.InsertManyParams{Args: t, InsertOpts: &river.InsertOpts{Queue: t.queue(), MaxAttempts: maxTries}}
		tx.queues[t.queue()] = struct{}{}
	}
	if err := tx.insert(ctx, jobs); err != nil {
		return fmt.Errorf("enqueueing %s and %d more: %w", tasks[0], len(tasks)-1, err)
	}
	return nil
}

// Swapped is the end of a compare-and-set: rows is the number of rows that it changed. It
// returns nil for 1 and otherwise a fault of kind Conflict, "promotion 7 has changed meanwhile".
func Swapped(rows int64, noun string, id int64) error {
	if rows == 1 {
		return nil
	}
	return fault.New(fault.Conflict, "%s %d has changed meanwhile", noun, id).WithHint("look at it again, then repeat")
}

// SwappedResult is Swapped for what database/sql's Exec returns.
func SwappedResult(res sql.Result, err error, noun string, id int64) error {
	if err != nil {
		return fmt.Errorf("changing %s %d: %w", noun, id, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("changing %s %d: %w", noun, id, err)
	}
	return Swapped(n, noun, id)
}

// due is when a timer rings, rounded up to the millisecond that the column keeps, so that
// it never rings early.
func due(at time.Time) int64 {
	ms := at.UnixMilli()
	if at.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}
