package store

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// insertOnly configures the client that enqueues. Its cooldown counts too: a notification
// within it after another of the same queue is not sent, and the task would wait for a poll.
func insertOnly() *river.Config {
	return &river.Config{Logger: slog.New(slog.DiscardHandler), FetchCooldown: time.Millisecond}
}

// wakeDriver is riversqlite with a wake-up inside the process: SQLite has no NOTIFY, and
// riversqlite polls its outbox each 50 ms. The poll stays as the safety net, so a wake-up
// that is lost costs 50 ms and no task. Only GetListener and WaitForNotification are
// overridden; River calls that interface unstable, so its version is pinned and the
// latency tests watch it.
type wakeDriver struct {
	*riversqlite.Driver
	mu     sync.Mutex
	queues map[string]struct{} // that hold new tasks
	signal chan struct{}       // holds a token while queues is not empty
}

func newWakeDriver(db *sql.DB) *wakeDriver {
	return &wakeDriver{Driver: riversqlite.New(db), queues: map[string]struct{}{}, signal: make(chan struct{}, 1)}
}

// wakeUp makes the workers of queue look at once.
func (d *wakeDriver) wakeUp(queue string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queues[queue] = struct{}{}
	d.arm()
}

// arm puts the token; it needs the lock.
func (d *wakeDriver) arm() {
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// take removes one queue that was woken; "" when there is none.
func (d *wakeDriver) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for q := range d.queues {
		delete(d.queues, q)
		if len(d.queues) > 0 {
			d.arm()
		}
		return q
	}
	return ""
}

// GetListener returns riversqlite's listener with the wake-up on top.
func (d *wakeDriver) GetListener(p *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &wakeListener{Listener: d.Driver.GetListener(p), driver: d}
}

type wakeListener struct {
	riverdriver.Listener
	driver *wakeDriver
}

type polled struct {
	n   *riverdriver.Notification
	err error
}

// WaitForNotification returns on a wake-up or on what the poll finds, whichever is first.
func (l *wakeListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	pollCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan polled, 1)
	go func() {
		n, err := l.Listener.WaitForNotification(pollCtx)
		found <- polled{n, err}
	}()
	select {
	case p := <-found:
		return p.n, p.err
	case <-l.driver.signal:
	}
	cancel()
	p := <-found
	if p.n != nil || ctx.Err() != nil { // found in the same instant: hand it over, keep the wake-up
		l.driver.mu.Lock()
		l.driver.arm()
		l.driver.mu.Unlock()
		return p.n, p.err
	}
	return &riverdriver.Notification{Topic: "river_insert", Payload: `{"queue":"` + l.driver.take() + `"}`}, nil
}
