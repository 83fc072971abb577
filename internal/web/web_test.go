package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

// site is a server with a token of each role.
type site struct {
	url    string
	tokens *identity.Tokens
	secret map[identity.Role]string
	log    *logBuffer
}

// logBuffer takes log lines from many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// thing is what the routes of these tests take and give.
type thing struct {
	Name  string `json:"name"`
	Count int    `json:"count,omitempty"`
}

func newSite(t *testing.T, change ...func(*web.Config)) *site {
	t.Helper()
	s := &site{tokens: identity.New(&identitytest.Memory{}, time.Now), secret: map[identity.Role]string{}, log: &logBuffer{}}
	for _, role := range identity.Roles() {
		_, secret, err := s.tokens.Create(t.Context(), identity.Request{Name: "a-" + string(role), Role: role, By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		s.secret[role] = secret
	}
	cfg := web.Config{
		URL: "http://bridge.example.com", Verify: s.tokens.Verify, Version: "1.2.3",
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Routes: append(testRoutes(), web.TokenRoutes(s.tokens)...),
		Mounts: map[string]http.Handler{"/git/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			_ = json.NewEncoder(w).Encode(n)
		})},
	}
	for _, c := range change {
		c(&cfg)
	}
	handler, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// faults are the errors that GET /api/v1/faults/KIND answers.
func faults(kind string) error {
	switch kind {
	case "defect":
		return errors.New("the secret is hunter2")
	case "internal-fault":
		return fault.New(fault.Internal, "the secret is hunter2")
	case "placed":
		return fault.At("delivery.yaml", 3, 7, "unknown key %q", "foo").WithHint("did you mean for?").WithField("foo")
	case "wrapped":
		return errors.Join(errors.New("loading"), fault.New(fault.NotFound, "there is no run 7"))
	case "panic":
		panic("the secret is hunter2")
	}
	return fault.New(fault.Kind(kind), "it is %s", kind)
}

func testRoutes() []web.Route {
	return []web.Route{
		{
			Method: "GET", Pattern: "/api/v1/faults/{kind}", Action: identity.Read, Summary: "Fail", Response: thing{},
			Handler: func(_ http.ResponseWriter, r *http.Request) error { return faults(r.PathValue("kind")) },
		},
		{
			Method: "POST", Pattern: "/api/v1/things", Action: identity.Promote, Summary: "Make a thing", Request: thing{}, Response: thing{}, Status: 201,
			Handler: func(w http.ResponseWriter, r *http.Request) error {
				in, err := web.Decode[thing](r)
				if err != nil {
					return err
				}
				return web.Reply(w, http.StatusCreated, in)
			},
		},
		{
			Method: "POST", Pattern: "/api/v1/events", Action: identity.PostEvents, Summary: "Post an event", Accepts: api.CloudEventType,
			Handler: func(w http.ResponseWriter, r *http.Request) error {
				if _, err := web.Body(r); err != nil {
					return err
				}
				w.WriteHeader(http.StatusNoContent)
				return nil
			},
		},
		{
			Method: "GET", Pattern: "/api/v1/half", Action: identity.Read, Summary: "Break off", Media: "text/plain",
			Handler: func(w http.ResponseWriter, _ *http.Request) error {
				_, _ = w.Write([]byte("half"))
				return errors.New("broke off")
			},
		},
		{Method: "GET", Pattern: "/{$}", Action: identity.Read, Handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write([]byte("the page"))
			return err
		}},
	}
}

// call is one request.
type call struct {
	method, path, token, body string
	header                    map[string]string
	host                      string
}

// reply is an answer without its body.
type reply struct {
	StatusCode int
	Header     http.Header
}

// Cookies are those that the answer sets.
func (r reply) Cookies() []*http.Cookie { return (&http.Response{Header: r.Header}).Cookies() }

// send makes a request and returns the answer and its body.
func (s *site) send(t *testing.T, c call) (reply, []byte) {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	if c.host != "" {
		req.Host = c.host
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil && c.path != "/api/v1/half" {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header}, b
}

// problem makes a request that must fail and returns its problem.
func (s *site) problem(t *testing.T, c call) (reply, api.Problem) {
	t.Helper()
	resp, body := s.send(t, c)
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil || resp.Header.Get("Content-Type") != api.ProblemType {
		t.Fatalf("%s %s answers %d %s %q, want a problem", c.method, c.path, resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	if p.Status != resp.StatusCode || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("%s %s: status %d and header %q, problem says %d and %q", c.method, c.path, resp.StatusCode, resp.Header.Get("X-Request-Id"), p.Status, p.RequestID)
	}
	return resp, p
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range fault.Kinds() {
		resp, p := s.problem(t, call{path: "/api/v1/faults/" + string(kind), token: s.secret[identity.Viewer]})
		if resp.StatusCode != kind.Status() || p.Kind != kind || p.Type != "urn:drawbridge:fault:"+string(kind) || p.Title == "" {
			t.Errorf("%s: %d, %+v", kind, resp.StatusCode, p)
		}
		if kind != fault.Internal && p.Detail != "it is "+string(kind) {
			t.Errorf("%s: detail %q", kind, p.Detail)
		}
	}
	_, p := s.problem(t, call{path: "/api/v1/faults/placed", token: s.secret[identity.Viewer]})
	if p.File != "delivery.yaml" || p.Line != 3 || p.Column != 7 || p.Hint != "did you mean for?" || p.Field != "foo" {
		t.Errorf("placed: %+v", p)
	}
	if f := p.Fault(); f.Error() != `delivery.yaml:3:7: unknown key "foo"` || f.Hint != p.Hint {
		t.Errorf("back as a fault: %v", f)
	}
	if resp, _ := s.problem(t, call{path: "/api/v1/faults/wrapped", token: s.secret[identity.Viewer]}); resp.StatusCode != 404 {
		t.Errorf("wrapped: %d", resp.StatusCode)
	}
}

// A defect is logged in full with the request's id, and shown as nothing.
func TestDefects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, kind := range []string{"defect", "internal-fault", "panic"} {
		resp, p := s.problem(t, call{path: "/api/v1/faults/" + kind, token: s.secret[identity.Viewer]})
		if resp.StatusCode != 500 || p.Detail != "internal error" || strings.Contains(p.Hint, "hunter2") {
			t.Errorf("%s: %d %+v", kind, resp.StatusCode, p)
		}
		if log := s.log.String(); !strings.Contains(log, p.RequestID) || !strings.Contains(log, "hunter2") {
			t.Errorf("%s: the log holds no %s: %s", kind, p.RequestID, log)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/half", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.secret[identity.Viewer])
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looks like a whole one")
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var state error
	s := newSite(t, func(c *web.Config) {
		c.Ready = func(context.Context) error { mu.Lock(); defer mu.Unlock(); return state }
	})
	if resp, b := s.send(t, call{path: "/readyz"}); resp.StatusCode != 200 || string(b) != "ready\n" {
		t.Errorf("ready: %d %q", resp.StatusCode, b)
	}
	mu.Lock()
	state = fault.New(fault.Unavailable, "the database is away")
	mu.Unlock()
	if _, p := s.problem(t, call{path: "/readyz"}); p.Status != 503 {
		t.Errorf("not ready: %+v", p)
	}
	if resp, _ := s.send(t, call{path: "/healthz"}); resp.StatusCode != 200 {
		t.Errorf("healthz: %d", resp.StatusCode)
	}
}
