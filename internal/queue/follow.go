package queue

import (
	"context"
	"log/slog"
	"time"
)

const (
	followPause = 10 * time.Millisecond // between two runs, so that the second one finds more to do
	followRetry = time.Second           // after one that failed
)

// follow is work that is done for many rows at once, as soon as some are there.
type follow struct {
	name   string
	signal <-chan struct{}
	fn     func(ctx context.Context) error
}

// Follow makes fn run after each signal, at once when it has rested for a moment. Rows must
// say what is to be done: a signal is lost in a crash. An fn that fails runs again after a
// second. Call it before Run.
func (q *Queue) Follow(name string, signal <-chan struct{}, fn func(ctx context.Context) error) {
	q.follows = append(q.follows, follow{name, signal, fn})
}

// follow runs f after each signal.
func (q *Queue) follow(ctx context.Context, f follow) {
	again := make(chan struct{}, 1) // after a failure
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.signal:
		case <-again:
		}
		pause := followPause
		if !q.followOnce(ctx, f) {
			pause = followRetry
			select {
			case again <- struct{}{}:
			default: // it is to run again as it is
			}
		}
		rest := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		}
	}
}

// followOnce runs f once and reports whether it went well.
func (q *Queue) followOnce(ctx context.Context, f follow) bool {
	bound, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err := protect(func() error { return f.fn(bound) })
	if err != nil && ctx.Err() == nil {
		q.cfg.Log.Error("work failed", slog.String("work", f.name), slog.Any("error", err))
	}
	return err == nil
}
