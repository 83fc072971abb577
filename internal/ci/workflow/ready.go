package workflow

import (
	"maps"
	"slices"
)

// RunState is what Ready plans by.
type RunState struct {
	Jobs      map[string]JobState // by job id; a job that is not there has not started
	Github    map[string]any      // the github context
	Cancelled bool                // the run is being cancelled
}

// Decision is what to do next. All three are in the order of the file.
type Decision struct {
	Start []string // jobs to start now
	Skip  []string // jobs whose condition does not hold: they end as Skipped
	Fail  []Broken // jobs whose condition cannot be evaluated: they end as Failure
}

// Broken is a job whose condition cannot be evaluated.
type Broken struct {
	Job string
	Err error // a fault with its place in the file
}

// Ready says which jobs to start, skip or fail, given how the others stand. A job is decided
// as soon as the jobs that it needs have ended, whatever else still runs: there are no stages.
// What it skips or fails counts at once for the jobs that follow. It is pure: the caller
// records the decision and calls again after each end. When nothing runs and the decision is
// empty, every job has ended.
func (w *Workflow) Ready(r RunState) Decision {
	states := make(map[string]JobState, len(w.Jobs))
	maps.Copy(states, r.Jobs)
	verdict := map[string]error{}
	started := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for i := range w.Jobs {
			j := &w.Jobs[i]
			s := states[j.ID]
			if s.Started || s.Result != Unfinished || !ended(j.Needs, states) {
				continue
			}
			ok, err := j.If.Eval(w.jobContext(j, states, r))
			s, started[j.ID] = settle(ok, err)
			if !started[j.ID] {
				verdict[j.ID] = err
			}
			states[j.ID] = s
			changed = true
		}
	}
	return w.decision(started, verdict)
}

func settle(ok bool, err error) (s JobState, start bool) {
	switch {
	case err != nil:
		return JobState{Result: Failure}, false
	case !ok:
		return JobState{Result: Skipped}, false
	}
	return JobState{Started: true}, true
}

func (w *Workflow) decision(started map[string]bool, verdict map[string]error) Decision {
	var d Decision
	for i := range w.Jobs {
		id := w.Jobs[i].ID
		err, decided := verdict[id]
		switch {
		case started[id]:
			d.Start = append(d.Start, id)
		case decided && err != nil:
			d.Fail = append(d.Fail, Broken{id, err})
		case decided:
			d.Skip = append(d.Skip, id)
		}
	}
	return d
}

func ended(needs []string, states map[string]JobState) bool {
	return !slices.ContainsFunc(needs, func(id string) bool { return states[id].Result == Unfinished })
}

// jobContext is what the if of job j sees. As on GitHub, the status covers all jobs before
// j, not only those that it names.
func (w *Workflow) jobContext(j *Job, states map[string]JobState, r RunState) Context {
	c := Context{Github: r.Github, Needs: w.NeedsOf(j, states), Status: Status{Cancelled: r.Cancelled}}
	seen := map[string]bool{}
	todo := slices.Clone(j.Needs)
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		switch states[id].Result {
		case Failure:
			c.Status.Failed = true
		case Skipped, Cancelled:
			c.Status.Skipped = true
		case Success, Unfinished:
		}
		if before := w.Job(id); before != nil {
			todo = append(todo, before.Needs...)
		}
	}
	return c
}

// NeedsOf is the needs context of job j: the state of each job that it names.
func (w *Workflow) NeedsOf(j *Job, states map[string]JobState) map[string]any {
	needs := make(map[string]any, len(j.Needs))
	for _, id := range j.Needs {
		needs[id] = states[id].Value()
	}
	return needs
}

func (s Status) success() bool { return !s.Failed && !s.Cancelled && !s.Skipped }
