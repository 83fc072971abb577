package ci

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

// Post delivers one event of the outbox and marks it once the bridge has acknowledged it.
// An event that is marked already is left alone. On an error it stays in the outbox and
// Post is to be called again; the bridge keeps an event once.
func (s *Service) Post(ctx context.Context, eventID int64) error {
	ev, err := s.Store.Event(ctx, eventID)
	if err != nil || !ev.Posted.IsZero() {
		return err
	}
	if err := s.Poster.Post(ctx, ev.Body); err != nil {
		return fmt.Errorf("post event %s of %s: %w", ev.Key, ev.Source, err)
	}
	ev.Posted = millis(s.Now())
	entry := audit.Entry{At: ev.Posted, Actor: actorService, Action: "event.post", Subject: fmt.Sprintf("event/%d", ev.ID), Detail: map[string]string{"key": ev.Key}}
	if err := s.Store.Save(ctx, Change{Posted: &ev, Record: []audit.Entry{entry}}); !fault.Is(err, fault.Conflict) {
		return err
	}
	return nil // somebody else has posted it meanwhile, and the bridge keeps it once
}

// sweepAfter is how long an event may wait before Sweep brings its task back.
const sweepAfter = 30 * time.Second

// sweepPage bounds how much one Sweep brings back.
const sweepPage = 500

// Sweep brings back tasks that were given up: of runs that have not ended and of events
// that were not acknowledged. It lets the executor remove what no job of this process
// owns. It is to be called at start and now and then; each task decides itself whether
// there is anything to do.
func (s *Service) Sweep(ctx context.Context) error {
	runs, err := s.Store.ListRuns(ctx, RunFilter{States: []RunState{RunQueued, RunRunning, RunSealing}, Limit: sweepPage})
	if err != nil {
		return fmt.Errorf("list the runs that go on: %w", err)
	}
	var tasks []Task
	for _, r := range runs {
		tasks = append(tasks, Task{Name: TaskRun, ID: r.ID})
	}
	events, err := s.Store.Unposted(ctx, 0, sweepPage)
	if err != nil {
		return fmt.Errorf("list the outbox: %w", err)
	}
	for _, e := range events {
		if s.Now().Sub(e.Created) > sweepAfter {
			tasks = append(tasks, Task{Name: TaskPost, ID: e.ID})
		}
	}
	if len(tasks) > 0 {
		if err := s.Store.Save(ctx, Change{Next: tasks}); err != nil {
			return fmt.Errorf("bring tasks back: %w", err)
		}
	}
	if err := s.Executor.Sweep(ctx, s.live); err != nil {
		return fmt.Errorf("sweep the executor: %w", err)
	}
	return nil
}

// live reports whether this process executes the job of that executor id.
func (s *Service) live(id string) bool {
	var run, job int64
	var try int
	if _, err := fmt.Sscanf(id, jobID, &run, &job, &try); err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.active[job]
	return ok
}

// jobID names an attempt to the executor: run, job, attempt.
const jobID = "run-%d-job-%d-%d"
