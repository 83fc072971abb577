// Package workflow is the language in which a repository says what CI does: the syntax of
// GitHub Actions, in the subset that this server runs.
//
// Parse reads a file and refuses, by name and position, whatever the server would not do:
// nothing is skipped silently. What it returns is immutable and safe for concurrent use.
// Text and Cond evaluate expressions, Ready plans the jobs, ParseOutput and its siblings
// read the files that a step writes, and Scanner the commands that it prints. Everything
// here is pure and bounded: hostile text costs an error, never the server.
package workflow

import (
	"time"

	"drawbridge/internal/artifact"
)

// DefaultTimeout is the time that a job may take when its file does not say. It is shorter
// than GitHub's six hours: a job that hangs holds one of few places on a small machine.
const DefaultTimeout = time.Hour

// MaxTimeout is the longest time that a file may give a job or a step.
const MaxTimeout = 24 * time.Hour

// Limits of one workflow file.
const (
	MaxSource = 256 << 10 // bytes of the file
	MaxJobs   = 256       // jobs of one workflow
	MaxSteps  = 512       // steps of one job
)

// Workflow is one parsed file.
type Workflow struct {
	File   string          // as given to Parse
	Name   string          // the name key, else the file's base name
	Digest artifact.Digest // of the source, for the provenance
	Push   Push            // when it runs
	Env    map[string]Text // for every step of every job
	Jobs   []Job           // in the order of the file; never empty
}

// Job finds a job by its id, in any case of letters; nil when there is none.
func (w *Workflow) Job(id string) *Job {
	for i := range w.Jobs {
		if equalFold(w.Jobs[i].ID, id) {
			return &w.Jobs[i]
		}
	}
	return nil
}

// Job is one job.
type Job struct {
	ID      string          // unique in its workflow, as written
	Name    Text            // for people to read; the zero Text means ID
	Line    int             // of its key in the file, from 1
	Needs   []string        // ids of jobs, as those are written; sorted, no duplicates
	If      Cond            // evaluated by Ready; the zero Cond means success()
	Env     map[string]Text // over the workflow's
	Outputs map[string]Text // evaluated after the last step
	Timeout time.Duration   // of the whole job; never 0
	Steps   []Step          // never empty
}

// Step is one step: a script (Run is set) or a built-in action (Uses is set).
type Step struct {
	ID              string          // as written; empty when the file gives none
	Name            Text            // for people to read; the zero Text means Title's choice
	Line            int             // of the step in the file, from 1
	If              Cond            // the zero Cond means success()
	Env             map[string]Text // over the job's
	Run             Text            // the script
	Shell           Shell           // of Run
	Dir             Text            // working directory of Run beneath the workspace; zero means its root
	Uses            Action          // the built-in; empty for a script
	With            map[string]Text // inputs of the built-in, by name in lower case
	Timeout         time.Duration   // 0 means the job's
	ContinueOnError bool            // a failure counts as success for what follows
}

// Title is the step's unevaluated name as people read it: its name, else the first line of
// its script, else the action.
func (s *Step) Title() string {
	switch {
	case !s.Name.IsZero():
		return s.Name.Source()
	case s.Uses != "":
		return string(s.Uses)
	}
	return "Run " + firstLine(s.Run.Source())
}

// Shell is the interpreter of a script.
type Shell string

// The shells. A script runs as `bash -e FILE` when its file names no shell, as
// `bash --noprofile --norc -eo pipefail FILE` when it names bash, and as `sh -e FILE` for sh.
const (
	ShellDefault Shell = ""
	ShellBash    Shell = "bash"
	ShellSh      Shell = "sh"
)

// Command is the program and arguments that run the script in file.
func (s Shell) Command(file string) []string {
	switch s {
	case ShellBash:
		return []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", file}
	case ShellSh:
		return []string{"sh", "-e", file}
	case ShellDefault:
	}
	return []string{"bash", "-e", file}
}

// Action is a built-in action.
type Action string

// The built-in actions. Inputs are listed in the table of builtin.go.
const (
	Checkout Action = "actions/checkout"
	Publish  Action = "drawbridge/publish"
	Report   Action = "drawbridge/report"
)
