package web

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// ServeHTTP answers one request: it names it, checks Host and Origin, sets the headers
// that every answer has, and gives it to its route.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	start := time.Now()
	w := &writer{ResponseWriter: rw}
	ctx := context.WithValue(r.Context(), requestKey, rand.Text())
	ctx = context.WithValue(ctx, stopKey, s.stopping)
	r = r.WithContext(ctx)
	probe, pattern := s.mux.Handler(r)
	defer func() {
		s.meter.observe(r.Method, pattern, w.status, time.Since(start))
	}()
	defer s.contain(w, r)

	headers(w.Header(), RequestID(ctx))
	if err := s.admit(r); err != nil {
		s.fail(w, r, err)
		return
	}
	if pattern == "" {
		s.fail(w, r, unrouted(w, r, probe))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// admit checks where the request says it comes from and goes to. Health probes name a
// machine's bare address as Host, and learn nothing.
func (s *Server) admit(r *http.Request) error {
	if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && !s.hosts[hostname(r.Host)] {
		return fault.New(fault.Forbidden, "this server is not known as %.80q", r.Host).
			WithHint("start it with --url and the address that you use")
	}
	if err := s.origin.Check(r); err != nil {
		return fault.Wrap(fault.Forbidden, err, "requests from other sites are refused")
	}
	return nil
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

func headers(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// same-origin, not no-referrer: with that, browsers send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}

// unrouted is the fault of a request that no row serves: the mux's own answer tells
// whether another method would do.
func unrouted(w http.ResponseWriter, r *http.Request, probe http.Handler) error {
	answer := &discard{header: http.Header{}}
	probe.ServeHTTP(answer, r)
	if allow := answer.header.Get("Allow"); answer.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		return &statusError{http.StatusMethodNotAllowed, fault.New(fault.Invalid, "%s is not served here", r.Method).WithHint("use %s", allow)}
	}
	return fault.New(fault.NotFound, "nothing is served at %.200q", r.URL.Path).WithHint("see /api/openapi.json")
}

// statusError is a fault with a status that its kind does not have.
type statusError struct {
	status int
	fault  *fault.Error
}

func (e *statusError) Error() string { return e.fault.Error() }
func (e *statusError) Unwrap() error { return e.fault }

// adapt makes an http.Handler of a row: it bounds the body, checks the token and renders the error.
func (s *Server) adapt(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.answer(w, r, route); err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, route Route) error {
	if err := legible(r.URL); err != nil {
		return err
	}
	if !route.Anonymous {
		token, err := s.authenticate(r)
		if fault.Is(err, fault.Unauthenticated) && route.page() && wantsPage(r) {
			http.Redirect(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
			return nil
		}
		if err != nil {
			return err
		}
		if err := token.Require(route.Action); err != nil {
			return err
		}
		r = r.WithContext(context.WithValue(r.Context(), tokenKey, token))
	}
	if r.ContentLength > api.MaxBody {
		return fault.New(fault.TooLarge, "the body has more than %d bytes", api.MaxBody)
	}
	r.Body = http.MaxBytesReader(w, r.Body, api.MaxBody)
	return route.Handler(w, r)
}

// legible refuses an address that holds what is no text: no database takes it, so nothing
// here has such a name.
func legible(u *url.URL) error {
	ok := isText(u.Path)
	for name, values := range u.Query() {
		ok = ok && isText(name) && !slices.ContainsFunc(values, func(v string) bool { return !isText(v) })
	}
	if !ok {
		return fault.New(fault.Invalid, "the address holds bytes that are no text").WithHint("write UTF-8 without control characters")
	}
	return nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// fail renders err. What is no fault is a defect: it is logged in full.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	if gone := context.Cause(ctx); gone != nil && errors.Is(err, gone) {
		return // the client went away, nobody reads the answer
	}
	p := api.ProblemOf(err, RequestID(ctx))
	if p.Kind == fault.Internal {
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", p.RequestID),
			slog.String("method", r.Method), slog.String("path", logged(r.URL.Path)), slog.String("error", err.Error()))
	}
	if other, ok := errors.AsType[*statusError](err); ok {
		p.Status = other.status
	}
	if wr, ok := w.(*writer); ok && wr.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: breaking off is the only honest end
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="drawbridge"`)
	}
	if wantsPage(r) {
		renderProblem(w, p)
		return
	}
	writeProblem(w, p)
}

// contain turns a panic into a logged defect, so that the server goes on.
func (s *Server) contain(w *writer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	s.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.String("request_id", RequestID(r.Context())),
		slog.String("path", logged(r.URL.Path)), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, api.ProblemOf(errors.New("panic"), RequestID(r.Context())))
}

// wantsPage reports whether a browser asks for something to show, not a program.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}
