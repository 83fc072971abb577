package ci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"drawbridge/internal/audit"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// maxAttempts ends the job that takes the server down with it each time.
const maxAttempts = 40

// errCancelled is the cause of the context of a job whose run was cancelled.
var errCancelled = errors.New("the run was cancelled")

// WorkJob executes one job to its end. A job that is found running was cut off by the end
// of the server that ran it: it starts again as the next attempt in a fresh workspace. A
// job that has ended, or that this process executes already, is left alone.
//
// An error means that the job could not be recorded; it is to be called again. When ctx
// ends the job is left as it is, for the next attempt.
func (s *Service) WorkJob(ctx context.Context, jobID, version int64) error {
	job, err := s.Store.Job(ctx, jobID)
	if err != nil {
		return err
	}
	run, err := s.Store.Run(ctx, job.Run)
	if err != nil {
		return err
	}
	switch {
	case job.State.Final():
		return nil
	case run.State.Final():
		return s.cancelJobs(ctx, run, run.Reason)
	case job.State == JobWaiting && job.Version != version:
		return nil // a task of a version that has passed
	}
	jobCtx, release, ok := s.claim(ctx, jobID)
	if !ok {
		return nil
	}
	defer release()
	if job, err = s.startJob(ctx, run, job); err != nil || job.State.Final() {
		return err
	}
	result := s.execute(jobCtx, run, job)
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.endJob(ctx, run, job, result)
}

// claim makes this process the one that executes the job. release is called when it is done.
func (s *Service) claim(ctx context.Context, job int64) (_ context.Context, release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.active[job]; taken {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s.active[job] = cancel
	return ctx, func() {
		s.mu.Lock()
		delete(s.active, job)
		s.mu.Unlock()
		cancel(nil)
	}, true
}

// startJob begins the next attempt.
func (s *Service) startJob(ctx context.Context, run Run, job RunJob) (RunJob, error) {
	ev := JobStart
	switch {
	case job.State == JobRunning && job.Attempt >= maxAttempts:
		return s.giveUp(ctx, run, job)
	case job.State == JobRunning:
		ev = JobRestart
	}
	facts, err := s.Executor.Facts(ctx)
	if err != nil {
		return job, fmt.Errorf("ask the executor for its facts: %w", err)
	}
	next, err := job.Apply(ev, s.Now(), "")
	if err != nil {
		return job, err
	}
	next.Facts = facts
	entry := s.jobEntry(run, next, "job."+string(ev))
	if err := s.Store.Save(ctx, Change{Jobs: []RunJob{next}, Record: []audit.Entry{entry}}); err != nil {
		return job, err
	}
	next.Version++
	return next, nil
}

// giveUp fails a job that never came to its end.
func (s *Service) giveUp(ctx context.Context, run Run, job RunJob) (RunJob, error) {
	err := s.endJob(ctx, run, job, jobResult{event: JobFail, reason: fmt.Sprintf("the server stopped during each of %d attempts", job.Attempt)})
	job.State = JobFailed
	return job, err
}

// jobResult is how an attempt ended.
type jobResult struct {
	event   JobEvent
	reason  string
	outputs map[string]string
	steps   []Step // that are not saved yet
}

// endJob records the end of a job and wakes its run.
func (s *Service) endJob(ctx context.Context, run Run, job RunJob, r jobResult) error {
	next, err := job.Apply(r.event, s.Now(), clip(r.reason))
	if err != nil {
		return err
	}
	next.Outputs = r.outputs
	entry := s.jobEntry(run, next, "job."+string(next.State))
	if r.reason != "" {
		entry.Detail["reason"] = clip(r.reason)
	}
	err = s.Store.Save(ctx, Change{
		Jobs: []RunJob{next}, Steps: r.steps, Record: []audit.Entry{entry}, Next: []Task{{Name: TaskRun, ID: run.ID}},
	})
	if err != nil {
		return err
	}
	if err := s.Logs.Close(ctx, job.ID); err != nil {
		s.Log.WarnContext(ctx, "a log was not closed", slog.Int64("job", job.ID), slog.Any("error", err))
	}
	return nil
}

func (s *Service) jobEntry(run Run, job RunJob, action string) audit.Entry {
	return audit.Entry{
		At: s.Now(), Actor: actorService, Action: action, Subject: subject(run), Chain: run.Chain,
		Detail: map[string]string{"job": job.Key, "attempt": fmt.Sprint(job.Attempt)},
	}
}

// execute runs one attempt of a job in a place of its own and always comes back with a
// result; it counts unless ctx ended for another cause than errCancelled.
func (s *Service) execute(ctx context.Context, run Run, job RunJob) jobResult {
	log := newJobLog(context.WithoutCancel(ctx), s.Logs, job.ID, s.Now, s.LogLimit)
	defer func() {
		log.flush()
		if log.err != nil {
			s.Log.ErrorContext(ctx, "a log is not complete", slog.Int64("job", job.ID), slog.Any("error", log.err))
		}
	}()
	result := s.attempt(ctx, run, job, log)
	if errors.Is(context.Cause(ctx), errCancelled) {
		result.event, result.reason = JobCancel, errCancelled.Error()
	}
	if result.reason != "" {
		log.notice("error", "%s", result.reason)
	}
	return result
}

func (s *Service) attempt(ctx context.Context, run Run, job RunJob, log *jobLog) jobResult {
	w, err := workflow.Parse(run.File, run.Source)
	if err != nil {
		return jobResult{event: JobFail, reason: err.Error()}
	}
	def := w.Job(job.Key)
	if def == nil {
		return jobResult{event: JobFail, reason: fmt.Sprintf("%s has no job %q any more", run.File, job.Key)}
	}
	repo, err := s.Store.Repository(ctx, run.Repository)
	if err != nil {
		return s.broken(ctx, job, "read the repository", err)
	}
	siblings, err := s.Store.Jobs(ctx, run.ID)
	if err != nil {
		return s.broken(ctx, job, "read the run's jobs", err)
	}
	log.notice("group", "job %s, attempt %d, %s on %s", job.Name, job.Attempt, job.Facts.Name, job.Facts.Platform)
	if len(job.Facts.Limits) == 0 {
		log.line([]byte("limits: none"))
	}
	log.line([]byte("##[endgroup]"))
	a := newAttempt(s, run, job, repo, log)
	spec := JobSpec{ID: fmt.Sprintf(jobID, run.ID, job.ID, job.Attempt), ReadOnly: s.ReadOnly, Env: a.base}
	if repo.Protects(run.Ref) {
		spec.Cache = repo.Name // what others read is written by trusted refs alone
	}
	if a.open, err = s.Executor.Open(ctx, spec); err != nil {
		return s.broken(ctx, job, "open a place for the job", err)
	}
	defer func() {
		if err := a.open.Close(context.WithoutCancel(ctx)); err != nil {
			s.Log.ErrorContext(ctx, "a job was not closed", slog.Int64("job", job.ID), slog.Any("error", err))
		}
	}()
	return a.work(ctx, w, def, w.NeedsOf(def, jobStates(siblings)))
}

// broken is the result when it is not the job's fault.
func (s *Service) broken(ctx context.Context, job RunJob, doing string, err error) jobResult {
	if f := fault.As(err); f != nil {
		return jobResult{event: JobFail, reason: reasonOf(f)}
	}
	if ctx.Err() == nil {
		s.Log.ErrorContext(ctx, "a job failed inside the server", slog.Int64("job", job.ID), slog.String("doing", doing), slog.Any("error", err))
	}
	return jobResult{event: JobFail, reason: "internal error: could not " + doing + "; the server's log says why"}
}

// Cancel stops a run that is queued or running. by is the authenticated identity. Conflict
// when the run has ended or is being sealed.
func (s *Service) Cancel(ctx context.Context, runID int64, by string) error {
	run, err := s.Store.Run(ctx, runID)
	if err != nil {
		return err
	}
	next, err := run.Apply(RunCancel, s.Now(), "cancelled by "+by)
	if err != nil {
		return err
	}
	entry := audit.Entry{At: next.Ended, Actor: by, Action: "run.cancel", Subject: subject(run), Chain: run.Chain}
	if err := s.Store.Save(ctx, Change{Run: &next, Record: []audit.Entry{entry}}); err != nil {
		return err
	}
	return s.cancelJobs(ctx, next, next.Reason)
}

// cancelJobs ends the jobs of a run that has ended: those that this process executes by
// their context, all others here.
func (s *Service) cancelJobs(ctx context.Context, run Run, reason string) error {
	jobs, err := s.Store.Jobs(ctx, run.ID)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.State.Final() || s.interrupt(j.ID) {
			continue
		}
		if err := s.endJob(ctx, run, j, jobResult{event: JobCancel, reason: reason}); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}

// interrupt reports whether this process executes the job, and stops it.
func (s *Service) interrupt(job int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel, ok := s.active[job]
	if ok {
		cancel(errCancelled)
	}
	return ok
}
