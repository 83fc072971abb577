package ci

import (
	"context"
	"database/sql"
	"fmt"

	plane "drawbridge/internal/ci"
	"drawbridge/internal/store"
)

const (
	jobColumns = `id, run_id, job_key, name, state, reason, attempt, outputs, facts, queued_ms, started_ms, ended_ms, version`
	jobSQL     = `SELECT ` + jobColumns + ` FROM job WHERE id = $1`
	jobsSQL    = `SELECT ` + jobColumns + ` FROM job WHERE run_id = $1 ORDER BY position`
)

// Job implements the plane's Details.
func (s *Store) Job(ctx context.Context, id int64) (plane.RunJob, error) {
	j, err := scanJob(s.db.Reader().QueryRowContext(ctx, jobSQL, id))
	return one(j, err, "job %d", id)
}

// Jobs implements the plane's Runs.
func (s *Store) Jobs(ctx context.Context, run int64) ([]plane.RunJob, error) {
	return all(ctx, s.db.Reader(), scanJob, jobsSQL, run)
}

func scanJob(row scanner) (plane.RunJob, error) {
	var j plane.RunJob
	var outputs, facts string
	var queued, started, ended sql.NullInt64
	err := row.Scan(&j.ID, &j.Run, &j.Key, &j.Name, &j.State, &j.Reason, &j.Attempt, &outputs, &facts, &queued, &started, &ended, &j.Version)
	if err != nil {
		return j, err
	}
	j.Queued, j.Started, j.Ended = fromMillis(queued), fromMillis(started), fromMillis(ended)
	if err := fromJSON(outputs, &j.Outputs); err != nil {
		return j, err
	}
	return j, fromJSON(facts, &j.Facts)
}

const insertJobSQL = `INSERT INTO job (id, run_id, position, job_key, name, state, reason, attempt, outputs, facts,
queued_ms, started_ms, ended_ms, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1)`

func insertJob(ctx context.Context, tx *store.Tx, position int, j plane.RunJob) error {
	outputs, facts, err := jobJSON(j)
	if err != nil {
		return err
	}
	if j.ID, err = tx.Next(ctx, "job"); err != nil {
		return err
	}
	_, err = tx.SQL.ExecContext(ctx, insertJobSQL, j.ID, j.Run, position, j.Key, j.Name, string(j.State), j.Reason, j.Attempt,
		outputs, facts, nullMillis(j.Queued), nullMillis(j.Started), nullMillis(j.Ended))
	if err != nil {
		return fmt.Errorf("insert job %s: %w", j.Key, err)
	}
	return nil
}

const updateJobSQL = `UPDATE job SET state = $1, reason = $2, attempt = $3, outputs = $4, facts = $5, queued_ms = $6,
started_ms = $7, ended_ms = $8, version = version + 1 WHERE id = $9 AND version = $10`

func updateJob(ctx context.Context, tx *store.Tx, j plane.RunJob) error {
	outputs, facts, err := jobJSON(j)
	if err != nil {
		return err
	}
	res, err := tx.SQL.ExecContext(ctx, updateJobSQL, string(j.State), j.Reason, j.Attempt, outputs, facts,
		nullMillis(j.Queued), nullMillis(j.Started), nullMillis(j.Ended), j.ID, j.Version)
	return store.SwappedResult(res, err, "job", j.ID)
}

func jobJSON(j plane.RunJob) (outputs, facts string, err error) {
	if j.Outputs == nil {
		j.Outputs = map[string]string{}
	}
	if outputs, err = jsonText(j.Outputs); err != nil {
		return "", "", err
	}
	facts, err = jsonText(j.Facts)
	return outputs, facts, err
}

const (
	stepsSQL = `SELECT job_id, attempt, number, name, state, exit_code, reason, summary, started_ms, ended_ms FROM step
WHERE job_id = $1 ORDER BY attempt, number`
	insertStepSQL = `INSERT INTO step (job_id, attempt, number, name, state, exit_code, reason, summary, started_ms, ended_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
)

// Steps implements the plane's Details.
func (s *Store) Steps(ctx context.Context, job int64) ([]plane.Step, error) {
	return all(ctx, s.db.Reader(), func(row scanner) (plane.Step, error) {
		var st plane.Step
		var started, ended int64
		err := row.Scan(&st.Job, &st.Attempt, &st.Number, &st.Name, &st.State, &st.Exit, &st.Reason, &st.Summary, &started, &ended)
		st.Started, st.Ended = store.Time(started), store.Time(ended)
		return st, err
	}, stepsSQL, job)
}

func insertStep(ctx context.Context, tx *store.Tx, st plane.Step) error {
	_, err := tx.SQL.ExecContext(ctx, insertStepSQL, st.Job, st.Attempt, st.Number, st.Name, string(st.State), st.Exit, st.Reason,
		st.Summary, store.Millis(st.Started), store.Millis(st.Ended))
	if err != nil {
		return fmt.Errorf("insert step %d of job %d: %w", st.Number, st.Job, err)
	}
	return nil
}
