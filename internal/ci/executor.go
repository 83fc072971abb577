package ci

import (
	"context"
	"errors"
	"io"
	"time"
)

// Executor runs the jobs of a run, each in a place of its own. No job may assume that
// it shares a file system or a process with the server: an executor may be on another
// machine. Every implementation passes sandboxtest.
type Executor interface {
	// Facts says what this executor is and which limits hold. It is asked once per run and
	// goes into the run's record and the provenance.
	Facts(ctx context.Context) (Facts, error)
	// Open makes the place in which a job's steps run: workspace, network, limits. It is
	// idempotent per JobSpec.ID: a second Open gives the job that is there.
	Open(ctx context.Context, spec JobSpec) (Job, error)
	// Reattach finds a job again after the server has started anew; ErrGone when it is lost.
	Reattach(ctx context.Context, id string) (Job, error)
	// Sweep removes what no live job owns.
	Sweep(ctx context.Context, live func(id string) bool) error
}

// Job is one open job. Its methods may be called by one goroutine at a time, Close by any.
type Job interface {
	// Run runs one step and returns how it ended. Cancelling ctx sends TERM, after a grace
	// period KILL, to the step's whole process tree. An error means that the step could not
	// be run or watched, never that it failed.
	//
	// Standard output and standard error are one stream, so that out gets every byte in the
	// order in which the step wrote it: what is masked on one of them is masked on the other
	// from then on. out is written to by one goroutine, and no longer once Run has returned;
	// what it does not take is thrown away, and the step goes on.
	Run(ctx context.Context, step StepSpec, out io.Writer) (Exit, error)
	// PutFile unpacks a tar stream at path, which is relative to the workspace or starts with
	// /tmp or /cache. Links that lead outside are refused.
	PutFile(ctx context.Context, path string, r io.Reader) error
	// GetFile freezes the job's other processes and returns a tar stream of path, a file or a
	// directory beneath the workspace or /tmp. The stream is made inside the job's own place:
	// whoever reads it limits it. NotFound when there is no such path.
	GetFile(ctx context.Context, path string) (io.ReadCloser, error)
	// Close ends every process of the job and removes its place. It is idempotent.
	Close(ctx context.Context) error
}

// ErrGone says that a job is not there any more.
var ErrGone = errors.New("job is gone")

// Facts describes an executor.
type Facts struct {
	Name      string   `json:"name"`      // "sandbox"
	Platform  string   `json:"platform"`  // "linux/amd64"
	Isolation string   `json:"isolation"` // "namespaces"
	Limits    []string `json:"limits"`    // those that hold, of "memory", "pids", "cpu"; empty means none
	Images    bool     `json:"images"`    // whether a job may name a container image
}

// JobSpec says what a job needs.
type JobSpec struct {
	ID       string            // unique for ever: run, job and attempt
	Cache    string            // key of a persistent writable /cache; empty: a private one that goes with the job
	ReadOnly []string          // host directories that the job sees read-only at the same path, GOROOT for example
	Env      map[string]string // the environment of every step; nothing else is in it
	Memory   int64             // bytes; 0 means the executor's default
	PIDs     int64             // processes and threads; 0 means the executor's default
	CPU      float64           // cores; 0 means no limit
}

// StepSpec is one command of a job.
type StepSpec struct {
	Command []string          // program and arguments
	Dir     string            // relative to the workspace; empty means its root
	Env     map[string]string // added to the job's
	Timeout time.Duration     // 0 means none
	Grace   time.Duration     // between TERM and KILL; 0 means 5 s
}

// Exit is how a step ended.
type Exit struct {
	Code     int           // exit code; -1 when a signal ended it
	Signal   string        // "SIGKILL", or empty
	OOM      bool          // the memory limit ended it
	TimedOut bool          // the step's timeout ended it
	Took     time.Duration // wall time
	CPU      time.Duration // user and system time of the step's processes
	MaxRSS   int64         // bytes
}
