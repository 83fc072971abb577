package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"drawbridge/internal/fault"
)

// Fault turns an error of the database that a user can act on into a fault: Full when
// there is no room, Unavailable when the database cannot be reached or is overloaded,
// Invalid for text that no database takes (NUL, not UTF-8). A fault, nil, a context's error
// and what it does not know stay as they are.
func Fault(err error) error {
	if err == nil || fault.As(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if se := (*sqlite.Error)(nil); errors.As(err, &se) {
		return sqliteFault(se.Code()&0xff, err)
	}
	if pe := (*pgconn.PgError)(nil); errors.As(err, &pe) {
		return postgresFault(pe.Code, err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return unavailable(err)
	}
	return err
}

// Duplicate reports whether the database refused a row because its key is taken.
func Duplicate(err error) bool {
	if se := (*sqlite.Error)(nil); errors.As(err, &se) {
		return se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	pe := (*pgconn.PgError)(nil)
	return errors.As(err, &pe) && pe.Code == "23505" // unique_violation
}

func sqliteFault(code int, err error) error {
	switch code {
	case sqlite3.SQLITE_FULL:
		return full(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return unavailable(err)
	}
	return err
}

func postgresFault(code string, err error) error {
	switch {
	case code == "53100": // disk_full
		return full(err)
	case code == "22021": // character_not_in_repertoire: NUL or not UTF-8
		return badText(err)
	case len(code) == 5 && (code[:2] == "53" || code[:2] == "08" || code[:3] == "57P"),
		code == "28P01", code == "28000", code == "3D000": // resources, connection, shutdown, login, no such database
		return unavailable(err)
	}
	return err
}

var errClosed = fault.New(fault.Unavailable, "the database is closed").WithHint("the server is stopping: try again later")

func full(err error) error {
	return fault.Wrap(fault.Full, err, "the database is full").
		WithHint("make room on its disk, or raise its size limit; nothing that was accepted is lost")
}

func unavailable(err error) error {
	return fault.Wrap(fault.Unavailable, err, "the database cannot be used now").
		WithHint("check that it runs, that its URL is right and its disk is well, then try again")
}

func badText(err error) error {
	return fault.Wrap(fault.Invalid, err, "text must be UTF-8 without NUL bytes")
}
