package queue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/queue"
	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

// syncLog is a log that a test reads while it is written.
type syncLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run runs q until the returned function is called, or the test ends.
func run(t *testing.T, q *queue.Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, db *store.DB, tasks ...store.Task) {
	t.Helper()
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, task := range tasks {
			if err := tx.Enqueue(ctx, task); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWorksWhatIsEnqueued(t *testing.T) {
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		q := queue.New(db, queue.Config{})
		got := make(chan store.Task, 1)
		q.Handle("x", func(ctx context.Context, task store.Task) error {
			if _, limited := ctx.Deadline(); limited == (task.Queue == store.JobQueue) {
				t.Errorf("%s on %s: limited %v", task, task.Queue, limited)
			}
			got <- task
			return nil
		})
		run(t, q)
		for i := range int64(20) {
			want := store.Task{Name: "x", ID: 7, Version: i, Queue: store.DefaultQueue}
			if i%2 == 1 {
				want.Queue = store.JobQueue
			}
			start := time.Now()
			enqueue(t, db, want)
			if task := <-got; task != want {
				t.Errorf("worked %+v, want %+v", task, want)
			}
			t.Logf("committed and started in %v", time.Since(start))
		}
	})
}

func TestWhatBecomesOfATask(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", nil))
	log := &syncLog{}
	q := queue.New(db, queue.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	var calls [6]atomic.Int64
	outcome := []func(n int64) error{
		func(int64) error { return fault.New(fault.Conflict, "moved on") },
		func(int64) error { return fault.New(fault.NotFound, "gone") },
		func(int64) error { return fault.New(fault.Invalid, "wrong") },
		func(n int64) error { // tried again
			if n == 1 {
				return fault.New(fault.Unavailable, "out of reach")
			}
			return nil
		},
		func(n int64) error {
			if n == 1 {
				panic("oh dear")
			}
			return nil
		},
		func(n int64) error {
			if n == 1 {
				return errors.New("plain")
			}
			return nil
		},
	}
	var done sync.WaitGroup
	done.Add(3)
	q.Handle("x", func(_ context.Context, task store.Task) error {
		n := calls[task.ID].Add(1)
		err := outcome[task.ID](n)
		if n == 2 {
			done.Done()
		}
		return err
	})
	for id := range int64(6) {
		enqueue(t, db, store.Task{Name: "x", ID: id})
	}
	stop := run(t, q)
	done.Wait()
	stop()
	for id, want := range []int64{1, 1, 1, 2, 2, 2} {
		if n := calls[id].Load(); n != want {
			t.Errorf("task %d was tried %d times, want %d", id, n, want)
		}
	}
	if n := storetest.Count(t, db, "SELECT count(*) FROM river_job WHERE state = 'completed'"); n != 6 {
		t.Errorf("%d tasks completed, want 6", n)
	}
	for _, want := range []string{"moved on", "gone", "wrong", "out of reach", "oh dear", "queue_test.go", "plain"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestStopCancelsAndTheNextRunGoesOn(t *testing.T) {
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		started := make(chan struct{})
		first := queue.New(db, queue.Config{})
		first.Handle("x", func(ctx context.Context, _ store.Task) error {
			close(started)
			<-ctx.Done()
			return ctx.Err()
		})
		stop := run(t, first)
		enqueue(t, db, store.Task{Name: "x", ID: 1, Queue: store.JobQueue})
		<-started
		stop()
		if n := storetest.Count(t, db, "SELECT count(*) FROM river_job WHERE errors IS NULL"); n != 1 {
			t.Error("the shutdown was counted as a failure of the task")
		}
		again := make(chan struct{})
		second := queue.New(db, queue.Config{})
		second.Handle("x", func(context.Context, store.Task) error { close(again); return nil })
		run(t, second)
		<-again
	})
}

// A server may be told to stop in the instant in which it is ready.
func TestStopBeforeTheStart(t *testing.T) {
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) {
		q := queue.New(storetest.Open(t, cfg), queue.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

func TestTaskWithoutHandlerWaits(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", nil))
	met := make(chan struct{})
	old := queue.New(db, queue.Config{Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) {
		if bytes.Contains(p, []byte("no handler here")) {
			close(met)
		}
	}), nil))})
	enqueue(t, db, store.Task{Name: "new", ID: 1})
	stop := run(t, old)
	<-met
	stop()
	worked := make(chan struct{})
	newer := queue.New(db, queue.Config{})
	newer.Handle("new", func(context.Context, store.Task) error { close(worked); return nil })
	run(t, newer)
	<-worked
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestTimersRingInOrderAndNeverEarly(t *testing.T) {
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		q := queue.New(db, queue.Config{Workers: map[string]int{store.DefaultQueue: 1}})
		rang := make(chan int64, 10)
		due := map[int64]time.Time{}
		q.Handle("x", func(_ context.Context, task store.Task) error {
			if early := time.Until(due[task.ID]); early > 0 {
				t.Errorf("timer %d rang %v early", task.ID, early)
			}
			rang <- task.ID
			return nil
		})
		err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for id, after := range []time.Duration{300, 100, 200, -1000} {
				due[int64(id)] = time.Now().Add(after * time.Millisecond)
				if err := tx.WakeAt(ctx, store.Task{Name: "x", ID: int64(id)}, due[int64(id)]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		run(t, q)
		for _, want := range []int64{3, 1, 2, 0} {
			if got := <-rang; got != want {
				t.Errorf("timer %d rang, want %d", got, want)
			}
		}
	})
}

func TestSweepRunsAtStartAndAgain(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", nil))
	q := queue.New(db, queue.Config{SweepEvery: time.Millisecond})
	var panicked atomic.Int64
	q.Sweep("bad", func(context.Context) error {
		panicked.Add(1)
		panic("in a sweep")
	})
	q.Sweep("good", func(ctx context.Context) error {
		return db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Ensure(ctx, store.Task{Name: "x", ID: 1}) })
	})
	worked := make(chan struct{}, 100)
	q.Handle("x", func(context.Context, store.Task) error { worked <- struct{}{}; return nil })
	run(t, q)
	<-worked
	<-worked // the first is past, so a later sweep enqueued another
	if panicked.Load() < 2 {
		t.Errorf("the sweep that panics ran %d times", panicked.Load())
	}
}

// The tasks of a dead replica are worked by another; those of a living one are left alone.
func TestTakeover(t *testing.T) {
	db := storetest.Open(t, storetest.PostgresConfig(t, "cd", nil))
	enqueue(t, db, store.Task{Name: "x", ID: 1}, store.Task{Name: "x", ID: 2}, store.Task{Name: "x", ID: 3})
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SQL.ExecContext(ctx, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(),
			attempted_by = ARRAY[CASE args ->> 'i' WHEN '1' THEN 'gone' WHEN '2' THEN 'dead' ELSE 'alive' END]`)
		if err != nil {
			return err
		}
		_, err = tx.SQL.ExecContext(ctx, `INSERT INTO replica (id, seen_ms) SELECT v.id, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - v.ago
			FROM (VALUES ('dead', 11000), ('alive', -60000)) AS v (id, ago)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	worked := make(chan int64, 3)
	q := queue.New(db, queue.Config{})
	q.Handle("x", func(_ context.Context, task store.Task) error { worked <- task.ID; return nil })
	stop := run(t, q)
	if sum := <-worked + <-worked; sum != 3 {
		t.Errorf("worked tasks that sum to %d, want 1 + 2", sum)
	}
	stop()
	if n := storetest.Count(t, db, "SELECT count(*) FROM river_job WHERE state = 'running'"); n != 1 {
		t.Errorf("%d tasks run elsewhere, want 1", n)
	}
}

func TestTwoReplicasShareTheWork(t *testing.T) {
	cfg := storetest.PostgresConfig(t, "cd", nil)
	const n = 100
	var mu sync.Mutex
	seen := map[int64]int{}
	all := make(chan struct{})
	for range 2 {
		q := queue.New(storetest.Open(t, cfg), queue.Config{})
		q.Handle("x", func(_ context.Context, task store.Task) error {
			mu.Lock()
			defer mu.Unlock()
			seen[task.ID]++
			if len(seen) == n {
				close(all)
			}
			return nil
		})
		run(t, q)
	}
	db := storetest.Open(t, cfg)
	for id := range int64(n) {
		enqueue(t, db, store.Task{Name: "x", ID: id})
	}
	<-all
	mu.Lock()
	defer mu.Unlock()
	for id, times := range seen {
		if times != 1 {
			t.Errorf("task %d was worked %d times", id, times)
		}
	}
}

func TestTwoHandlersOfOneName(t *testing.T) {
	q := queue.New(storetest.Open(t, storetest.SQLite(t, "ci", nil)), queue.Config{})
	q.Handle("x", nil)
	defer func() {
		if recover() == nil {
			t.Error("the second was taken")
		}
	}()
	q.Handle("x", nil)
}
