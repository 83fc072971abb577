package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/registry"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/web"
)

// stopTimeout bounds the end of each part.
const stopTimeout = 30 * time.Second

// server is one running server.
type server struct {
	cfg      Config
	log      *slog.Logger
	data     string            // absolute data directory
	temp     string            // for what is spooled; emptied at each start
	url      string            // address that people use
	loopback string            // address that this server uses to reach itself
	secrets  map[string]string // plane → what its services show at the embedded registry
	sandbox  *sandbox.Sandbox
	ci       *ciPlane // nil without the plane
	cd       *cdPlane // nil without the plane
	closers  []func() error
	ready    atomic.Bool // environments are back and the queues work
}

// Run runs the server until ctx ends and returns nil after a clean stop. It calls
// cfg.Ready once requests are answered, environments are back and DIR/address is written.
// A wrong configuration, a port or a database that is in use are faults.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	s := &server{cfg: cfg, log: cfg.logger(), secrets: map[string]string{"ci": rand.Text(), "cd": rand.Text()}}
	registry.SilenceLogs(registryLog{cfg.Log})
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.prepare(); err != nil {
		return err
	}
	l, err := listen(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // the HTTP server closes it too
	s.loopback = "http://" + reachable(l.Addr())
	if s.url = cfg.URL; s.url == "" {
		s.url = s.loopback
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	h, err := s.http()
	if err != nil {
		return err
	}
	return s.serve(ctx, h, l)
}

// prepare makes the data directory, readable by the server alone.
func (s *server) prepare() (err error) {
	if s.data, err = filepath.Abs(s.cfg.Data); err != nil {
		return err
	}
	s.cfg.Data = s.data
	s.temp = filepath.Join(s.data, "tmp")
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return fault.Wrap(fault.Invalid, err, "%v", err).WithField("--data").WithHint("name a directory that this user may write")
	}
	return nil
}

// open opens the databases, which also makes sure that no other process works on them,
// and then makes the planes.
func (s *server) open(ctx context.Context) error {
	if s.cfg.runs("cd") {
		if err := s.openCD(ctx); err != nil {
			return err
		}
	}
	if s.cfg.runs("ci") {
		if err := s.openCI(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(s.temp), os.MkdirAll(s.temp, 0o700)); err != nil {
		return err
	}
	if err := firstToken(ctx, s.data, s.tokens()); err != nil {
		return fmt.Errorf("make the first token: %w", err)
	}
	if err := s.openSandbox(); err != nil {
		return err
	}
	if s.ci != nil {
		if err := s.startCI(ctx); err != nil {
			return err
		}
	}
	if s.cd != nil {
		return s.startCD()
	}
	return nil
}

// tokens are the tokens that the API manages: of both planes where both run here.
func (s *server) tokens() *identity.Tokens {
	switch {
	case s.ci == nil:
		return s.cd.tokens
	case s.cd == nil:
		return s.ci.tokens
	}
	return identity.New(mirrored{first: s.cd.store.DB().Tokens(), second: s.ci.store.DB().Tokens()}, s.cfg.Now)
}

// serve answers requests, brings the environments back and works the queues, until ctx
// ends or one of them fails. The queues end first: what they work on needs the rest.
func (s *server) serve(ctx context.Context, h *web.Server, l net.Listener) error {
	outer, stopHTTP := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHTTP()
	answered := make(chan error, 1)
	go func() { answered <- h.Serve(outer, l) }()
	g, work := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case err := <-answered:
			answered <- err
			return err
		case <-work.Done():
			return nil
		}
	})
	if s.cd != nil {
		if err := s.cd.restore(work, s.log); err != nil {
			return err
		}
		g.Go(func() error { return s.cd.queue.Run(work) })
	}
	if s.ci != nil {
		g.Go(func() error { return s.ci.queue.Run(work) })
	}
	if err := writeFile(filepath.Join(s.data, "address"), []byte(s.url+"\n"), 0o644); err != nil {
		return err
	}
	s.log.Info("ready", slog.String("address", s.url), slog.String("listen", l.Addr().String()), slog.String("data", s.data))
	s.ready.Store(true)
	s.cfg.Ready(s.url)
	err := g.Wait()
	stopHTTP()
	return errors.Join(err, <-answered)
}

// close closes what was opened, the last first.
func (s *server) close() error {
	var wrong []error
	for _, c := range slices.Backward(s.closers) {
		wrong = append(wrong, c())
	}
	return errors.Join(wrong...)
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
		return nil, fault.Wrap(fault.Unavailable, err, "cannot listen on %s: %v", address, err).WithField("--listen").
			WithHint("end the program that has the port, or choose another: --listen 127.0.0.1:0")
	}
	return l, nil
}

// reachable is how this machine reaches a listener, which may listen on every address.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	if tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return tcp.String()
}
