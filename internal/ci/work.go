package ci

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// races bounds how often Work looks again when another change came first.
const races = 20

// Work moves a run on: it starts the jobs that may start, skips those whose condition does
// not hold, and ends the run when every job has ended. It is called after each such change
// and may be called at any time.
func (s *Service) Work(ctx context.Context, runID int64) error {
	for range races {
		run, err := s.Store.Run(ctx, runID)
		if err != nil {
			return err
		}
		if run.State == RunSealing {
			return s.Seal(ctx, runID)
		}
		if run.State.Final() {
			return nil
		}
		// Whoever came first may have seen less than this call: look again, all of it.
		if err := s.advance(ctx, run); !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "run %d changes too fast", runID)
}

// advance saves one step of a run that is queued or running.
func (s *Service) advance(ctx context.Context, run Run) error {
	jobs, err := s.Store.Jobs(ctx, run.ID)
	if err != nil {
		return err
	}
	p := progress{now: s.Now, run: run, jobs: jobs}
	w, err := workflow.Parse(run.File, run.Source)
	if err != nil {
		// It parsed when it was pushed: this server reads the language differently now.
		p.end(RunFail, err.Error())
		return p.save(ctx, s.Store)
	}
	if run.State == RunQueued {
		p.apply(RunStart, "")
		p.record("run.start", nil)
	}
	p.plan(w)
	if err := p.finish(ctx, s.Store); err != nil {
		return err
	}
	return p.save(ctx, s.Store)
}

// progress collects what one call of Work changes.
type progress struct {
	now    func() time.Time
	run    Run
	jobs   []RunJob
	change Change
	moved  bool // the run itself has changed
	err    error
}

func (p *progress) apply(ev RunEvent, reason string) {
	run, err := p.run.Apply(ev, p.now(), clip(reason))
	if err != nil && p.err == nil {
		p.err = err
	}
	p.run, p.moved = run, true
}

func (p *progress) record(action string, detail map[string]string) {
	p.change.Record = append(p.change.Record, audit.Entry{
		At: p.now(), Actor: actorService, Action: action, Subject: subject(p.run), Chain: p.run.Chain, Detail: detail,
	})
}

// job applies ev to the job at index i.
func (p *progress) job(i int, ev JobEvent, reason string) {
	j, err := p.jobs[i].Apply(ev, p.now(), clip(reason))
	if err != nil && p.err == nil {
		p.err = err
	}
	p.jobs[i] = j
	p.change.Jobs = append(p.change.Jobs, j)
	p.record("job."+string(ev), map[string]string{"job": j.Key, "reason": clip(reason)})
}

// plan starts, skips and fails jobs as the workflow says.
func (p *progress) plan(w *workflow.Workflow) {
	d := w.Ready(workflow.RunState{Jobs: jobStates(p.jobs), Github: githubContext(p.run, "")})
	for i := range p.jobs {
		j := &p.jobs[i]
		for _, key := range d.Start {
			if key == j.Key {
				j.Queued = millis(p.now())
				p.change.Jobs = append(p.change.Jobs, *j)
				p.change.Next = append(p.change.Next, Task{Name: TaskJob, ID: j.ID, Version: j.Version + 1})
			}
		}
		for _, key := range d.Skip {
			if key == j.Key {
				p.job(i, JobSkip, "its condition does not hold")
			}
		}
		for _, b := range d.Fail {
			if b.Job == j.Key {
				p.job(i, JobFail, b.Err.Error())
			}
		}
	}
}

// finish ends the run when all its jobs have ended. A run that published nothing has
// nothing to seal.
func (p *progress) finish(ctx context.Context, store Details) error {
	for _, j := range p.jobs {
		if !j.State.Final() {
			return nil
		}
	}
	for _, j := range p.jobs {
		if j.State != JobSucceeded && j.State != JobSkipped {
			p.end(RunFail, fmt.Sprintf("job %s %s: %s", j.Key, j.State, j.Reason))
			return nil
		}
	}
	p.apply(RunPassed, "")
	published, _, err := store.Published(ctx, p.run.ID)
	if err != nil {
		return err
	}
	if len(counting(published, p.jobs)) == 0 {
		p.end(RunSealed, "")
		return nil
	}
	p.record("run.pass", nil)
	p.change.Next = append(p.change.Next, Task{Name: TaskSeal, ID: p.run.ID})
	return nil
}

// end applies a final event.
func (p *progress) end(ev RunEvent, reason string) {
	p.apply(ev, reason)
	var detail map[string]string
	if reason != "" {
		detail = map[string]string{"reason": clip(reason)}
	}
	p.record("run."+string(p.run.State), detail)
}

// save commits what has changed; nothing when nothing has.
func (p *progress) save(ctx context.Context, store Saver) error {
	if p.err != nil {
		return p.err
	}
	if !p.moved && len(p.change.Jobs) == 0 {
		return nil
	}
	// The run's version moves with every decision about its jobs, so that of two decisions
	// made from the same rows only one is saved.
	p.change.Run = &p.run
	return store.Save(ctx, p.change)
}

// jobStates is what the planner sees of jobs.
func jobStates(jobs []RunJob) map[string]workflow.JobState {
	states := make(map[string]workflow.JobState, len(jobs))
	for _, j := range jobs {
		states[j.Key] = workflow.JobState{Started: !j.Queued.IsZero(), Result: resultOf(j.State), Outputs: j.Outputs}
	}
	return states
}

// resultOf is a job's state in the words of expressions.
func resultOf(s JobState) workflow.Result {
	switch s {
	case JobSucceeded:
		return workflow.Success
	case JobFailed:
		return workflow.Failure
	case JobSkipped:
		return workflow.Skipped
	case JobCancelled:
		return workflow.Cancelled
	case JobWaiting, JobRunning:
	}
	return workflow.Unfinished
}

// counting selects the publications that the successful attempts made. What an attempt
// left behind that died, or a job that failed, does not count.
func counting(published []Publication, jobs []RunJob) []Publication {
	var out []Publication
	for _, p := range published {
		for _, j := range jobs {
			if j.ID == p.Job && j.Attempt == p.Attempt && j.State == JobSucceeded {
				out = append(out, p)
			}
		}
	}
	return out
}

// subject names a run in the audit log.
func subject(r Run) string { return fmt.Sprintf("run/%d", r.ID) }
