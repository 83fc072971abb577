package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"drawbridge/internal/fault"
)

// readers is the number of connections that read a SQLite file at once.
const readers = 8

// sqliteEngine is one file with one writing connection.
type sqliteEngine struct {
	w, r   *sql.DB
	group  *group
	lock   *os.File // held while the file is open
	driver *wakeDriver
	client *river.Client[*sql.Tx] // inserts only
}

func openSQLite(ctx context.Context, path string, cfg Config) (_ engine, err error) {
	e := &sqliteEngine{}
	if e.lock, err = lockFile(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.w, err = openPool(path, "immediate", writerPragmas(cfg.MaxPages)); err != nil {
		return nil, err
	}
	e.w.SetMaxOpenConns(1) // the one writer: waits in Go's queue, never for a lock of SQLite
	e.w.SetMaxIdleConns(1)
	if err := e.w.PingContext(ctx); err != nil { // makes the file and its WAL before readers come
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if e.r, err = openPool(path, "deferred", []string{"query_only(1)"}); err != nil {
		return nil, err
	}
	e.r.SetMaxOpenConns(readers)
	e.r.SetMaxIdleConns(readers)
	e.driver = newWakeDriver(e.w)
	e.client, err = river.NewClient(e.driver, insertOnly())
	if err != nil {
		return nil, fmt.Errorf("making the job client: %w", err)
	}
	e.group = newGroup(e.w)
	return e, nil
}

// lockFile takes the lock that says who owns the database: recovery on start frees every
// running task, which is right only when no other process runs one.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the path is the operator's own
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the database file %s cannot be opened: %v", path, err).
			WithHint("make its directory, writable by the user who runs the server")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = fault.Wrap(fault.Conflict, err, "another process has the database %s open", path).
			WithHint("stop the other server, or give this one another --data directory")
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writerPragmas(maxPages int64) []string {
	if maxPages <= 0 {
		return nil
	}
	return []string{"max_page_count(" + strconv.FormatInt(maxPages, 10) + ")"}
}

func openPool(path, lock string, pragmas []string) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}, "_time_format": {"sqlite"}}
	// busy_timeout comes first: the other pragmas may wait for a lock themselves.
	q["_pragma"] = append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
		"foreign_keys(1)", "temp_store(MEMORY)", "cache_size(-16000)",
	}, pragmas...)
	file := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	c, err := sqlite.NewConnector(file)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return sql.OpenDB(guardConnector{c}), nil
}

func (e *sqliteEngine) transact(ctx context.Context, fn func(context.Context, *sql.Tx, inserter) error) error {
	return e.group.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return fn(ctx, tx, func(ctx context.Context, jobs []river.InsertManyParams) error {
			_, err := e.client.InsertManyFastTx(ctx, tx, jobs)
			return err
		})
	})
}

func (e *sqliteEngine) newClient(cfg *river.Config) (Client, error) {
	return river.NewClient(e.driver, cfg)
}

func (e *sqliteEngine) migrateRiver(ctx context.Context) error {
	m, err := rivermigrate.New(e.driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (e *sqliteEngine) writer() *sql.DB              { return e.w }
func (e *sqliteEngine) reader() *sql.DB              { return e.r }
func (e *sqliteEngine) sqlite() bool                 { return true }
func (e *sqliteEngine) snapshot() sql.IsolationLevel { return sql.LevelDefault } // a read transaction is one
func (e *sqliteEngine) wake(queue string)            { e.driver.wakeUp(queue) }

func (e *sqliteEngine) close() error {
	if e.group != nil {
		e.group.close()
	}
	var errs []error
	for _, db := range []*sql.DB{e.r, e.w} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, e.lock.Close())...) // the lock last; its file stays
}
