package ci

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// attempt is one attempt of a job while it runs: the steps' shared state.
type attempt struct {
	s      *Service
	runs   Run
	job    RunJob
	repo   Repository
	log    *jobLog
	open   Job
	github map[string]any
	runner map[string]any
	base   map[string]string // the job's environment, by the server
	env    map[string]string // the workflow's, the job's and GITHUB_ENV
	path   []string          // GITHUB_PATH, the last entry first
	needs  map[string]any
	steps  map[string]any
	failed string // why the job has failed; empty while it has not
	until  time.Time
	done   []Step // steps that are not saved yet
}

func newAttempt(s *Service, run Run, job RunJob, repo Repository, log *jobLog) *attempt {
	run.Attempt = max(run.Attempt, job.Attempt)
	a := &attempt{
		s: s, runs: run, job: job, repo: repo, log: log, steps: map[string]any{}, env: map[string]string{},
		github: githubContext(run, job.Key), runner: runnerContext(job.Facts),
	}
	a.base = jobEnv(s.ReadOnly, s.Env)
	maps.Copy(a.base, githubEnv(a.github, a.runner, s.URL))
	return a
}

// work runs the steps one after another.
func (a *attempt) work(ctx context.Context, w *workflow.Workflow, def *workflow.Job, needs map[string]any) jobResult {
	a.needs, a.until = needs, a.s.Now().Add(def.Timeout)
	for _, texts := range []map[string]workflow.Text{w.Env, def.Env} {
		values, err := workflow.EvalAll(texts, a.context())
		if err != nil {
			return a.result(JobFail, err.Error(), nil)
		}
		a.setEnv(values)
	}
	for i := range def.Steps {
		if err := a.step(ctx, i+1, &def.Steps[i]); err != nil {
			r := a.s.broken(ctx, a.job, "run step "+fmt.Sprint(i+1), err)
			r.steps = a.done
			return r
		}
		if interrupted(ctx) {
			return a.result(JobFail, "interrupted", nil)
		}
	}
	outputs, err := workflow.EvalAll(def.Outputs, a.context())
	switch {
	case a.failed != "":
		return a.result(JobFail, a.failed, outputs)
	case err != nil:
		return a.result(JobFail, err.Error(), nil)
	}
	return a.result(JobPass, "", outputs)
}

func (a *attempt) result(ev JobEvent, reason string, outputs map[string]string) jobResult {
	return jobResult{event: ev, reason: reason, outputs: outputs, steps: a.done}
}

// context is what expressions see now.
func (a *attempt) context() workflow.Context {
	env := make(map[string]any, len(a.env))
	for k, v := range a.env {
		env[k] = v
	}
	status := "success"
	if a.failed != "" {
		status = "failure"
	}
	return workflow.Context{
		Github: a.github, Env: env, Needs: a.needs, Steps: a.steps, Job: map[string]any{"status": status},
		Runner: a.runner, Status: workflow.Status{Failed: a.failed != ""},
	}
}

// setEnv adds variables for all steps that follow; those that only the server sets are left out.
func (a *attempt) setEnv(values map[string]string) {
	for k, v := range values {
		if !workflow.ReservedEnv(k) {
			a.env[k] = v
		}
	}
}

// interrupted reports whether the run was cancelled or the server stops.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

// stepEnd is how a step ended.
type stepEnd struct {
	state   StepState
	exit    int
	reason  string
	summary string
	outputs map[string]string
}

func failedStep(format string, args ...any) stepEnd {
	return stepEnd{state: StepFailed, reason: fmt.Sprintf(format, args...)}
}

// failedBy is the end of a step that met a fault of its own making; any other error is
// returned as it is.
func failedBy(err error) (stepEnd, error) {
	if f := fault.As(err); f != nil && f.Kind != fault.Internal {
		return stepEnd{state: StepFailed, reason: reasonOf(f)}, nil
	}
	return stepEnd{}, err
}

// step runs one step and records how it ended. An error means that the server could not.
func (a *attempt) step(ctx context.Context, number int, def *workflow.Step) error {
	row := Step{Job: a.job.ID, Attempt: a.job.Attempt, Number: number, Name: a.title(def), Started: millis(a.s.Now())}
	end, err := a.decide(ctx, number, def, row.Name)
	if err != nil {
		return err
	}
	row.State, row.Exit, row.Reason, row.Summary, row.Ended = end.state, end.exit, clip(end.reason), end.summary, millis(a.s.Now())
	a.settle(def, row, end)
	if a.done = append(a.done, row); end.state == StepSkipped || interrupted(ctx) {
		return nil // saved together with what follows
	}
	a.log.flush()
	if err := a.s.Store.Save(ctx, Change{Steps: a.done}); err != nil {
		return fmt.Errorf("save step %d: %w", number, err)
	}
	a.done = nil
	return nil
}

func (a *attempt) decide(ctx context.Context, number int, def *workflow.Step, title string) (stepEnd, error) {
	ok, err := def.If.Eval(a.context())
	switch {
	case err != nil:
		return failedBy(err)
	case !ok:
		return stepEnd{state: StepSkipped}, nil
	}
	a.log.notice("group", "%s", title)
	defer a.log.notice("endgroup", "")
	left := a.until.Sub(a.s.Now())
	if left <= 0 {
		return failedStep("the job has used up its time"), nil
	}
	extra, err := workflow.EvalAll(def.Env, a.context())
	if err != nil {
		return failedBy(err)
	}
	if def.Timeout > 0 {
		left = min(left, def.Timeout)
	}
	switch def.Uses {
	case workflow.Checkout:
		return a.checkout(ctx)
	case workflow.Publish:
		return a.publish(ctx, def)
	case workflow.Report:
		return a.report(ctx, def)
	case "":
		return a.script(ctx, number, def, extra, left)
	}
	return failedStep("%s is no action that this server has", def.Uses), nil
}

// settle makes the end of a step visible to what follows.
func (a *attempt) settle(def *workflow.Step, row Step, end stepEnd) {
	outcome := stepResult(end.state)
	conclusion := outcome
	if end.state == StepFailed {
		a.log.notice("error", "step %d: %s", row.Number, end.reason)
		if def.ContinueOnError {
			conclusion = workflow.Success
		} else if a.failed == "" {
			a.failed = fmt.Sprintf("step %d (%s): %s", row.Number, row.Name, end.reason)
		}
	}
	if def.ID != "" {
		a.steps[def.ID] = workflow.StepState{Outputs: end.outputs, Outcome: outcome, Conclusion: conclusion}.Value()
	}
}

func stepResult(s StepState) workflow.Result {
	switch s {
	case StepSucceeded:
		return workflow.Success
	case StepFailed:
		return workflow.Failure
	case StepSkipped:
		return workflow.Skipped
	case StepCancelled:
		return workflow.Cancelled
	}
	return workflow.Failure
}

// title is a step's name with its expressions evaluated where that works.
func (a *attempt) title(def *workflow.Step) string {
	if !def.Name.IsZero() {
		if name, err := def.Name.Eval(a.context()); err == nil {
			return clip(strings.ReplaceAll(name, "\x00", ""))
		}
	}
	return clip(def.Title())
}

// script runs a script.
func (a *attempt) script(ctx context.Context, number int, def *workflow.Step, extra map[string]string, timeout time.Duration) (stepEnd, error) {
	now := a.context()
	for k, v := range extra {
		now.Env[k] = v
	}
	text, err := def.Run.Eval(now)
	if err != nil {
		return failedBy(err)
	}
	dir, err := def.Dir.Eval(now)
	if err != nil {
		return failedBy(err)
	}
	files := newStepFiles(number)
	if err := files.put(ctx, a.open, text); err != nil {
		return failedBy(fmt.Errorf("hand over the script: %w", err))
	}
	out := newStepOutput(a.log)
	exit, err := a.open.Run(ctx, StepSpec{
		Command: def.Shell.Command(files.script()), Dir: dir, Env: a.stepEnv(extra, files), Timeout: timeout,
	}, out)
	out.close()
	if err != nil {
		return failedBy(fmt.Errorf("run the script: %w", err))
	}
	end := endOf(exit, timeout)
	return a.collect(ctx, files, end)
}

// stepEnv is the environment of one script, over the job's.
func (a *attempt) stepEnv(extra map[string]string, files stepFiles) map[string]string {
	env := maps.Clone(a.env)
	for k, v := range extra {
		if !workflow.ReservedEnv(k) {
			env[k] = v
		}
	}
	if len(a.path) > 0 {
		base, ok := env["PATH"]
		if !ok {
			base = a.base["PATH"]
		}
		env["PATH"] = strings.Join(a.path, ":") + ":" + base
	}
	maps.Copy(env, files.env())
	return env
}

// collect reads the files that the step wrote. A file that cannot be read fails the step.
func (a *attempt) collect(ctx context.Context, files stepFiles, end stepEnd) (stepEnd, error) {
	if interrupted(ctx) {
		end.state = StepCancelled
		return end, nil
	}
	got, err := files.get(ctx, a.open)
	if err != nil {
		return failedBy(fmt.Errorf("read what the step wrote: %w", err))
	}
	end.summary = got.summary
	end.outputs = got.outputs
	a.setEnv(got.env)
	for _, dir := range got.path {
		a.path = slices.Insert(a.path, 0, dir)
	}
	return end, nil
}

// endOf puts an exit into words.
func endOf(e Exit, timeout time.Duration) stepEnd {
	end := stepEnd{state: StepFailed, exit: e.Code}
	switch {
	case e.TimedOut:
		end.reason = fmt.Sprintf("timed out after %s", timeout.Round(time.Millisecond))
	case e.OOM:
		end.reason = "ran out of memory"
	case e.Signal != "":
		end.reason = "ended by " + e.Signal
	case e.Code != 0:
		end.reason = fmt.Sprintf("exit code %d", e.Code)
	default:
		end.state = StepSucceeded
	}
	return end
}
