package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// Sizes of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

type contextKey int

const (
	tokenKey contextKey = iota
	requestKey
)

// Token is the token that made the request of ctx; the zero Token on an anonymous route.
func Token(ctx context.Context) identity.Token {
	t, _ := ctx.Value(tokenKey).(identity.Token)
	return t
}

// RequestID names the request of ctx, for the log and for problems.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// Decode reads r's body as one JSON document of type T. An unknown field, a wrong type,
// trailing data and a malformed document are faults of kind Invalid that name the field
// or the byte; a body over api.MaxBody is one of kind TooLarge.
func Decode[T any](r *http.Request) (T, error) {
	var v T
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return v, fault.New(fault.Invalid, "the body must be application/json").WithField("Content-Type")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, bodyFault(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		if f := tooLarge(err); f != nil {
			return v, f
		}
		return v, fault.New(fault.Invalid, "there is more after the JSON document")
	}
	return v, nil
}

// Body reads the whole body. A body over api.MaxBody is a fault of kind TooLarge.
func Body(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		return b, nil
	}
	if f := tooLarge(err); f != nil {
		return nil, f
	}
	return nil, fault.Wrap(fault.Invalid, err, "the body broke off")
}

func bodyFault(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if f := tooLarge(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "the body is empty").WithHint("send a JSON document")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "the JSON document breaks off")
	case errors.As(err, &syntax):
		return fault.New(fault.Invalid, "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.As(err, &kind):
		return fault.New(fault.Invalid, "want %s, not %s", kind.Type, kind.Value).WithField(kind.Field)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field, uerr := strconv.Unquote(name)
		if uerr != nil {
			field = name
		}
		return fault.New(fault.Invalid, "unknown field").WithField(field).WithHint("see /api/openapi.json")
	}
	if f := fault.As(err); f != nil {
		return f
	}
	return fault.Wrap(fault.Invalid, err, "the JSON document does not fit: %v", err)
}

func tooLarge(err error) *fault.Error {
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.New(fault.TooLarge, "the body has more than %d bytes", over.Limit)
	}
	return nil
}

// Page is the part of a list that a request asks for.
type Page struct {
	After string // what Next of the page before said; empty on the first page
	Limit int    // at most so many, 1 to 1000
}

// PageOf reads the parameters limit and after. A malformed limit is a fault of kind Invalid.
func PageOf(r *http.Request) (Page, error) {
	q := r.URL.Query()
	p := Page{After: q.Get("after"), Limit: defaultLimit}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			return Page{}, fault.New(fault.Invalid, "want a number from 1 to %d", maxLimit).WithField("limit")
		}
		p.Limit = n
	}
	if len(p.After) > 256 {
		return Page{}, fault.New(fault.Invalid, "has more than 256 characters").WithField("after")
	}
	return p, nil
}

// AfterID is After as the number of a thing, 0 on the first page. Anything else is a
// fault of kind Invalid.
func (p Page) AfterID() (int64, error) {
	if p.After == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(p.After, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "want what next said").WithField("after")
	}
	return n, nil
}

// ID reads the path's part name as a number from 1. Anything else is a fault of kind
// NotFound: there is no such thing.
func ID(r *http.Request, name string) (int64, error) {
	s := r.PathValue(name)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.NotFound, "%.40q is no number of anything here", s).WithField(name)
	}
	return n, nil
}

// Reply writes v as JSON with status. It returns no error once anything is written: a
// client that went away is nobody's fault.
func Reply(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
	return nil
}

// ReplyPage writes one page of a list. items are at most p.Limit; when they are exactly
// as many there may be more, and key of the last one is what the next page comes after.
// It sets the Link header (rel="next") too.
func ReplyPage[T any](w http.ResponseWriter, r *http.Request, p Page, items []T, key func(T) string) error {
	list := api.List[T]{Items: items}
	if items == nil {
		list.Items = []T{}
	}
	if len(items) >= p.Limit {
		list.Next = key(items[len(items)-1])
		q := r.URL.Query()
		q.Set("after", list.Next)
		q.Set("limit", strconv.Itoa(p.Limit))
		next := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	return Reply(w, http.StatusOK, list)
}
