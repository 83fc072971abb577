package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
)

// statementsMax is how many prepared statements a SQLite connection keeps. There are fewer
// texts than that; where there are more, those at rest are dropped and made again.
const statementsMax = 256

// statement is a prepared statement of a SQLite connection: to parse a text costs SQLite
// more than to run it. It is used by one goroutine at a time, as its connection.
type statement struct {
	preparedStmt
	busy bool // its rows are being read
}

// preparedStmt is what the driver's statements can do.
type preparedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// ExecContext runs a statement, which is prepared once per connection.
func (c *guardConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.prepare(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext is ExecContext for what returns rows.
func (c *guardConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.prepare(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &statementRows{rows, s}, nil
}

// statementRows gives its statement back when it is closed.
type statementRows struct {
	driver.Rows
	of *statement
}

// Close ends the reading.
func (r *statementRows) Close() error {
	err := r.Rows.Close()
	r.of.busy = false
	return err
}

// prepare returns the kept statement of a text; nil where it is not to be kept (migrations,
// savepoints) or is being read from.
func (c *guardConn) prepare(ctx context.Context, query string, args []driver.NamedValue) (*statement, error) {
	if len(args) == 0 && !strings.HasPrefix(query, "SELECT ") {
		return nil, nil //nolint:nilnil // documented
	}
	if s, ok := c.prepared[query]; ok {
		if s.busy {
			return nil, nil //nolint:nilnil // documented
		}
		return s, nil
	}
	stmt, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := stmt.(preparedStmt)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method of statements"), stmt.Close())
	}
	if len(c.prepared) >= statementsMax {
		if err := c.forget(); err != nil {
			return nil, errors.Join(err, stmt.Close())
		}
	}
	s := &statement{preparedStmt: full}
	c.prepared[query] = s
	return s, nil
}

// forget closes the prepared statements that are at rest.
func (c *guardConn) forget() error {
	var errs []error
	for text, s := range c.prepared {
		if !s.busy {
			errs = append(errs, s.Close())
			delete(c.prepared, text)
		}
	}
	return errors.Join(errs...)
}
