package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/wire"
)

// processTmp is the size of a deployed process's /tmp, which is in memory, in bytes.
const processTmp = 256 << 20

// Limits bound a process and all that it starts; a zero field means the Sandbox's default.
type Limits struct {
	Memory int64   // bytes
	PIDs   int64   // processes and threads
	CPU    float64 // cores; 0 means no limit
}

// ProcessSpec says what to run and what it sees.
type ProcessSpec struct {
	ID             string    // unique among the processes that run
	Root           string    // an unpacked image: becomes /, read-only; its files must be readable by everybody when the server is root
	Command        []string  // program and arguments; a relative program with a slash is relative to Dir, one without is searched in PATH
	Env            []string  // "NAME=value"; nothing else is in the environment, but a PATH where there is none
	Dir            string    // working directory in the image; empty means /
	HostTools      bool      // lend the host's /usr, /bin and /lib*, read-only, to an image that has no /usr
	Stdout, Stderr io.Writer // nil means discard; each is written to by one goroutine, until Done
	Limits         Limits
}

// Process is one running process with all that it has started.
type Process struct {
	s      *Sandbox
	id     string
	user   int
	cell   *cell
	cancel context.CancelFunc // tells it to end
	grace  time.Duration      // set before cancel is called
	once   sync.Once
	ready  chan struct{} // closed when the start has ended, well or not
	done   chan struct{}
	exit   ci.Exit // set before done is closed
	err    error
}

// Start starts a process in a sandbox of its own that shares the host's network. ctx bounds
// the start alone. It gives a fault of kind Conflict when a process of that id runs, and of kind Unavailable when
// sandboxes cannot be made here. A command that cannot be run starts, and ends at once with exit code 126 or 127.
func (s *Sandbox) Start(ctx context.Context, spec ProcessSpec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := spec.check(); err != nil {
		return nil, err
	}
	p := &Process{s: s, id: spec.ID, ready: make(chan struct{}), done: make(chan struct{})}
	if err := s.claim(p); err != nil {
		return nil, err
	}
	defer close(p.ready)
	p.user = s.users.take()
	if err := p.start(spec); err != nil {
		p.forget()
		close(p.done)
		return nil, err
	}
	return p, nil
}

func (spec *ProcessSpec) check() error {
	if spec.ID == "" || len(spec.Command) == 0 {
		return errors.New("a process needs an id and a command")
	}
	if st, err := os.Stat(spec.Root); err != nil || !st.IsDir() || !path.IsAbs(spec.Root) {
		return fmt.Errorf("the image of process %s is not at %q", spec.ID, spec.Root)
	}
	for _, e := range spec.Env {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" || strings.ContainsRune(e, 0) {
			return fault.New(fault.Invalid, "%q cannot be an environment variable", name)
		}
	}
	return nil
}

// claim makes the id p's.
func (s *Sandbox) claim(p *Process) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the sandbox is closed")
	}
	if s.running[p.id] != nil {
		return fault.New(fault.Conflict, "process %s is running already", p.id)
	}
	s.running[p.id] = p
	return nil
}

func (p *Process) forget() {
	p.s.users.release(p.user)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.running[p.id] == p {
		delete(p.s.running, p.id)
	}
}

// start makes the sandbox and has it run the command.
func (p *Process) start(spec ProcessSpec) (err error) {
	p.cell, err = p.s.start(cellSpec{
		name: spec.ID, user: p.user, limits: limits{memory: spec.Limits.Memory, pids: spec.Limits.PIDs, cpu: spec.Limits.CPU},
		setup: wire.Setup{Image: &wire.Bind{Source: spec.Root}, HostTools: spec.HostTools, Network: true, TmpSize: processTmp},
	})
	if err != nil {
		return err
	}
	var ours, theirs []*os.File
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(ours, theirs...))
			return errors.Join(fmt.Errorf("making a pipe: %w", err), p.cell.close())
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	env := spec.Env
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		env = append(slices.Clone(env), "PATH="+defaultPath)
	}
	r := wire.Request{Op: wire.Run, Command: spec.Command, Env: env, Dir: path.Join("/", spec.Dir)}
	oom := p.cell.group.oomKills()
	if err := p.cell.ask(r, theirs...); err != nil {
		closeAll(ours)
		return errors.Join(err, p.cell.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go p.watch(ctx, ours, []io.Writer{spec.Stdout, spec.Stderr}, oom)
	return nil
}

// watch carries the output, waits for the command's end and ends what it has left.
func (p *Process) watch(ctx context.Context, ours []*os.File, to []io.Writer, oom int64) {
	defer close(p.done)
	defer p.forget()
	var readers sync.WaitGroup
	for i, f := range ours {
		w := to[i]
		if w == nil {
			w = io.Discard
		}
		readers.Go(func() {
			if _, err := io.Copy(w, f); err != nil {
				_, _ = io.Copy(io.Discard, f) // a full pipe would stop the process
			}
			_ = f.Close() // read to its end
		})
	}
	begin := time.Now()
	exit, _, err := p.cell.watch(ctx, 0, func() time.Duration { return p.grace })
	exit.OOM = p.cell.group.oomKills() > oom
	if errors.Is(err, ci.ErrGone) {
		exit.Code, exit.Signal, err = -1, "SIGKILL", nil
	}
	exit.Took = time.Since(begin)
	p.exit, p.err = exit, errors.Join(err, p.cell.close())
	readers.Wait()
}

// PID is the host's number of the sandbox's first process.
func (p *Process) PID() int { return p.cell.cmd.Process.Pid }

// Done is closed when the process and all that it has started have ended and their output was written.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done, or for ctx, and returns how the process ended.
func (p *Process) Wait(ctx context.Context) (ci.Exit, error) {
	select {
	case <-p.done:
		return p.exit, p.err
	case <-ctx.Done():
		return ci.Exit{}, ctx.Err()
	}
}

// Exit says in a line how the process ended: "exit status 3", "ended by SIGKILL, out of
// memory"; empty while it runs.
func (p *Process) Exit() string {
	select {
	case <-p.done:
	default:
		return ""
	}
	var s string
	switch {
	case p.err != nil:
		s = p.err.Error()
	case p.exit.Signal != "":
		s = "ended by " + p.exit.Signal
	default:
		s = fmt.Sprintf("exit status %d", p.exit.Code)
	}
	if p.exit.OOM {
		s += ", out of memory"
	}
	return s
}

// Stop sends TERM to the whole tree, KILL after grace, and waits for its end. When ctx ends first
// the tree is killed at once, and ctx's error returned. A process that has ended already is no error.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	p.once.Do(func() {
		p.grace = grace
		p.cancel()
	})
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		_ = p.cell.cmd.Process.Kill() // it may be gone
		<-p.done
		return ctx.Err()
	}
}
