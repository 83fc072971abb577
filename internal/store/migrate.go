package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"drawbridge/internal/fault"
)

//go:embed migrations/*.sql
var engineFiles embed.FS

// migrateLock is the advisory lock under which replicas that start together take turns.
const migrateLock = 727101

const (
	lockSQL   = `SELECT pg_advisory_lock($1)`
	unlockSQL = `SELECT pg_advisory_unlock($1)`
)

// migrate brings the engine's tables, the plane's and River's up to date, in this order.
func (db *DB) migrate(ctx context.Context) (err error) {
	if !db.engine.sqlite() {
		conn, err := db.engine.writer().Conn(ctx)
		if err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		defer func() { _ = conn.Close() }() // back to the pool
		if _, err := conn.ExecContext(ctx, lockSQL, migrateLock); err != nil {
			return fmt.Errorf("waiting to migrate: %w", err)
		}
		defer func() {
			_, e := conn.ExecContext(context.WithoutCancel(ctx), unlockSQL, migrateLock)
			err = errors.Join(err, e)
		}()
	}
	engine, err := fs.Sub(engineFiles, "migrations")
	if err != nil {
		return err
	}
	if err := db.up(ctx, "engine_version", engine); err != nil {
		return fmt.Errorf("migrating the engine's tables: %w", err)
	}
	if err := db.claim(ctx); err != nil {
		return err
	}
	if db.cfg.Migrations != nil {
		if err := db.up(ctx, "plane_version", db.cfg.Migrations); err != nil {
			return fmt.Errorf("migrating the %s plane's tables: %w", db.cfg.Plane, err)
		}
	}
	if err := db.engine.migrateRiver(ctx); err != nil {
		return fmt.Errorf("migrating the job tables: %w", err)
	}
	return nil
}

func (db *DB) up(ctx context.Context, table string, files fs.FS) error {
	dialect := goose.DialectPostgres
	if db.engine.sqlite() {
		dialect = goose.DialectSQLite3
	}
	p, err := goose.NewProvider(dialect, db.engine.writer(), files, goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

const (
	claimSQL = `INSERT INTO plane (name) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM plane)`
	ownerSQL = `SELECT name FROM plane`
)

// claim makes the database this plane's, or refuses one that is the other's.
func (db *DB) claim(ctx context.Context) error {
	w := db.engine.writer()
	if _, err := w.ExecContext(ctx, claimSQL, db.cfg.Plane); err != nil {
		return fmt.Errorf("claiming the database: %w", err)
	}
	var owner string
	if err := w.QueryRowContext(ctx, ownerSQL).Scan(&owner); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("claiming the database: %w", err)
	}
	if owner != db.cfg.Plane {
		return fault.New(fault.Conflict, "the database of the %s plane belongs to the %s plane", db.cfg.Plane, owner).
			WithHint("give each plane a database of its own")
	}
	return nil
}
