package ci

import (
	"context"
	"fmt"

	"drawbridge/internal/artifact"
	plane "drawbridge/internal/ci"
	"drawbridge/internal/store"
)

const (
	publicationsSQL = `SELECT run_id, job_id, attempt, image, digest, tags, sbom, at_ms FROM publication WHERE run_id = $1 ORDER BY id`
	reportsSQL      = `SELECT run_id, job_id, attempt, kind, file, body FROM report WHERE run_id = $1 ORDER BY id`
)

// Published implements the plane's Details.
func (s *Store) Published(ctx context.Context, run int64) ([]plane.Publication, []plane.Report, error) {
	published, err := all(ctx, s.db.Reader(), scanPublication, publicationsSQL, run)
	if err != nil {
		return nil, nil, err
	}
	reports, err := all(ctx, s.db.Reader(), scanReport, reportsSQL, run)
	return published, reports, err
}

func scanPublication(row scanner) (plane.Publication, error) {
	var p plane.Publication
	var image, digest, tags string
	var sbom []byte
	var at int64
	if err := row.Scan(&p.Run, &p.Job, &p.Attempt, &image, &digest, &tags, &sbom, &at); err != nil {
		return p, err
	}
	p.SBOM, p.At = sbom, store.Time(at)
	var err error
	if p.Image, err = artifact.ParseReference(image); err != nil {
		return p, err
	}
	if p.Digest, err = artifact.ParseDigest(digest); err != nil {
		return p, err
	}
	return p, fromJSON(tags, &p.Tags)
}

func scanReport(row scanner) (plane.Report, error) {
	var r plane.Report
	var body []byte
	err := row.Scan(&r.Run, &r.Job, &r.Attempt, &r.Kind, &r.File, &body)
	r.Body = body
	return r, err
}

const insertPublicationSQL = `INSERT INTO publication (id, run_id, job_id, attempt, image, digest, tags, sbom, at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func insertPublication(ctx context.Context, tx *store.Tx, p plane.Publication) error {
	tags, err := jsonText(p.Tags)
	if err != nil {
		return err
	}
	id, err := tx.Next(ctx, "publication")
	if err != nil {
		return err
	}
	_, err = tx.SQL.ExecContext(ctx, insertPublicationSQL, id, p.Run, p.Job, p.Attempt, p.Image.Name(), p.Digest.String(), tags,
		bytesOf(p.SBOM), store.Millis(p.At))
	if err != nil {
		return fmt.Errorf("insert the publication of %s: %w", p.Image, err)
	}
	return nil
}

const insertReportSQL = `INSERT INTO report (id, run_id, job_id, attempt, kind, file, body) VALUES ($1, $2, $3, $4, $5, $6, $7)`

func insertReport(ctx context.Context, tx *store.Tx, r plane.Report) error {
	id, err := tx.Next(ctx, "report")
	if err != nil {
		return err
	}
	if _, err := tx.SQL.ExecContext(ctx, insertReportSQL, id, r.Run, r.Job, r.Attempt, r.Kind, r.File, bytesOf(r.Body)); err != nil {
		return fmt.Errorf("insert the report %s: %w", r.File, err)
	}
	return nil
}

// bytesOf is b as a column that is not NULL keeps it.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

const (
	bundlesSQL      = `SELECT run_id, number, artifact, predicate, body, at_ms FROM bundle WHERE run_id = $1 ORDER BY number`
	insertBundleSQL = `INSERT INTO bundle (run_id, number, artifact, predicate, body, at_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`
)

// Bundles implements the plane's Outbox.
func (s *Store) Bundles(ctx context.Context, run int64) ([]plane.Bundle, error) {
	return all(ctx, s.db.Reader(), func(row scanner) (plane.Bundle, error) {
		var b plane.Bundle
		var name string
		var at int64
		if err := row.Scan(&b.Run, &b.Number, &name, &b.Predicate, &b.Body, &at); err != nil {
			return b, err
		}
		b.At = store.Time(at)
		var err error
		b.Artifact, err = artifact.ParseReference(name)
		return b, err
	}, bundlesSQL, run)
}

func insertBundle(ctx context.Context, tx *store.Tx, b plane.Bundle) error {
	n, err := affected(tx.SQL.ExecContext(ctx, insertBundleSQL, b.Run, b.Number, b.Artifact.String(), b.Predicate, bytesOf(b.Body), store.Millis(b.At)))
	if err != nil {
		return fmt.Errorf("insert bundle %d of run %d: %w", b.Number, b.Run, err)
	}
	return store.Swapped(n, "the evidence of run", b.Run)
}
