package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"unicode/utf8"

	"modernc.org/sqlite"
)

// guardConnector makes SQLite connections that keep two promises which PostgreSQL keeps by
// itself: text has no NUL bytes and is UTF-8, and once a transaction is broken nothing that
// was meant for it is committed.
type guardConnector struct{ driver.Connector }

// Connect opens a guarded connection.
func (c guardConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method"), conn.Close())
	}
	g := &guardConn{sqliteConn: full, prepared: map[string]*statement{}}
	full.RegisterCommitHook(g.commitHook)
	return g, nil
}

// sqliteConn is what database/sql may ask of the driver's connection, and the commit hook.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	RegisterCommitHook(fn sqlite.CommitHookFn)
}

// guardConn is used by one goroutine at a time, as every driver.Conn.
type guardConn struct {
	sqliteConn
	prepared map[string]*statement // by text
	inTx     bool                  // between BeginTx and its Commit or Rollback
}

var errText = errors.New("text holds a NUL byte or is not UTF-8")

// CheckNamedValue looks at each parameter of a statement before it is bound.
func (c *guardConn) CheckNamedValue(v *driver.NamedValue) error {
	if s, ok := v.Value.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
		return badText(errText)
	}
	return driver.ErrSkip // the default conversion does the rest
}

// commitHook turns a commit into a rollback when it is not the transaction's own. SQLite
// rolls a transaction back by itself when the disk is full; whatever statement came next
// would then be committed alone.
func (c *guardConn) commitHook() int32 {
	if c.inTx {
		return 1
	}
	return 0
}

// BeginTx starts a guarded transaction.
func (c *guardConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return guardTx{tx, c}, nil
}

// Close takes the hook back, which the driver keeps by the connection's address.
func (c *guardConn) Close() error {
	c.RegisterCommitHook(nil)
	return errors.Join(c.forget(), c.sqliteConn.Close())
}

type guardTx struct {
	driver.Tx
	conn *guardConn
}

// Commit lets the transaction's own commit pass.
func (t guardTx) Commit() error {
	t.conn.inTx = false
	return t.Tx.Commit()
}

// Rollback ends the guard with the transaction.
func (t guardTx) Rollback() error {
	t.conn.inTx = false
	return t.Tx.Rollback()
}
