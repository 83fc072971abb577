package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"drawbridge/internal/cd"
)

// The health check of a delivery that leaves a value out.
const (
	defaultInterval = time.Second
	defaultTimeout  = 2 * time.Second
	defaultFailures = 3
)

// probeClient asks for health: every question on a connection of its own, so that an
// answer proves that the version accepts connections.
func probeClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// check is a health check with every value set. An empty path asks for a connection only.
type healthCheck struct {
	path              string
	interval, timeout time.Duration
	failures          int
}

func newHealthCheck(spec *cd.HealthSpec) healthCheck {
	c := healthCheck{interval: defaultInterval, timeout: defaultTimeout, failures: defaultFailures}
	if spec == nil {
		return c
	}
	c.path = spec.HTTP
	if spec.Interval > 0 {
		c.interval = time.Duration(spec.Interval)
	}
	if spec.Timeout > 0 {
		c.timeout = time.Duration(spec.Timeout)
	}
	if spec.Failures > 0 {
		c.failures = spec.Failures
	}
	return c
}

// watch asks for the health of one process until ctx ends. The first good answer makes the
// process the one that gets the version's requests.
func (v *version) watch(ctx context.Context, b *backend, errs *tail) {
	check := newHealthCheck(v.want.Spec.Process.Health)
	if !v.awaitReady(ctx, check, b, errs) {
		return
	}
	failed := 0
	for pause(ctx, check.interval) {
		err := v.probe(ctx, check, b.address)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failed = 0
			v.set(func(h *health) { h.healthy, h.reason = true, "" })
			continue
		}
		failed++
		if failed >= check.failures {
			v.set(func(h *health) {
				h.healthy, h.reason = false, fmt.Sprintf("%d or more health checks in a row failed: %v", check.failures, err)
			})
		}
	}
}

// awaitReady asks in short, growing pauses until there is a good answer. It gives false
// when ctx ended first.
func (v *version) awaitReady(ctx context.Context, check healthCheck, b *backend, errs *tail) bool {
	wait := min(10*time.Millisecond, check.interval)
	for {
		err := v.probe(ctx, check, b.address)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			v.backend.Store(b)
			v.set(func(h *health) { *h = health{healthy: true} })
			return true
		}
		reason := err.Error()
		if out := errs.String(); out != "" {
			reason += "; last output: " + out
		}
		v.set(func(h *health) { h.reason = reason })
		if !pause(ctx, wait) {
			return false
		}
		wait = min(2*wait, check.interval)
	}
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe asks once. Its error is one line for people.
func (v *version) probe(ctx context.Context, check healthCheck, address string) error {
	ctx, cancel := context.WithTimeout(ctx, check.timeout)
	defer cancel()
	if check.path == "" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("it accepts no connection on its port (%w)", root(err))
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+check.path, http.NoBody)
	if err != nil {
		return fmt.Errorf("the health check's path is no path: %w", err)
	}
	req.Header.Set("User-Agent", "drawbridge-health")
	res, err := v.target.config.Client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s got no answer (%w)", check.path, root(err))
	}
	defer func() { _ = res.Body.Close() }() // nothing was written
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	if res.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %d", check.path, res.StatusCode)
	}
	return nil
}

// root is the innermost error: what the system said, without the port, which differs
// between tries.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
