package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"drawbridge/internal/fault"
)

// poolSize is the number of connections when the URL does not say pool_max_conns: workers,
// requests and River's listener share them.
const poolSize = 24

// conflictTries is how often a transaction runs that PostgreSQL aborts for another's sake.
const conflictTries = 10

// postgresEngine is one pool of connections, seen as database/sql and by River's pgx driver.
type postgresEngine struct {
	pool   *pgxpool.Pool
	db     *sql.DB
	client *river.Client[pgx.Tx] // inserts only
}

func openPostgres(ctx context.Context, cfg Config) (engine, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil { // the cause may quote the password
		return nil, fault.New(fault.Invalid, "the database URL of the %s plane is malformed", cfg.Plane).
			WithHint("write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in it percent-encoded")
	}
	if !strings.Contains(cfg.URL, "pool_max_conns") {
		pc.MaxConns = poolSize
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("opening the pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reaching the database: %w", err)
	}
	e := &postgresEngine{pool: pool, db: stdlib.OpenDBFromPool(pool)}
	e.client, err = river.NewClient(riverpgxv5.New(pool), insertOnly())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the job client: %w", err), e.close())
	}
	return e, nil
}

func (e *postgresEngine) transact(ctx context.Context, fn func(context.Context, *sql.Tx, inserter) error) error {
	for try := 1; ; try++ {
		err := e.once(ctx, fn)
		if try == conflictTries || !aborted(err) {
			return err
		}
		// Apart from each other, or the same two meet again.
		pause := time.NewTimer(rand.N(time.Duration(try) * 10 * time.Millisecond)) //nolint:gosec // no secret
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// aborted reports whether PostgreSQL rolled back to resolve a deadlock or a conflict.
func aborted(err error) bool {
	pe := (*pgconn.PgError)(nil)
	return errors.As(err, &pe) && (pe.Code == "40P01" || pe.Code == "40001")
}

func (e *postgresEngine) once(ctx context.Context, fn func(context.Context, *sql.Tx, inserter) error) (err error) {
	conn, err := e.db.Conn(ctx) // held, so that the pgx connection below the transaction can be reached
	if err != nil {
		return fmt.Errorf("taking a connection: %w", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("starting a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	ptx, err := riverTx(conn)
	if err != nil {
		return err
	}
	insert := func(ctx context.Context, jobs []river.InsertManyParams) error {
		if len(jobs) == 1 { // COPY takes more round trips
			_, err := e.client.InsertTx(ctx, ptx, jobs[0].Args, jobs[0].InsertOpts)
			return err
		}
		_, err := e.client.InsertManyFastTx(ctx, ptx, jobs)
		return err
	}
	if err := fn(ctx, tx, insert); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (e *postgresEngine) newClient(cfg *river.Config) (Client, error) {
	return river.NewClient(riverpgxv5.New(e.pool), cfg)
}

func (e *postgresEngine) migrateRiver(ctx context.Context) error {
	m, err := rivermigrate.New(riverpgxv5.New(e.pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (e *postgresEngine) writer() *sql.DB              { return e.db }
func (e *postgresEngine) reader() *sql.DB              { return e.db }
func (e *postgresEngine) sqlite() bool                 { return false }
func (e *postgresEngine) snapshot() sql.IsolationLevel { return sql.LevelRepeatableRead }
func (e *postgresEngine) wake(string)                  {} // River's NOTIFY, sent with the commit, does it

func (e *postgresEngine) close() error {
	err := e.db.Close()
	e.pool.Close()
	return err
}
