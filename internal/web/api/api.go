// Package api holds the documents that the HTTP API sends and takes. The server and its
// client share them, one file per noun; JSON Schemas in the OpenAPI document are made
// from them. Times are RFC 3339 in UTC.
package api

import (
	"drawbridge/internal/fault"
)

// ProblemType is the media type of a Problem (RFC 9457).
const ProblemType = "application/problem+json"

// CloudEventType is the media type of an event that is posted.
const CloudEventType = "application/cloudevents+json"

// MaxBody is the largest body of a request, in bytes.
const MaxBody = 1 << 20

// List is one page of things. T is the type of one of them.
type List[T any] struct {
	Items []T    `json:"items"` // never null
	Next  string `json:"next,omitempty" jsonschema:"description=Give it as the parameter after to get the next page; absent on the last page."`
}

// Problem is a fault as the API sends it (RFC 9457, with members of our own).
type Problem struct {
	Type      string     `json:"type"`                                                                // "urn:drawbridge:fault:KIND"
	Title     string     `json:"title"`                                                               // the kind, for people
	Status    int        `json:"status"`                                                              // HTTP status
	Detail    string     `json:"detail"`                                                              // one line, without the position
	Kind      fault.Kind `json:"kind"`                                                                // what the caller can do
	Hint      string     `json:"hint,omitempty" jsonschema:"description=The next step to take."`      // may be empty
	Field     string     `json:"field,omitempty" jsonschema:"description=The request's field."`       // may be empty
	File      string     `json:"file,omitempty" jsonschema:"description=The file as it was named."`   // may be empty
	Line      int        `json:"line,omitempty"`                                                      // from 1
	Column    int        `json:"column,omitempty"`                                                    // from 1
	RequestID string     `json:"requestId,omitempty" jsonschema:"description=To find it in the log."` // of this request
}

// ProblemOf is the problem that stands for err. What is no fault, and a fault of kind
// Internal, is shown as "internal error" alone: its text stays with the server.
func ProblemOf(err error, requestID string) Problem {
	p := Problem{Kind: fault.KindOf(err), RequestID: requestID}
	p.Type, p.Title, p.Status = "urn:drawbridge:fault:"+string(p.Kind), titles[p.Kind], p.Kind.Status()
	f := fault.As(err)
	if f == nil || p.Kind == fault.Internal {
		p.Detail, p.Hint = "internal error", "find requestId in the server's log"
		return p
	}
	p.Detail, p.Hint, p.Field = f.Message, f.Hint, f.Field
	p.File, p.Line, p.Column = f.File, f.Line, f.Column
	return p
}

// Fault is the fault that p stands for. An unknown kind is Internal.
func (p Problem) Fault() *fault.Error {
	kind := p.Kind
	if _, known := titles[kind]; !known {
		kind = fault.Internal
	}
	f := fault.New(kind, "%s", p.Detail)
	if kind == fault.Internal && p.RequestID != "" {
		f = fault.New(kind, "%s (request %s)", p.Detail, p.RequestID)
	}
	f.Field, f.File, f.Line, f.Column = p.Field, p.File, p.Line, p.Column
	return f.WithHint("%s", p.Hint)
}

// titles are the texts of the kinds.
var titles = map[fault.Kind]string{
	fault.Invalid:         "The input is wrong",
	fault.Unauthenticated: "No valid token",
	fault.Forbidden:       "Not allowed",
	fault.NotFound:        "No such thing",
	fault.Conflict:        "The state has moved on",
	fault.Blocked:         "A condition is not met",
	fault.Refused:         "Evidence or policy forbids it",
	fault.TooLarge:        "Over a limit",
	fault.Unavailable:     "A part is out of reach",
	fault.Full:            "The storage is full",
	fault.Internal:        "Internal error",
}
