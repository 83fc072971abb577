// Package store is the engine under both planes' tables: one database per plane, SQLite or
// PostgreSQL, and one transaction that holds a state change, its audit entries, its timers
// and the next tasks together.
//
// InTx is the only way to write. On SQLite the transactions that wait share one commit
// (group commit), each behind its own savepoint; on PostgreSQL each has its own. Either
// way InTx returns nil only once the change is on the disk. Reads outside a transaction go
// to Reader.
//
// The plane's own tables and queries live in internal/store/ci and internal/store/cd, over
// this package. Portable SQL is assumed: $1 parameters, bigint, text and bytea columns,
// times as bigint milliseconds UTC.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

// Config says which database to open. URL, Plane and AuditKey are needed.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://…". SQLite takes a lock on PATH.lock.
	URL string
	// Plane is "ci" or "cd". A database belongs to the plane that opened it first.
	Plane string
	// Migrations are the plane's goose files, *.sql at the top; nil means none.
	Migrations fs.FS
	// AuditKey signs the checkpoints of this database's audit log.
	AuditKey audit.Key
	// Log gets what nobody is told otherwise; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// MaxPages bounds a SQLite file, in pages of 4 KiB; 0 means no bound.
	MaxPages int64
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	cfg    Config
	engine engine
	timers chan struct{} // holds a token when an earlier timer may have been set
	close  func() error  // of engine, once
	closed atomic.Bool
}

// engine is what differs between the two databases.
type engine interface {
	// transact runs fn in one transaction; fn may run again.
	transact(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx, insert inserter) error) error
	// newClient makes a River client that works.
	newClient(cfg *river.Config) (Client, error)
	// migrateRiver brings River's own tables up to date.
	migrateRiver(ctx context.Context) error
	// writer is for migrations and recovery, reader for queries outside a transaction.
	writer() *sql.DB
	reader() *sql.DB
	sqlite() bool
	// snapshot is the isolation level whose transactions see one state throughout.
	snapshot() sql.IsolationLevel
	// wake tells this process's workers of queue that a task was committed.
	wake(queue string)
	close() error
}

// inserter inserts River jobs within a transaction.
type inserter func(ctx context.Context, jobs []river.InsertManyParams) error

// Client is a River client over either database. Cancelling Start's context does not stop
// it, StopAndCancel does; it returns when every worker has returned or ctx ends.
type Client interface {
	Start(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// Open opens the database, makes it when it is a SQLite file that does not exist, and brings
// its tables up to date: the engine's, the plane's, River's. It returns a fault of kind
// Conflict when another process has the SQLite file open or the database belongs to the
// other plane, Invalid for a URL that is neither form, Unavailable when the database cannot
// be reached, Full when there is no room.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if want := audit.Origin(cfg.Plane); cfg.AuditKey.Origin() != want {
		return nil, fmt.Errorf("opening the %s database: the audit key is of %q, want %q", cfg.Plane, cfg.AuditKey.Origin(), want)
	}
	e, err := openEngine(ctx, cfg)
	if err != nil {
		return nil, Fault(err)
	}
	db := &DB{cfg: cfg, engine: e, timers: make(chan struct{}, 1), close: sync.OnceValue(e.close)}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(Fault(err), db.Close())
	}
	return db, nil
}

func openEngine(ctx context.Context, cfg Config) (engine, error) {
	if path, ok := strings.CutPrefix(cfg.URL, "sqlite:"); ok && path != "" {
		return openSQLite(ctx, path, cfg)
	}
	if strings.HasPrefix(cfg.URL, "postgres://") || strings.HasPrefix(cfg.URL, "postgresql://") {
		return openPostgres(ctx, cfg)
	}
	return nil, fault.New(fault.Invalid, "the database URL of the %s plane is of no known form", cfg.Plane).
		WithHint("write sqlite:PATH or postgres://USER@HOST/DATABASE")
}

// Close waits for the transactions under way and closes the database. InTx then gives a
// fault of kind Unavailable. Closing again does nothing. Stop the queue first.
func (db *DB) Close() error {
	db.closed.Store(true)
	return db.close()
}

// Reader is for queries outside a transaction. On SQLite it cannot write. It sees what
// InTx has committed. Pass its errors through Fault.
func (db *DB) Reader() *sql.DB { return db.engine.reader() }

// Plane is "ci" or "cd".
func (db *DB) Plane() string { return db.cfg.Plane }

// Now is the injected clock's time, UTC, in whole milliseconds: what a column keeps.
func (db *DB) Now() time.Time { return db.cfg.Now().UTC().Truncate(time.Millisecond) }

// NewClient makes a River client that works this database's tasks; it is for internal/queue.
func (db *DB) NewClient(cfg *river.Config) (Client, error) { return db.engine.newClient(cfg) }

// Millis is t as a column keeps it: milliseconds since 1970, UTC.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time is what Millis made of a time, in UTC.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
