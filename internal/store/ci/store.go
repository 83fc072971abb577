// Package ci keeps the CI plane's rows in its database, SQLite or PostgreSQL, and its logs
// in files. It implements the plane's Store and LogStore, and the embedded registry's Rows.
//
// Every change is one transaction of the engine: rows, audit entries and tasks together.
// A change is guarded in its WHERE by the version that it was made from; one that came
// too late is a fault of kind Conflict.
package ci

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	plane "drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/store"
)

//go:embed migrations/*.sql
var files embed.FS

// Store is the CI plane's database. It is safe for concurrent use.
type Store struct{ db *store.DB }

var (
	_ plane.Store    = (*Store)(nil)
	_ plane.LogStore = (*LogFiles)(nil)
	_ registry.Rows  = (*Store)(nil)
)

// Open opens the CI plane's database and brings its tables up to date. Plane and
// Migrations of cfg are set here. It returns the faults of store.Open. The caller closes
// the Store.
func Open(ctx context.Context, cfg store.Config) (*Store, error) {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open the migrations of the ci plane: %w", err)
	}
	cfg.Plane, cfg.Migrations = "ci", migrations
	db, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Store{db}, nil
}

// DB is the engine below: for the queue, tokens and the audit log.
func (s *Store) DB() *store.DB { return s.db }

// Close closes the database; see store.DB.
func (s *Store) Close() error { return s.db.Close() }

// limited is how many rows a list gives that was asked for n.
func limited(n int) int {
	const usual, most = 50, 500
	if n <= 0 {
		return usual
	}
	return min(n, most)
}

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

// all reads every row of a query by scan.
func all[T any](ctx context.Context, db *sql.DB, scan func(scanner) (T, error), query string, args ...any) (_ []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, store.Fault(err)
	}
	defer func() { err = store.Fault(errors.Join(err, rows.Close())) }()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// one turns "no row" into a fault of kind NotFound.
func one[T any](v T, err error, format string, args ...any) (T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return v, fault.New(fault.NotFound, "there is no "+format, args...)
	}
	return v, store.Fault(err)
}

// nullMillis is a time as a column keeps it; the zero time is NULL.
func nullMillis(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: store.Millis(t), Valid: true}
}

func fromMillis(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return store.Time(n.Int64)
}

// jsonText is v as a text column keeps it.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write a column: %w", err)
	}
	return string(b), nil
}

func fromJSON(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("read a column: %w", err)
	}
	return nil
}
