package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"drawbridge/internal/fault"
)

// groupMax is how many transactions share one commit at most.
const groupMax = 64

// group is SQLite's single writer with group commit. The transactions that are waiting
// share one COMMIT and so one fsync, each behind its own SAVEPOINT, and nobody is told
// "done" before that COMMIT. An error undoes only its own savepoint.
type group struct {
	db       *sql.DB
	requests chan *request // unbuffered: whoever has handed one over is served
	quit     chan struct{}
	stop     sync.Once
	done     chan struct{}
}

type request struct {
	ctx  context.Context // the caller's: looked at before it starts
	fn   func(ctx context.Context, tx *sql.Tx) error
	err  error // final once done is closed
	done chan struct{}
}

// errBroken says that SQLite has rolled the shared transaction back by itself, as it does
// when the disk is full: what the others wrote in it is gone too.
var errBroken = errors.New("the shared transaction was rolled back")

func newGroup(db *sql.DB) *group {
	g := &group{db: db, requests: make(chan *request), quit: make(chan struct{}), done: make(chan struct{})}
	go g.serve()
	return g
}

// close ends the writer after the group under way.
func (g *group) close() {
	g.stop.Do(func() { close(g.quit) })
	<-g.done
}

func (g *group) do(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case g.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-g.quit:
		return errClosed
	}
	<-r.done // never earlier: the commit may be under way, and the caller must learn its fate
	return r.err
}

func (g *group) serve() {
	defer close(g.done)
	for {
		select {
		case r := <-g.requests:
			g.run(r)
		case <-g.quit:
			return
		}
	}
}

// run commits first and whoever waits behind it.
func (g *group) run(first *request) {
	batch := []*request{first}
	err := g.transaction(func(tx *sql.Tx) error {
		for r := first; r != nil; r = g.more(&batch) {
			if r.err = alone(r, tx); errors.Is(r.err, errBroken) {
				return r.err
			}
		}
		return nil
	})
	for _, r := range batch {
		if err != nil && r.err == nil {
			r.err = g.again(r, err, len(batch))
		}
		close(r.done)
	}
}

// more adds the next waiting request to the batch; nil when there is none or it is full.
func (g *group) more(batch *[]*request) *request {
	if len(*batch) == groupMax {
		return nil
	}
	select {
	case r := <-g.requests:
		*batch = append(*batch, r)
		return r
	default:
		return nil
	}
}

// again gives r, innocent of err, a transaction of its own if the group certainly
// committed nothing; otherwise r shares the group's error.
func (g *group) again(r *request, err error, batch int) error {
	if !errors.Is(err, errBroken) && (batch == 1 || !fault.Is(Fault(err), fault.Full)) {
		return err
	}
	var own error
	err = g.transaction(func(tx *sql.Tx) error {
		own = alone(r, tx)
		return own
	})
	if own != nil {
		return own
	}
	return err
}

// transaction commits what fn did unless it returns an error.
func (g *group) transaction(fn func(tx *sql.Tx) error) error {
	// No caller's context: one that is cancelled must not break the others' transaction.
	tx, err := g.db.BeginTx(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("starting a transaction: %w", err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // fails when SQLite has rolled back already
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// alone runs r behind a savepoint. An error has undone r and nothing else, unless it is errBroken.
func alone(r *request, tx *sql.Tx) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.ctx) // an interrupted statement rolls back everybody
	if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return errors.Join(err, errBroken)
	}
	err := protect(ctx, r, tx)
	if err != nil {
		if _, e := tx.ExecContext(ctx, "ROLLBACK TO one"); e != nil {
			return errors.Join(err, errBroken)
		}
	}
	if _, e := tx.ExecContext(ctx, "RELEASE one"); e != nil {
		return errors.Join(err, e, errBroken)
	}
	return err
}

// protect turns a panic of r into an error: the writer must live on.
func protect(ctx context.Context, r *request, tx *sql.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	return r.fn(ctx, tx)
}
