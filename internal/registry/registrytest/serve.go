package registrytest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
)

// Tokens that a Server takes.
const (
	Alice = "alice-token" // pulls and pushes
	Bob   = "bob-token"   // pulls
	CI    = "ci-token"    // pulls and pushes as CI's own identity
)

// Server is an embedded registry that listens on loopback until the test ends.
type Server struct {
	URL  string // "http://127.0.0.1:PORT"
	Rows *Memory
}

// silence is done once: the library's logger is one per process.
var silence = sync.OnceFunc(func() { registry.SilenceLogs(io.Discard) })

// Serve starts a registry with rows in memory. change, which may be nil, changes its
// configuration before.
func Serve(t testing.TB, change func(*registry.Config)) *Server {
	t.Helper()
	silence()
	rows := &Memory{}
	config := registry.Config{Dir: t.TempDir(), Rows: rows, Authorize: Authorize, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	embedded, err := registry.Open(config)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	server := httptest.NewServer(embedded)
	t.Cleanup(func() {
		server.Close()
		if err := embedded.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &Server{URL: server.URL, Rows: rows}
}

// Authorize knows the three tokens.
func Authorize(r *http.Request) (registry.Access, error) {
	switch registry.TokenOf(r) {
	case Alice:
		return registry.Access{Name: "alice", Pull: true, Push: true}, nil
	case Bob:
		return registry.Access{Name: "bob", Pull: true}, nil
	case CI:
		return registry.Access{Name: "ci", Pull: true, Push: true, CI: true}, nil
	}
	return registry.Access{}, fault.New(fault.Unauthenticated, "no valid token")
}

// Client makes a client that logs in at this server with token.
func (s *Server) Client(t testing.TB, token string) *registry.Client {
	t.Helper()
	c, err := registry.NewClient(registry.ClientConfig{
		Local: s.URL, Temp: t.TempDir(),
		Auth: func(host string) (string, string) {
			if host != "" {
				return "", ""
			}
			return "test", token
		},
	})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return c
}
