package ci

import (
	"encoding/json"
	"time"

	"drawbridge/internal/artifact"
)

// Run is one execution of one workflow file for one pushed commit. It is unique by
// (Repository, Ref, Old, Commit, File).
type Run struct {
	ID         int64
	Number     int64 // counts the runs of one repository from 1
	Repository string
	Ref        string // "refs/heads/main"
	Old        string // what the ref named before the push; NoCommit for a new ref
	Commit     string // 40 hex digits
	Pusher     string // authenticated
	Chain      string // 32 hex digits, one per push: it leads from the push to production
	File       string // path of the workflow file in the repository
	Name       string // the workflow's name; the file's when it has none
	Source     []byte // the workflow file's content; not read by lists
	State      RunState
	Reason     string // why it failed or was cancelled, one line; else empty
	Attempt    int    // the highest attempt of its jobs, at least 1; read-only
	Pushed     time.Time
	Created    time.Time
	Started    time.Time // zero until it started
	Ended      time.Time // zero until it ended
	Version    int64     // counts changes; a change is saved only on top of the one it was made from
}

// RunJob is one job of a run; Job is the open place in which an Executor runs it.
type RunJob struct {
	ID      int64
	Run     int64
	Key     string // its key in the workflow file
	Name    string
	State   JobState
	Reason  string // why it failed, was skipped or cancelled; else empty
	Attempt int    // 0 until it starts, 1 for the first attempt
	Outputs map[string]string
	Facts   Facts     // of the executor that ran it
	Queued  time.Time // when its task was made; zero until it may run
	Started time.Time // of the last attempt
	Ended   time.Time
	Version int64
}

// StepState is how a step of a job ended.
type StepState string

// The states of a step.
const (
	StepSucceeded StepState = "succeeded"
	StepFailed    StepState = "failed"
	StepSkipped   StepState = "skipped"
	StepCancelled StepState = "cancelled"
)

// Step is the result of one step in one attempt of a job; it is written once, when the step ends.
type Step struct {
	Job     int64
	Attempt int
	Number  int // from 1, in the order of the file
	Name    string
	State   StepState
	Exit    int    // exit code; -1 when a signal ended it, 0 when it has no process
	Reason  string // why it failed; else empty
	Summary string // what it wrote to GITHUB_STEP_SUMMARY, Markdown; hostile
	Started time.Time
	Ended   time.Time
}

// Publication is one artifact that a job has pushed by digest. It counts only when the
// attempt that made it succeeded and the run was sealed.
type Publication struct {
	Run     int64
	Job     int64
	Attempt int
	Image   artifact.Reference // without tag and digest
	Digest  artifact.Digest
	Tags    []string        // to be set by sealing
	SBOM    json.RawMessage // CycloneDX, made by the service from what was published
	At      time.Time
}

// Report is one report that a job handed in: a claim of the job, which the service parsed.
type Report struct {
	Run     int64
	Job     int64
	Attempt int
	Kind    string // "tests", "coverage" or "findings"
	File    string // as the workflow names it
	Body    json.RawMessage
}

// Bundle is one signed attestation of a run, kept before it is attached anywhere, so that
// sealing again after a crash attaches the same bytes.
type Bundle struct {
	Run       int64
	Number    int // from 1, in the order in which they are attached
	Artifact  artifact.Reference
	Predicate string // predicate type
	Body      []byte
	At        time.Time
}

// Event is one CloudEvent that waits in the outbox until the bridge has acknowledged it.
type Event struct {
	ID      int64
	Source  string // CloudEvents source
	Key     string // CloudEvents id; unique per source
	Run     int64  // 0 for an event that is no run's
	Body    []byte
	Created time.Time
	Posted  time.Time // zero until acknowledged
}
