package ci

import (
	"context"
	"fmt"

	"drawbridge/internal/audit"
	plane "drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
)

const repositorySQL = `SELECT name, protected, created_ms FROM repository WHERE name = $1`

// Repository implements the plane's Repositories.
func (s *Store) Repository(ctx context.Context, name string) (plane.Repository, error) {
	r, err := scanRepository(s.db.Reader().QueryRowContext(ctx, repositorySQL, name))
	return one(r, err, "repository %q", name)
}

func scanRepository(row scanner) (plane.Repository, error) {
	var r plane.Repository
	var protected string
	var created int64
	if err := row.Scan(&r.Name, &protected, &created); err != nil {
		return r, err
	}
	r.Created = store.Time(created)
	return r, fromJSON(protected, &r.Protected)
}

const insertRepositorySQL = `INSERT INTO repository (name, protected, created_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`

// CreateRepository implements the plane's Repositories.
func (s *Store) CreateRepository(ctx context.Context, r plane.Repository, by audit.Entry) error {
	protected, err := jsonText(r.Protected)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := affected(tx.SQL.ExecContext(ctx, insertRepositorySQL, r.Name, protected, store.Millis(r.Created)))
		if err != nil {
			return fmt.Errorf("insert repository %s: %w", r.Name, err)
		}
		if n == 0 {
			return fault.New(fault.Conflict, "there is a repository %s already", r.Name)
		}
		return tx.Record(ctx, by)
	})
}

const listRepositoriesSQL = `SELECT name, protected, created_ms FROM repository WHERE name > $1 ORDER BY name LIMIT $2`

// ListRepositories implements the plane's Repositories.
func (s *Store) ListRepositories(ctx context.Context, after string, limit int) ([]plane.Repository, error) {
	return all(ctx, s.db.Reader(), scanRepository, listRepositoriesSQL, after, limited(limit))
}

const refsSQL = `SELECT name, commit_hash FROM ref WHERE repository = $1`

// Refs implements the plane's Repositories.
func (s *Store) Refs(ctx context.Context, repository string) (map[string]string, error) {
	type ref struct{ name, commit string }
	list, err := all(ctx, s.db.Reader(), func(row scanner) (r ref, err error) {
		return r, row.Scan(&r.name, &r.commit)
	}, refsSQL, repository)
	refs := make(map[string]string, len(list))
	for _, r := range list {
		refs[r.name] = r.commit
	}
	return refs, err
}

const (
	setRefSQL = `INSERT INTO ref (repository, name, commit_hash) VALUES ($1, $2, $3)
ON CONFLICT (repository, name) DO UPDATE SET commit_hash = excluded.commit_hash`
	dropRefSQL = `DELETE FROM ref WHERE repository = $1 AND name = $2`
)

// moveRef records what a push has made of a ref.
func moveRef(ctx context.Context, tx *store.Tx, repository string, c plane.RefChange) error {
	var err error
	if c.New == plane.NoCommit {
		_, err = tx.SQL.ExecContext(ctx, dropRefSQL, repository, c.Ref)
	} else {
		_, err = tx.SQL.ExecContext(ctx, setRefSQL, repository, c.Ref, c.New)
	}
	if err != nil {
		return fmt.Errorf("record %s of %s: %w", c.Ref, repository, err)
	}
	return nil
}
