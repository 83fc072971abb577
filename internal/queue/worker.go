package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"drawbridge/internal/store"
)

// worker is the one River worker: it hands each task to its handler.
type worker struct {
	river.WorkerDefaults[store.Task]
	queue *Queue
}

// Work runs one task.
func (w *worker) Work(ctx context.Context, job *river.Job[store.Task]) error {
	t := job.Args
	t.Queue = job.Queue
	return w.queue.work(ctx, t)
}

// Timeout is none for CI jobs, whose time limit is their workflow's; River's rescuer skips them too.
func (w *worker) Timeout(job *river.Job[store.Task]) time.Duration {
	if job.Queue == store.JobQueue {
		return -1
	}
	return stepTimeout
}

// backoff is the time between tries: 1 s, doubled each time, at most a minute.
type backoff struct{}

const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// NextRetry is when a task that has failed is tried again.
func (backoff) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().UTC().Add(retryAfter(len(job.Errors) + 1))
}

// retryAfter is the pause after the nth failure, from 1.
func retryAfter(n int) time.Duration {
	if n > 6 { // 64 s and more
		return lastRetry
	}
	return firstRetry << (max(n, 1) - 1)
}

// errorsOnly keeps River's chatter out of the log; what becomes of a task we log ourselves.
type errorsOnly struct{ slog.Handler }

// Enabled reports whether River may log at level.
func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the filter.
func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the filter.
func (h errorsOnly) WithGroup(name string) slog.Handler {
	return errorsOnly{h.Handler.WithGroup(name)}
}
