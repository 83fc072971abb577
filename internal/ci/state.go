package ci

import (
	"slices"
	"time"

	"drawbridge/internal/fault"
)

// RunState is where a run stands.
//
//	queued ──▶ running ──▶ sealing ──▶ succeeded
//	  │           │           │
//	  └───────────┴───────────┴──────▶ failed
//	  └───────────┴──────────────────▶ cancelled
type RunState string

// The states of a run. Succeeded, failed and cancelled are final.
const (
	RunQueued    RunState = "queued"
	RunRunning   RunState = "running"
	RunSealing   RunState = "sealing"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunCancelled RunState = "cancelled"
)

// RunEvent moves a run from one state to another.
type RunEvent string

// The events of a run.
const (
	RunStart  RunEvent = "start"  // its first jobs may run
	RunPassed RunEvent = "passed" // every job has succeeded or was skipped
	RunSealed RunEvent = "sealed" // evidence, tags and events are all there
	RunFail   RunEvent = "fail"   // a job failed, or the run cannot be executed or sealed
	RunCancel RunEvent = "cancel" // a person has stopped it; a run that is being sealed goes on
)

var runNext = map[RunState]map[RunEvent]RunState{
	RunQueued:    {RunStart: RunRunning, RunFail: RunFailed, RunCancel: RunCancelled},
	RunRunning:   {RunPassed: RunSealing, RunFail: RunFailed, RunCancel: RunCancelled},
	RunSealing:   {RunSealed: RunSucceeded, RunFail: RunFailed},
	RunSucceeded: {},
	RunFailed:    {},
	RunCancelled: {},
}

// JobState is where a job stands.
//
//	waiting ──▶ running ──▶ succeeded | failed | cancelled
//	   │          └─▶ running (restart: the next attempt)
//	   └──────▶ skipped | failed | cancelled
type JobState string

// The states of a job. Only waiting and running are not final.
const (
	JobWaiting   JobState = "waiting"
	JobRunning   JobState = "running"
	JobSucceeded JobState = "succeeded"
	JobFailed    JobState = "failed"
	JobSkipped   JobState = "skipped"
	JobCancelled JobState = "cancelled"
)

// JobEvent moves a job from one state to another.
type JobEvent string

// The events of a job.
const (
	JobStart   JobEvent = "start"   // attempt 1 begins
	JobRestart JobEvent = "restart" // the server died: the next attempt begins in a fresh workspace
	JobPass    JobEvent = "pass"    // every step passed or was allowed to fail
	JobFail    JobEvent = "fail"    // a step failed, or the job could not be executed
	JobSkip    JobEvent = "skip"    // its condition is false
	JobCancel  JobEvent = "cancel"  // its run was cancelled
)

var jobNext = map[JobState]map[JobEvent]JobState{
	JobWaiting:   {JobStart: JobRunning, JobSkip: JobSkipped, JobFail: JobFailed, JobCancel: JobCancelled},
	JobRunning:   {JobRestart: JobRunning, JobPass: JobSucceeded, JobFail: JobFailed, JobCancel: JobCancelled},
	JobSucceeded: {},
	JobFailed:    {},
	JobSkipped:   {},
	JobCancelled: {},
}

// Final reports whether a run in state s never changes again.
func (s RunState) Final() bool { next, known := runNext[s]; return known && len(next) == 0 }

// Final reports whether a job in state s never changes again.
func (s JobState) Final() bool { next, known := jobNext[s]; return known && len(next) == 0 }

// RunStates lists every state of a run, sorted by name.
func RunStates() []RunState { return sortedKeys(runNext) }

// JobStates lists every state of a job, sorted by name.
func JobStates() []JobState { return sortedKeys(jobNext) }

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Apply returns r after ev at now, with the reason of the change; r itself stays as it is.
// A change that the table does not allow is a fault of kind Conflict.
func (r Run) Apply(ev RunEvent, now time.Time, reason string) (Run, error) {
	to, ok := runNext[r.State][ev]
	if !ok {
		return r, fault.New(fault.Conflict, "run %d is %s: it cannot %s", r.ID, r.State, ev)
	}
	now = millis(now)
	r.State, r.Reason = to, reason
	if ev == RunStart {
		r.Started = now
	}
	if to.Final() {
		r.Ended = now
	}
	return r, nil
}

// Apply returns j after ev at now, with the reason of the change; j itself stays as it is.
// A change that the table does not allow is a fault of kind Conflict.
func (j RunJob) Apply(ev JobEvent, now time.Time, reason string) (RunJob, error) {
	to, ok := jobNext[j.State][ev]
	if !ok {
		return j, fault.New(fault.Conflict, "job %d is %s: it cannot %s", j.ID, j.State, ev)
	}
	now = millis(now)
	j.State, j.Reason = to, reason
	if ev == JobStart || ev == JobRestart {
		j.Attempt++
		j.Started = now
	}
	if to.Final() {
		j.Ended = now
	}
	return j, nil
}

// millis cuts t to what a column keeps.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
