package process

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// anyPort is the address of an environment that names none.
const anyPort = "127.0.0.1:0"

// front listens on an environment's stable address.
type front struct {
	asked   string // as Desired.Listen had it
	address string // host:port as it came out
	server  *http.Server
	done    chan struct{} // closed when the server has ended
	drain   time.Duration
}

// bind gives the front that d asks for: the present one where it fits, else a new one that
// already serves; nil when d asks for none.
func (e *environment) bind(ctx context.Context, d cd.Desired) (*front, error) {
	listen := d.Listen
	if listen == "" {
		if len(d.Versions) == 0 {
			return nil, nil //nolint:nilnil // no address is an answer, not an error
		}
		listen = anyPort
	}
	if e.front != nil && e.front.fits(listen) {
		return e.front, nil
	}
	return e.listen(ctx, listen)
}

// fits reports whether the front's address is what listen asks for.
func (f *front) fits(listen string) bool {
	if listen == f.asked || listen == f.address {
		return true
	}
	host, port, err := net.SplitHostPort(listen)
	has, _, err2 := net.SplitHostPort(f.address)
	return err == nil && err2 == nil && port == "0" && host == has
}

func (e *environment) listen(ctx context.Context, address string) (*front, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	for wait := 10 * time.Millisecond; errors.Is(err, syscall.EADDRINUSE) && wait < time.Second && pause(ctx, wait); wait *= 2 {
		// A server that is just ending, or the near end of a short connection, may hold it.
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.Wrap(fault.Unavailable, err, "the address %s of %s is taken by another program", address, e.ref).
			WithHint("stop what listens on %s, or choose another address in the delivery file (target.process.listen)", address)
	case err != nil:
		return nil, fault.Wrap(fault.Unavailable, err, "cannot listen on %s for %s: %v", address, e.ref, err).
			WithHint("choose another address in the delivery file (target.process.listen), for example 127.0.0.1:0")
	}
	f := &front{
		asked: address, address: l.Addr().String(), done: make(chan struct{}), drain: e.target.config.DrainTimeout,
		server: &http.Server{
			Handler:           e,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(e.target.config.Log.Handler(), slog.LevelDebug), // what a client did wrong
		},
	}
	go func() {
		defer close(f.done)
		if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			e.target.config.Log.Error("environment's address lost", slog.String("environment", e.ref.String()), slog.String("address", f.address), slog.Any("error", err))
		}
	}()
	return f, nil
}

// close takes no new connection, lets the requests in flight end until the drain timeout
// or ctx ends, then cuts them off. It returns once the server has ended.
func (f *front) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.drain)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		_ = f.server.Close() // it only says that the listener was closed before
	}
	<-f.done
}

// useFront makes next the environment's address and closes the one before.
func (e *environment) useFront(ctx context.Context, next *front) {
	e.mu.Lock()
	old := e.front
	e.front = next
	e.mu.Unlock()
	if old != nil && old != next {
		old.close(ctx)
	}
}
