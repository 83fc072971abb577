package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"unicode/utf8"
)

// textConnector makes SQLite refuse what PostgreSQL refuses: text with NUL bytes or that
// is not UTF-8. So nothing depends on which database is below.
type textConnector struct{ driver.Connector }

// Connect opens a connection that looks at its parameters.
func (c textConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method"), conn.Close())
	}
	return textConn{full}, nil
}

// sqliteConn is what database/sql may ask of the driver's connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type textConn struct{ sqliteConn }

var errText = errors.New("text holds a NUL byte or is not UTF-8")

// CheckNamedValue looks at each parameter of a statement before it is bound.
func (c textConn) CheckNamedValue(v *driver.NamedValue) error {
	if s, ok := v.Value.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
		return badText(errText)
	}
	return driver.ErrSkip // the default conversion does the rest
}
