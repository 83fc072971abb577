package api

import (
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/attest"
	"drawbridge/internal/ci"
)

// Repository is a Git repository whose pushes start runs.
type Repository struct {
	Name      string    `json:"name"`
	URL       string    `json:"url"`       // what git clones
	Protected []string  `json:"protected"` // refs that may publish; a trailing * stands for the rest
	Created   time.Time `json:"created"`
}

// NewRepository asks for a repository.
type NewRepository struct {
	Name string `json:"name"`
}

// RepositoryOf is r as the API sends it; url is this server's address.
func RepositoryOf(r ci.Repository, url string) Repository {
	return Repository{Name: r.Name, URL: url + "/git/" + r.Name + ".git", Protected: r.Protected, Created: r.Created}
}

// Run is one execution of one workflow file for one commit.
type Run struct {
	ID         int64       `json:"id"`
	Number     int64       `json:"number"` // counts the runs of one repository
	Repository string      `json:"repository"`
	Ref        string      `json:"ref"`
	Commit     string      `json:"commit"`
	Pusher     string      `json:"pusher"`
	Chain      string      `json:"chain"` // leads from the push to production
	Workflow   string      `json:"workflow"`
	File       string      `json:"file"`
	State      ci.RunState `json:"state"`
	Reason     string      `json:"reason,omitempty"` // why it failed or was cancelled
	Attempt    int         `json:"attempt"`
	Created    time.Time   `json:"created"`
	Started    *time.Time  `json:"started,omitempty"`
	Ended      *time.Time  `json:"ended,omitempty"`
	Jobs       []Job       `json:"jobs,omitempty"`      // of one run, not in lists
	Published  []Published `json:"published,omitempty"` // of one run, not in lists
	Reports    []Report    `json:"reports,omitempty"`   // of one run, not in lists
}

// RunOf is r as the API sends it, without what belongs to its jobs.
func RunOf(r ci.Run) Run {
	return Run{
		ID: r.ID, Number: r.Number, Repository: r.Repository, Ref: r.Ref, Commit: r.Commit, Pusher: r.Pusher, Chain: r.Chain,
		Workflow: r.Name, File: r.File, State: r.State, Reason: r.Reason, Attempt: r.Attempt,
		Created: r.Created, Started: optional(r.Started), Ended: optional(r.Ended),
	}
}

// Job is one job of a run.
type Job struct {
	ID        int64       `json:"id"`
	Key       string      `json:"key"` // its key in the workflow file
	Name      string      `json:"name"`
	State     ci.JobState `json:"state"`
	Reason    string      `json:"reason,omitempty"`
	Attempt   int         `json:"attempt"`
	Isolation string      `json:"isolation,omitempty"` // how it was kept apart
	Limits    []string    `json:"limits"`              // those that held; empty means none
	Started   *time.Time  `json:"started,omitempty"`
	Ended     *time.Time  `json:"ended,omitempty"`
	Steps     []Step      `json:"steps"`
}

// Step is the result of one step in one attempt of a job.
type Step struct {
	Attempt int          `json:"attempt"`
	Number  int          `json:"number"` // from 1
	Name    string       `json:"name"`
	State   ci.StepState `json:"state"`
	Exit    int          `json:"exit"` // -1 when a signal ended it
	Reason  string       `json:"reason,omitempty"`
	Millis  int64        `json:"millis"` // wall time
}

// JobOf is j with its steps as the API sends it.
func JobOf(j ci.RunJob, steps []ci.Step) Job {
	out := Job{
		ID: j.ID, Key: j.Key, Name: j.Name, State: j.State, Reason: j.Reason, Attempt: j.Attempt, Isolation: j.Facts.Isolation,
		Limits: append([]string{}, j.Facts.Limits...), Started: optional(j.Started), Ended: optional(j.Ended), Steps: []Step{},
	}
	for _, s := range steps {
		out.Steps = append(out.Steps, Step{
			Attempt: s.Attempt, Number: s.Number, Name: s.Name, State: s.State, Exit: s.Exit, Reason: s.Reason,
			Millis: s.Ended.Sub(s.Started).Milliseconds(),
		})
	}
	return out
}

// Published is one artifact that a run pushed.
type Published struct {
	Image  string   `json:"image"`
	Digest string   `json:"digest"`
	Tags   []string `json:"tags"`
}

// PublishedOf is p as the API sends it.
func PublishedOf(p ci.Publication) Published {
	return Published{Image: p.Image.Name(), Digest: p.Digest.String(), Tags: append([]string{}, p.Tags...)}
}

// Report is what a job says of its tests, its coverage or what a tool found: one of the
// three, a claim of the job, counts alone.
type Report struct {
	Job      string           `json:"job"` // its key
	Attempt  int              `json:"attempt"`
	Kind     string           `json:"kind"` // "tests", "coverage" or "findings"
	File     string           `json:"file"` // as the workflow names it
	Tests    *attest.Tests    `json:"tests,omitempty"`
	Coverage *attest.Coverage `json:"coverage,omitempty"`
	Findings *attest.Findings `json:"findings,omitempty"`
}

// ReportOf is r, a report of one of jobs, as the API sends it. An error means that the
// stored report cannot be read.
func ReportOf(r ci.Report, jobs []ci.RunJob) (Report, error) {
	out := Report{Attempt: r.Attempt, Kind: r.Kind, File: r.File}
	for _, j := range jobs {
		if j.ID == r.Job {
			out.Job = j.Key
		}
	}
	var into any
	switch r.Kind {
	case "tests":
		into = &out.Tests
	case "coverage":
		into = &out.Coverage
	case "findings":
		into = &out.Findings
	default:
		return out, nil // a kind of a later version: there is a report, that is all
	}
	if err := json.Unmarshal(r.Body, into); err != nil {
		return out, fmt.Errorf("read the report %s: %w", r.File, err)
	}
	if out.Tests != nil {
		out.Tests.PassedNames = nil
	}
	if out.Findings != nil {
		out.Findings.SARIF = nil
	}
	return out, nil
}
