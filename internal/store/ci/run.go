package ci

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	plane "drawbridge/internal/ci"
	"drawbridge/internal/store"
)

const (
	// runColumns are all but the source, which comes last where it is wanted.
	runColumns = `run.id, run.number, run.repository, run.ref, run.old_commit, run.commit_hash, run.pusher, run.chain, run.file,
run.name, run.state, run.reason, run.pushed_ms, run.created_ms, run.started_ms, run.ended_ms, run.version,
(SELECT COALESCE(MAX(job.attempt), 0) FROM job WHERE job.run_id = run.id)`
	runSQL = `SELECT ` + runColumns + `, run.source FROM run WHERE run.id = $1`
)

// Run implements the plane's Runs.
func (s *Store) Run(ctx context.Context, id int64) (plane.Run, error) {
	var source []byte
	r, err := scanRun(s.db.Reader().QueryRowContext(ctx, runSQL, id), &source)
	r.Source = source
	return one(r, err, "run %d", id)
}

func scanRun(row scanner, more ...any) (plane.Run, error) {
	var r plane.Run
	var pushed, created int64
	var started, ended sql.NullInt64
	dest := []any{
		&r.ID, &r.Number, &r.Repository, &r.Ref, &r.Old, &r.Commit, &r.Pusher, &r.Chain, &r.File,
		&r.Name, &r.State, &r.Reason, &pushed, &created, &started, &ended, &r.Version, &r.Attempt,
	}
	if err := row.Scan(append(dest, more...)...); err != nil {
		return plane.Run{}, err
	}
	r.Pushed, r.Created, r.Started, r.Ended = store.Time(pushed), store.Time(created), fromMillis(started), fromMillis(ended)
	r.Attempt = max(r.Attempt, 1)
	return r, nil
}

// ListRuns implements the plane's Runs.
func (s *Store) ListRuns(ctx context.Context, f plane.RunFilter) ([]plane.Run, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Repository != "" {
		add("run.repository = $%d", f.Repository)
	}
	if f.Ref != "" {
		add("run.ref = $%d", f.Ref)
	}
	if f.Before > 0 {
		add("run.id < $%d", f.Before)
	}
	if len(f.States) > 0 {
		marks := make([]string, len(f.States))
		for i, state := range f.States {
			args = append(args, string(state))
			marks[i] = fmt.Sprintf("$%d", len(args))
		}
		where = append(where, "run.state IN ("+strings.Join(marks, ", ")+")")
	}
	query := `SELECT ` + runColumns + ` FROM run WHERE ` + strings.Join(where, " AND ") +
		fmt.Sprintf(` ORDER BY run.id DESC LIMIT %d`, limited(f.Limit))
	return all(ctx, s.db.Reader(), func(row scanner) (plane.Run, error) { return scanRun(row) }, query, args...)
}

const (
	runExistsSQL = `SELECT COUNT(*) FROM run
WHERE repository = $1 AND ref = $2 AND old_commit = $3 AND commit_hash = $4 AND file = $5`
	insertRunSQL = `INSERT INTO run (id, number, repository, ref, old_commit, commit_hash, pusher, chain, file, name, source,
state, reason, pushed_ms, created_ms, started_ms, ended_ms, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 1) ON CONFLICT DO NOTHING`
)

// InsertRuns implements the plane's Saver.
func (s *Store) InsertRuns(ctx context.Context, repository string, c plane.RefChange, runs []plane.NewRun, tell plane.Event) ([]plane.Run, error) {
	var added []plane.Run
	err := s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		added = nil // this function may run again
		if err := moveRef(ctx, tx, repository, c); err != nil {
			return err
		}
		if err := insertEvent(ctx, tx, tell); err != nil {
			return err
		}
		for _, n := range runs {
			run, ok, err := insertRun(ctx, tx, n)
			if err != nil {
				return fmt.Errorf("insert the run of %s: %w", n.Run.File, err)
			}
			if ok {
				added = append(added, run)
			}
		}
		return nil
	})
	return added, err
}

func insertRun(ctx context.Context, tx *store.Tx, n plane.NewRun) (r plane.Run, ok bool, err error) {
	r = n.Run
	var known int64
	err = tx.SQL.QueryRowContext(ctx, runExistsSQL, r.Repository, r.Ref, r.Old, r.Commit, r.File).Scan(&known)
	if err != nil || known > 0 {
		return r, false, err
	}
	if r.ID, err = tx.Next(ctx, "run"); err != nil {
		return r, false, err
	}
	if r.Number, err = tx.Next(ctx, "run of "+r.Repository); err != nil {
		return r, false, err
	}
	if r.Source == nil {
		r.Source = []byte{}
	}
	r.Version, r.Attempt = 1, 1
	inserted, err := affected(tx.SQL.ExecContext(ctx, insertRunSQL, r.ID, r.Number, r.Repository, r.Ref, r.Old, r.Commit, r.Pusher,
		r.Chain, r.File, r.Name, r.Source, string(r.State), r.Reason, store.Millis(r.Pushed), store.Millis(r.Created),
		nullMillis(r.Started), nullMillis(r.Ended)))
	if err != nil || inserted == 0 {
		return r, false, err
	}
	for i, j := range n.Jobs {
		j.Run = r.ID
		if err := insertJob(ctx, tx, i+1, j); err != nil {
			return r, false, err
		}
	}
	for _, e := range n.Record {
		if e.Subject == "" {
			e.Subject = fmt.Sprintf("run/%d", r.ID)
		}
		if err := tx.Record(ctx, e); err != nil {
			return r, false, err
		}
	}
	for _, t := range n.Next {
		if t.ID == 0 {
			t.ID = r.ID
		}
		if err := tx.Enqueue(ctx, task(t)); err != nil {
			return r, false, err
		}
	}
	return r, true, nil
}

// task is t for the engine. Jobs have a queue of their own, which has no time limit.
func task(t plane.Task) store.Task {
	out := store.Task{Name: t.Name, ID: t.ID, Version: t.Version}
	if t.Name == plane.TaskJob {
		out.Queue = store.JobQueue
	}
	return out
}

// affected is the number of rows that a statement has changed.
func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
