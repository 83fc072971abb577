// Package web is the HTTP surface: the API under /api/v1, its OpenAPI document, the pages
// and their login, health and metrics, and the mounts for Git and the registry.
//
// Each noun has a file with a function that returns its rows of the route table; the
// server serves nothing else. Handlers return errors, which one adapter renders as RFC
// 9457 problems: a fault's kind picks the status, everything that is no fault is logged
// in full and shown as "internal error". Every request needs a token, as a bearer token or
// inside the session cookie, but /healthz, /readyz, the login, and two that prove themselves:
// deliveries at receivers below /hooks/, and the exchange of a workload's identity.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drawbridge/internal/identity"
)

// Limits in time.
const (
	headerTimeout = 10 * time.Second
	requestTime   = time.Minute // to read a request and to write its answer
	mountTime     = time.Hour   // the same below a mount: a push or an image takes longer
	idleTimeout   = 2 * time.Minute
	stopTime      = 10 * time.Second // for requests under way when the server stops
)

// Config says what a server serves.
type Config struct {
	// URL is the address that people use, for example "https://cd.example.com". Its host is
	// accepted as Host, and https makes the session cookie Secure. Loopback names are always
	// accepted. May be empty.
	URL string
	// Hosts are further host names that are accepted, without a port.
	Hosts []string
	// Verify returns the identity that a secret stands for; (*identity.Tokens).Verify.
	Verify func(ctx context.Context, secret string) (identity.Token, error)
	// SessionKey seals the session cookie: 32 bytes, the same on every replica. Nil means a
	// random one: people log in again after a restart.
	SessionKey []byte
	// Routes are the rows of the nouns, for example TokenRoutes.
	Routes []Route
	// Mounts serve a whole path below a prefix such as "/git/" and authenticate by themselves.
	Mounts map[string]http.Handler
	// Ready is nil when the server can do its work; nil means always ready.
	Ready func(ctx context.Context) error
	// Metrics is what /metrics shows; nil means a registry of the server's own.
	Metrics *prometheus.Registry
	// Version stands in the OpenAPI document.
	Version string
	// Log takes one line per defect; nil means slog.Default.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	return c
}

// Server is the HTTP server. Make it with New. It is safe for concurrent use.
type Server struct {
	cfg      Config
	hosts    map[string]bool
	mux      *http.ServeMux
	origin   *http.CrossOriginProtection
	session  *sessions
	meter    meter
	stopping chan struct{} // closed when the server stops: live streams end
}

// New checks the route table and returns a server. A row without access rule, a pattern
// that is there twice, or a malformed URL is an error.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if cfg.Verify == nil {
		return nil, errors.New("web: no Verify")
	}
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(),
		hosts: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}, stopping: make(chan struct{}),
	}
	secure := false
	if cfg.URL != "" {
		u, err := url.Parse(cfg.URL)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("web: %q is no URL", cfg.URL)
		}
		s.hosts[strings.ToLower(u.Hostname())] = true
		secure = u.Scheme == "https"
	}
	for _, h := range cfg.Hosts {
		s.hosts[strings.ToLower(h)] = true
	}
	var err error
	if s.session, err = newSessions(cfg.SessionKey, secure); err != nil {
		return nil, err
	}
	if s.meter, err = newMeter(cfg.Metrics); err != nil {
		return nil, err
	}
	return s, s.register()
}

// register puts every row and mount into the mux.
func (s *Server) register() (err error) {
	defer func() {
		if p := recover(); p != nil { // the mux panics on patterns that clash
			err = fmt.Errorf("web: %v", p)
		}
	}()
	routes := append(s.baseRoutes(), s.cfg.Routes...)
	document, err := openAPI(routes, s.cfg.Version)
	if err != nil {
		return err
	}
	routes = append(routes, documentRoute(document))
	for _, r := range routes {
		if err := r.check(); err != nil {
			return err
		}
		s.mux.Handle(r.Method+" "+r.Pattern, s.adapt(r))
	}
	for prefix, h := range s.cfg.Mounts {
		s.mux.Handle(prefix, mounted(h))
	}
	return nil
}

// Serve answers requests on l until ctx ends, then ends live streams, waits a bounded time
// for the requests under way and closes l. It returns nil after such a stop.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTime, WriteTimeout: requestTime,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	close(s.stopping)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if end := <-done; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// mounted lifts the time limits of a request: what is mounted moves whole repositories and images.
func mounted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		until := time.Now().Add(mountTime)
		_ = c.SetReadDeadline(until) // not every test's writer has deadlines
		_ = c.SetWriteDeadline(until)
		h.ServeHTTP(w, r)
	})
}
