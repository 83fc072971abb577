package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// pgTx shows River's pgx driver a transaction that database/sql opened: both are the same
// connection. Commit and Rollback belong to the *sql.Tx; a nested Begin is a savepoint.
type pgTx struct{ *connection }

// connection is embedded under another name, since pgx.Tx has a method Conn.
type connection = pgx.Conn

// riverTx is the transaction that is open on conn.
func riverTx(conn *sql.Conn) (pgx.Tx, error) {
	var tx pgx.Tx
	err := conn.Raw(func(dc any) error {
		c, ok := dc.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T", dc)
		}
		tx = pgTx{c.Conn()}
		return nil
	})
	return tx, err
}

var errNotOurs = errors.New("the transaction belongs to database/sql")

// Begin sets a savepoint.
func (t pgTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if _, err := t.Exec(ctx, "SAVEPOINT river"); err != nil {
		return nil, err
	}
	return pgSavepoint{t}, nil
}

// Commit is not River's to do.
func (t pgTx) Commit(context.Context) error { return errNotOurs }

// Rollback is not River's to do.
func (t pgTx) Rollback(context.Context) error { return errNotOurs }

// LargeObjects are not used.
func (t pgTx) LargeObjects() pgx.LargeObjects { return pgx.LargeObjects{} }

// Conn is the connection below.
func (t pgTx) Conn() *pgx.Conn { return t.connection }

// pgSavepoint is a transaction within pgTx.
type pgSavepoint struct{ pgTx }

// Commit keeps what was done since the savepoint.
func (s pgSavepoint) Commit(ctx context.Context) error {
	_, err := s.Exec(ctx, "RELEASE SAVEPOINT river")
	return err
}

// Rollback undoes what was done since the savepoint.
func (s pgSavepoint) Rollback(ctx context.Context) error {
	_, err := s.Exec(ctx, "ROLLBACK TO SAVEPOINT river")
	return err
}
