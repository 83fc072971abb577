package ci

import (
	"context"
	"database/sql"
	"fmt"

	plane "drawbridge/internal/ci"
	"drawbridge/internal/store"
)

const (
	eventColumns = `id, source, event_key, run_id, body, created_ms, posted_ms`
	eventSQL     = `SELECT ` + eventColumns + ` FROM outbox WHERE id = $1`
	unpostedSQL  = `SELECT ` + eventColumns + ` FROM outbox WHERE posted_ms IS NULL AND id > $1 ORDER BY id LIMIT $2`
)

// Event implements the plane's Outbox.
func (s *Store) Event(ctx context.Context, id int64) (plane.Event, error) {
	e, err := scanEvent(s.db.Reader().QueryRowContext(ctx, eventSQL, id))
	return one(e, err, "event %d", id)
}

// Unposted implements the plane's Outbox.
func (s *Store) Unposted(ctx context.Context, after int64, limit int) ([]plane.Event, error) {
	return all(ctx, s.db.Reader(), scanEvent, unpostedSQL, after, limited(limit))
}

func scanEvent(row scanner) (plane.Event, error) {
	var e plane.Event
	var run, posted sql.NullInt64
	var created int64
	err := row.Scan(&e.ID, &e.Source, &e.Key, &run, &e.Body, &created, &posted)
	e.Run, e.Created, e.Posted = run.Int64, store.Time(created), fromMillis(posted)
	return e, err
}

const insertEventSQL = `INSERT INTO outbox (id, source, event_key, run_id, body, created_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (source, event_key) DO NOTHING`

// insertEvent puts e into the outbox, with the task that posts it; once per source and key.
func insertEvent(ctx context.Context, tx *store.Tx, e plane.Event) error {
	id, err := tx.Next(ctx, "event")
	if err != nil {
		return err
	}
	run := sql.NullInt64{Int64: e.Run, Valid: e.Run != 0}
	n, err := affected(tx.SQL.ExecContext(ctx, insertEventSQL, id, e.Source, e.Key, run, bytesOf(e.Body), store.Millis(e.Created)))
	if err != nil {
		return fmt.Errorf("insert event %s: %w", e.Key, err)
	}
	if n == 0 {
		return nil
	}
	return enqueue(ctx, tx, plane.Task{Name: plane.TaskPost, ID: id})
}

const postedSQL = `UPDATE outbox SET posted_ms = $1 WHERE id = $2 AND posted_ms IS NULL`

func markPosted(ctx context.Context, tx *store.Tx, e plane.Event) error {
	res, err := tx.SQL.ExecContext(ctx, postedSQL, store.Millis(e.Posted), e.ID)
	return store.SwappedResult(res, err, "event", e.ID)
}
