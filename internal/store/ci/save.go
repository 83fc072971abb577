package ci

import (
	"context"

	plane "drawbridge/internal/ci"
	"drawbridge/internal/store"
)

const updateRunSQL = `UPDATE run SET state = $1, reason = $2, started_ms = $3, ended_ms = $4, version = version + 1
WHERE id = $5 AND version = $6`

// Save implements the plane's Saver.
func (s *Store) Save(ctx context.Context, c plane.Change) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if r := c.Run; r != nil {
			res, err := tx.SQL.ExecContext(ctx, updateRunSQL, string(r.State), r.Reason, nullMillis(r.Started), nullMillis(r.Ended), r.ID, r.Version)
			if err := store.SwappedResult(res, err, "run", r.ID); err != nil {
				return err
			}
		}
		for _, save := range []func(context.Context, *store.Tx, plane.Change) error{saveJobs, saveMade, saveEvents} {
			if err := save(ctx, tx, c); err != nil {
				return err
			}
		}
		if err := tx.Record(ctx, c.Record...); err != nil {
			return err
		}
		return enqueue(ctx, tx, c.Next...)
	})
}

func saveJobs(ctx context.Context, tx *store.Tx, c plane.Change) error {
	for _, j := range c.Jobs {
		if err := updateJob(ctx, tx, j); err != nil {
			return err
		}
	}
	for _, st := range c.Steps {
		if err := insertStep(ctx, tx, st); err != nil {
			return err
		}
	}
	return nil
}

// saveMade adds what jobs and sealing have made.
func saveMade(ctx context.Context, tx *store.Tx, c plane.Change) error {
	for _, p := range c.Publications {
		if err := insertPublication(ctx, tx, p); err != nil {
			return err
		}
	}
	for _, r := range c.Reports {
		if err := insertReport(ctx, tx, r); err != nil {
			return err
		}
	}
	for _, b := range c.Bundles {
		if err := insertBundle(ctx, tx, b); err != nil {
			return err
		}
	}
	return nil
}

func saveEvents(ctx context.Context, tx *store.Tx, c plane.Change) error {
	for _, e := range c.Events {
		if err := insertEvent(ctx, tx, e); err != nil {
			return err
		}
	}
	if c.Posted != nil {
		return markPosted(ctx, tx, *c.Posted)
	}
	return nil
}

func enqueue(ctx context.Context, tx *store.Tx, tasks ...plane.Task) error {
	for _, t := range tasks {
		if err := tx.Enqueue(ctx, task(t)); err != nil {
			return err
		}
	}
	return nil
}
