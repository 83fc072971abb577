package app_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/web/client"
)

func TestMain(m *testing.M) {
	sandbox.Init() // a sandbox's first process is this program too, and goes no further
	os.Exit(m.Run())
}

// patience is how long a test waits for a server; a machine may be slow.
const patience = 2 * time.Minute

// running is a server in this process.
type running struct {
	t       *testing.T
	dir     string
	address string
	stop    func() // in order; once
}

// start runs a server until the test ends or stop is called.
func start(t *testing.T, cfg app.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	cfg.Ready = func(address string) { ready <- address }
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	go func() { ended <- app.Run(ctx, cfg) }()
	r := &running{t: t, dir: cfg.Data}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(patience):
			t.Errorf("the server goes on for %v after it was told to stop", patience)
		}
	})
	t.Cleanup(r.stop)
	select {
	case r.address = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the server did not start: %v", err)
	case <-time.After(patience):
		t.Fatalf("the server is not ready after %v", patience)
	}
	return r
}

// file is what a file of the data directory says.
func (r *running) file(name string) string {
	r.t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

// api speaks to the server with a token's secret.
func (r *running) api(secret string) *client.Client {
	r.t.Helper()
	c, err := client.New(client.Config{Server: r.address, Token: secret, HTTP: &http.Client{Timeout: patience}})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// status is how the server answers a request with a token as basic password.
func (r *running) status(path, secret string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.address+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if secret != "" {
		req.SetBasicAuth("x", secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		r.t.Error(err)
	}
	return resp.StatusCode
}

func contextFor(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
