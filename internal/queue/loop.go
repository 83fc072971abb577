package queue

import (
	"context"
	"log/slog"
	"time"

	"drawbridge/internal/store"
)

// ringEvery bounds how long the timer loop sleeps: another replica may have set an earlier
// timer, and a laptop may have slept.
const ringEvery = time.Second

// ring turns timers into tasks as they become due.
func (q *Queue) ring(ctx context.Context) {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-alarm.C:
		case <-q.db.TimerSet():
		}
		next, err := q.db.RingTimers(ctx)
		if err != nil && ctx.Err() == nil {
			q.cfg.Log.Error("timers failed", slog.Any("error", err))
		}
		wait := ringEvery
		if err == nil && !next.IsZero() {
			wait = min(max(next.Sub(q.db.Now()), 0), ringEvery)
		}
		alarm.Reset(wait)
	}
}

// sweep runs the sweeps at once and then each SweepEvery, one after the other.
func (q *Queue) sweep(ctx context.Context) {
	tick := time.NewTicker(q.cfg.SweepEvery)
	defer tick.Stop()
	for {
		for _, s := range q.sweeps {
			q.sweepOnce(ctx, s)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (q *Queue) sweepOnce(ctx context.Context, s sweep) {
	bound, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := protect(func() error { return s.fn(bound) }); err != nil && ctx.Err() == nil {
		q.cfg.Log.Error("sweep failed", slog.String("sweep", s.name), slog.Any("error", err))
	}
}

// beat says that this replica lives, and frees the tasks of those that do not.
func (q *Queue) beat(ctx context.Context) {
	tick := time.NewTicker(store.BeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := q.db.Beat(ctx, q.replica); err != nil && ctx.Err() == nil {
			q.cfg.Log.Error("beat failed", slog.Any("error", err))
		}
	}
}
