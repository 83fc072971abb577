// Package sandbox runs jobs and deployed processes in namespaces of their own.
package sandbox

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"drawbridge/internal/ci"
)

// Workspace is where a job's steps see their workspace.
const Workspace = "/workspace"

// Config says where a Sandbox keeps its files and what a job gets by default.
type Config struct {
	Dir       string        // workspaces and caches lie below it; made with mode 0700
	Log       *slog.Logger  // nil means slog.Default
	SeedCache string        // a Go build cache that is copied into each new persistent cache as go-build; empty means none
	Grace     time.Duration // between TERM and KILL where a step does not say; 0 means 5 s
	Memory    int64         // bytes, for a job that does not say; 0 means three quarters of the machine's
	PIDs      int64         // processes and threads, for a job that does not say; 0 means 4096
}

// Sandbox is an executor of namespaces; it is safe for concurrent use.
type Sandbox struct{ cfg Config }

var errUnfinished = errors.New("sandbox is being built")

// Init becomes PID 1 of a sandbox when the process was started as one, and returns at once otherwise.
func Init() {}

// New makes the directories and finds out which limits hold.
func New(cfg Config) (*Sandbox, error) { return &Sandbox{cfg}, errUnfinished }

// Facts implements ci.Executor.
func (s *Sandbox) Facts(context.Context) (ci.Facts, error) { return ci.Facts{}, errUnfinished }

// Open implements ci.Executor.
func (s *Sandbox) Open(context.Context, ci.JobSpec) (ci.Job, error) { return nil, errUnfinished }

// Reattach implements ci.Executor.
func (s *Sandbox) Reattach(context.Context, string) (ci.Job, error) { return nil, ci.ErrGone }

// Sweep implements ci.Executor.
func (s *Sandbox) Sweep(context.Context, func(id string) bool) error { return errUnfinished }

// Close ends every job and process.
func (s *Sandbox) Close(context.Context) error { return nil }

// Limits bound a process and all that it starts; a zero field means the Sandbox's default.
type Limits struct {
	Memory int64   // bytes
	PIDs   int64   // processes and threads
	CPU    float64 // cores; 0 means no limit
}

// ProcessSpec says what to run.
type ProcessSpec struct {
	ID             string    // unique among the processes that run
	Root           string    // an unpacked image: becomes /, read-only; readable by everybody when the server is root
	Command        []string  // program and arguments; a relative program is relative to Dir
	Env            []string  // "NAME=value"; nothing else is in the environment, but a PATH where there is none
	Dir            string    // working directory in the image; empty means /
	HostTools      bool      // lend the host's /usr, /bin and /lib*, read-only, to an image that has no /usr
	Stdout, Stderr io.Writer // nil means discard; called by one goroutine each
	Limits         Limits
}

// Process is one running sandboxed process with all that it started.
type Process struct{}

// Start starts a process; it shares the host's network.
func (s *Sandbox) Start(context.Context, ProcessSpec) (*Process, error) { return nil, errUnfinished }

// PID is the host's number of the sandbox's PID 1.
func (p *Process) PID() int { return 0 }

// Done is closed when the process and all that it started have ended.
func (p *Process) Done() <-chan struct{} { return nil }

// Exit says in one line how the process ended, "exit status 3"; empty while it runs.
func (p *Process) Exit() string { return "" }

// Wait waits for the end.
func (p *Process) Wait(context.Context) (ci.Exit, error) { return ci.Exit{}, errUnfinished }

// Stop sends TERM, after grace KILL, to the whole tree and waits for its end.
func (p *Process) Stop(context.Context, time.Duration) error { return nil }
