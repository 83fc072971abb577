// Package queue works the tasks that the store's transactions enqueue: it is the planes'
// only source of movement besides a request.
//
// A task is worked at least once. A handler decides from the row as it is now, carries the
// row's version into its compare-and-set, and so does nothing when it comes too late or
// twice. What a handler returns says what becomes of its task:
//
//   - nil: done.
//   - a fault of kind Invalid, NotFound or Conflict: done as well, with a line in the log.
//     The row is gone, has moved on (whoever moved it enqueued what follows), or will
//     never be as the task expects; no repetition helps.
//   - any other error, a panic, or more than a minute (tasks of store.JobQueue have no
//     limit): tried again after about 1 s, 2 s, 4 s, … at most 1 min, 50 times in all.
//
// After a crash the tasks that were running are worked again: at once when the server
// starts on SQLite, within about 10 s by another replica on PostgreSQL. A sweep is the
// last net: it looks for rows that should be moving and have no live task.
package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"drawbridge/internal/fault"
	"drawbridge/internal/store"
)

// Limits of one piece of work.
const (
	stepTimeout = time.Minute      // of a task on the default queue, and of a sweep
	stopTimeout = 30 * time.Second // for handlers to return once they are cancelled
)

// Handler works one task. Its context ends with the task's time limit and when Run's ends.
type Handler func(ctx context.Context, t store.Task) error

// Config says how a Queue works. The zero Config works.
type Config struct {
	// Workers is how many tasks of each queue run at once here; a queue that is not named
	// is not worked. nil means 16 for store.DefaultQueue and 2 for store.JobQueue.
	Workers map[string]int
	// Log gets one line per failed task, sweep or beat; nil discards it.
	Log *slog.Logger
	// SweepEvery is the time between sweeps; 0 means 30 s.
	SweepEvery time.Duration
}

func (c Config) withDefaults() Config {
	if c.Workers == nil {
		c.Workers = map[string]int{store.DefaultQueue: 16, store.JobQueue: 2}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = 30 * time.Second
	}
	return c
}

// Queue works one database's tasks in this process. Name its handlers and sweeps, then Run it once.
type Queue struct {
	db       *store.DB
	cfg      Config
	replica  string
	handlers map[string]Handler
	sweeps   []sweep
	follows  []follow
	stopping <-chan struct{} // closed when Run is to end: to tell a shutdown from a failure
}

type sweep struct {
	name string
	fn   func(ctx context.Context) error
}

// New makes a queue over db, which the caller closes after Run has returned.
func New(db *store.DB, cfg Config) *Queue {
	return &Queue{db: db, cfg: cfg.withDefaults(), replica: db.Plane() + "-" + rand.Text(), handlers: map[string]Handler{}}
}

// Handle names the handler of tasks. It panics when the name is taken. Call it before Run.
func (q *Queue) Handle(name string, fn Handler) {
	if _, taken := q.handlers[name]; taken {
		panic("queue: two handlers for " + name)
	}
	q.handlers[name] = fn
}

// Sweep makes fn run when Run starts and then each SweepEvery. Use store.Tx.Ensure in it.
// Call it before Run.
func (q *Queue) Sweep(name string, fn func(ctx context.Context) error) {
	q.sweeps = append(q.sweeps, sweep{name, fn})
}

// Run works tasks, timers and sweeps until ctx ends, then cancels the handlers under way,
// waits for them and returns nil. A task that was cancelled so is worked again by the next
// Run, in this process or another. It returns an error when it cannot start, or when a
// handler does not return within 30 s.
func (q *Queue) Run(ctx context.Context) error {
	q.stopping = ctx.Done()
	if err := q.db.Recover(ctx, q.replica); err != nil {
		if ctx.Err() != nil {
			return nil // it was to end before it had begun: nothing is under way
		}
		return err
	}
	client, err := q.db.NewClient(q.config())
	if err != nil {
		return fmt.Errorf("making the job client: %w", err)
	}
	outlive := context.WithoutCancel(ctx) // stopping has an order, see below
	if err := client.Start(outlive); err != nil {
		return fmt.Errorf("starting the workers: %w", err)
	}
	var loops, beat sync.WaitGroup
	beating, stopBeat := context.WithCancel(outlive)
	defer stopBeat()
	beat.Go(func() { q.beat(beating) })
	loops.Go(func() { q.ring(ctx) })
	loops.Go(func() { q.sweep(ctx) })
	for _, f := range q.follows {
		loops.Go(func() { q.follow(ctx, f) })
	}
	<-ctx.Done()

	bound, cancel := context.WithTimeout(outlive, stopTimeout)
	defer cancel()
	err = client.StopAndCancel(bound)
	loops.Wait()
	stopBeat() // a replica beats as long as it works
	beat.Wait()
	if err != nil {
		return fmt.Errorf("stopping the workers: %w", err)
	}
	if err := q.db.Leave(bound, q.replica); err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	return nil
}

// config is River's, with what we measured: the defaults cost up to a second of latency.
func (q *Queue) config() *river.Config {
	queues := make(map[string]river.QueueConfig, len(q.cfg.Workers))
	for name, n := range q.cfg.Workers {
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{queue: q})
	return &river.Config{
		ID:                          q.replica,
		Queues:                      queues,
		Workers:                     workers,
		Logger:                      slog.New(errorsOnly{q.cfg.Log.Handler()}),
		RetryPolicy:                 backoff{},
		FetchCooldown:               time.Millisecond,
		FetchPollInterval:           250 * time.Millisecond, // bounds the delay when a wake-up is lost
		JobTimeout:                  stepTimeout,
		RescueStuckJobsAfter:        5 * time.Minute, // the last net; see store.Recover for the first
		CompletedJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 7 * 24 * time.Hour,
	}
}

// work runs the handler of t and decides what becomes of it.
func (q *Queue) work(ctx context.Context, t store.Task) error {
	fn, ok := q.handlers[t.Name]
	if !ok { // perhaps a newer replica's: leave it to be tried again
		q.cfg.Log.Error("task has no handler here", slog.String("task", t.String()))
		return fmt.Errorf("no handler for %s", t.Name)
	}
	err := protect(func() error { return fn(ctx, t) })
	switch {
	case err == nil:
		return nil
	case q.stopped(): // cancelled by the shutdown: it costs the task no try
		return river.JobSnooze(0)
	case fault.Is(err, fault.Invalid), fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict):
		q.cfg.Log.Info("task dropped", slog.String("task", t.String()), slog.Any("error", err))
		return nil
	}
	q.cfg.Log.Warn("task failed", slog.String("task", t.String()), slog.Any("error", err))
	return err
}

func (q *Queue) stopped() bool {
	select {
	case <-q.stopping:
		return true
	default:
		return false
	}
}

// protect turns a panic of fn into an error that holds the stack.
func protect(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}
