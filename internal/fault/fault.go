// Package fault is the one vocabulary of errors that a caller can act on.
//
// A fault has a kind, and the kind alone picks the HTTP status and the exit code.
// Its message is one line. Where the fault lies in a file it carries the file, line
// and column, where it lies in a request the field, and where there is a next step
// to take it carries that as a hint. An error that is no fault is a defect of the
// server: surfaces log it in full and show "internal error".
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what the caller can do about an error. Kinds are sent and scripted
// against: they are only ever added to.
type Kind string

// The kinds of fault.
const (
	Invalid         Kind = "invalid"         // the input is wrong: correct it
	Unauthenticated Kind = "unauthenticated" // no valid token: log in
	Forbidden       Kind = "forbidden"       // the identity may not do this: ask somebody who may
	NotFound        Kind = "not-found"       // there is no such thing: list what there is
	Conflict        Kind = "conflict"        // the state has moved on: look again
	Blocked         Kind = "blocked"         // a condition is not met yet: wait, or meet it
	Refused         Kind = "refused"         // evidence or policy forbids it: no repetition helps
	TooLarge        Kind = "too-large"       // over a limit: send less
	Unavailable     Kind = "unavailable"     // a part is out of reach: try again later
	Full            Kind = "full"            // the storage is full: make room
	Internal        Kind = "internal"        // a defect of the server: report it
)

// table holds each kind's HTTP status and process exit code.
var table = map[Kind]struct{ status, exit int }{
	Invalid:         {400, 2},
	Unauthenticated: {401, 3},
	Forbidden:       {403, 4},
	NotFound:        {404, 5},
	Conflict:        {409, 6},
	Blocked:         {409, 7},
	Refused:         {422, 8},
	TooLarge:        {413, 9},
	Unavailable:     {503, 10},
	Full:            {507, 11},
	Internal:        {500, 1},
}

// Kinds lists every kind in the order of its exit code, Internal (1) first.
func Kinds() []Kind {
	return []Kind{Internal, Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Blocked, Refused, TooLarge, Unavailable, Full}
}

// Status is the HTTP status code that stands for k; 500 for an unknown kind.
func (k Kind) Status() int {
	if row, ok := table[k]; ok {
		return row.status
	}
	return table[Internal].status
}

// ExitCode is the exit code of a command that ends with a fault of kind k; 1 for an unknown kind.
func (k Kind) ExitCode() int {
	if row, ok := table[k]; ok {
		return row.exit
	}
	return table[Internal].exit
}

// Error is a fault. Make one with New, Wrap or At, and refine it with the With methods,
// each of which returns a changed copy.
type Error struct {
	Kind    Kind
	Message string // one line, no position, no hint
	Hint    string // the next step to take; may be empty
	Field   string // the request's field, for example "environments[2].target"; may be empty
	File    string // the file as the user named it; may be empty
	Line    int    // from 1; 0 means unknown
	Column  int    // from 1; 0 means unknown
	cause   error
}

// New makes a fault with a formatted one-line message.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: oneLine(fmt.Sprintf(format, args...))}
}

// Wrap makes a fault that keeps cause for errors.Is and errors.As; the message does
// not repeat cause unless the format says so.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	e := New(kind, format, args...)
	e.cause = cause
	return e
}

// At makes an Invalid fault at a place of a file; line and column count from 1, 0 means unknown.
func At(file string, line, column int, format string, args ...any) *Error {
	e := New(Invalid, format, args...)
	e.File, e.Line, e.Column = file, line, column
	return e
}

// WithHint returns e with the next step to take.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = oneLine(fmt.Sprintf(format, args...))
	return &c
}

// WithField returns e with the name of the request's field.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Error is "file:line:column: message", or "field: message", without the hint.
func (e *Error) Error() string {
	if p := e.Position(); p != "" {
		return p + ": " + e.Message
	}
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Position is "file:line:column" as far as it is known, else "".
func (e *Error) Position() string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return e.File
	case e.Column == 0:
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
}

// Unwrap is the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// As finds the outermost fault in err's chain; nil when there is none.
func As(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}

// KindOf is the kind of the outermost fault in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is reports whether err's chain holds a fault of kind k outermost.
func Is(err error, k Kind) bool {
	e := As(err)
	return e != nil && e.Kind == k
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
