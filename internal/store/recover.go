package store

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// A replica on PostgreSQL beats each BeatEvery; one that was silent for DeadAfter is dead.
const (
	BeatEvery = 2 * time.Second
	DeadAfter = 10 * time.Second
)

// One process owns a SQLite file, so what is running at its start ran in a dead one.
const (
	freeAllSQL    = `UPDATE river_job SET state = 'available', scheduled_at = datetime('now', 'subsec') WHERE state = 'running'`
	dropLeaderSQL = `DELETE FROM river_leader`
)

// The clock is the database's own: replicas' clocks may differ.
const (
	beatSQL = `INSERT INTO replica (id, seen_ms) VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms`
	freeDeadSQL = `UPDATE river_job j SET state = 'available', scheduled_at = now() WHERE j.state = 'running' AND NOT EXISTS (
	SELECT 1 FROM replica r WHERE r.id = j.attempted_by[array_length(j.attempted_by, 1)]
	AND r.seen_ms >= (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1)`
	forgetSQL = `DELETE FROM replica WHERE seen_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1`
	leaveSQL  = `DELETE FROM replica WHERE id = $1`
)

// Recover frees the tasks of dead processes before this one works: River alone would take
// nearly a minute. Replica is this process's name for its River client. It is for
// internal/queue, which calls it before the client starts.
func (db *DB) Recover(ctx context.Context, replica string) error {
	if !db.engine.sqlite() {
		return db.Beat(ctx, replica)
	}
	for _, q := range []string{freeAllSQL, dropLeaderSQL} {
		if _, err := db.engine.writer().ExecContext(ctx, q); err != nil {
			return Fault(fmt.Errorf("freeing the tasks of a dead server: %w", err))
		}
	}
	return nil
}

// Beat says that replica lives and frees the tasks of replicas that died. A replica that
// was only stalled may so repeat an effect; versions stop it from moving state. On SQLite
// it does nothing.
func (db *DB) Beat(ctx context.Context, replica string) error {
	if db.engine.sqlite() {
		return nil
	}
	w := db.engine.writer()
	if _, err := w.ExecContext(ctx, beatSQL, replica); err != nil {
		return Fault(fmt.Errorf("beating: %w", err))
	}
	if _, err := w.ExecContext(ctx, freeDeadSQL, DeadAfter.Milliseconds()); err != nil {
		return Fault(fmt.Errorf("freeing the tasks of dead replicas: %w", err))
	}
	if _, err := w.ExecContext(ctx, forgetSQL, time.Hour.Milliseconds()); err != nil {
		return Fault(fmt.Errorf("forgetting dead replicas: %w", err))
	}
	return nil
}

// Leave says that replica has stopped, so that others need not wait for its death.
func (db *DB) Leave(ctx context.Context, replica string) error {
	if db.engine.sqlite() {
		return nil
	}
	_, err := db.engine.writer().ExecContext(ctx, leaveSQL, replica)
	return Fault(err)
}

const liveTaskSQL = `SELECT count(*) FROM river_job WHERE state IN ($1, $2, $3, $4, $5)
AND args ->> 'n' = $6 AND CAST(args ->> 'i' AS bigint) = $7 AND CAST(args ->> 'v' AS bigint) = $8`

const liveTimerSQL = `SELECT count(*) FROM timer WHERE name = $1 AND id = $2 AND version = $3`

// Ensure enqueues t unless it is live already: waiting, running, to be tried again, or on
// a timer. It is what a sweep uses for a row that should be moving.
func (tx *Tx) Ensure(ctx context.Context, t Task) error {
	var tasks, timers int64
	err := tx.SQL.QueryRowContext(ctx, liveTaskSQL,
		string(rivertype.JobStateAvailable), string(rivertype.JobStateRunning), string(rivertype.JobStateRetryable),
		string(rivertype.JobStateScheduled), string(rivertype.JobStatePending), t.Name, t.ID, t.Version).Scan(&tasks)
	if err != nil {
		return fmt.Errorf("looking for %s: %w", t, err)
	}
	if err := tx.SQL.QueryRowContext(ctx, liveTimerSQL, t.Name, t.ID, t.Version).Scan(&timers); err != nil {
		return fmt.Errorf("looking for the timer of %s: %w", t, err)
	}
	if tasks+timers > 0 {
		return nil
	}
	return tx.Enqueue(ctx, t)
}
