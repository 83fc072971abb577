package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/pid1"
	"drawbridge/internal/sandbox/wire"
)

// lingering is how long after its end a step's output is waited for: a process that it left in
// the background may hold it open for ever.
const lingering = 100 * time.Millisecond

// lateLimit is how much output that is there already is taken after that, in bytes: a full pipe.
const lateLimit = 1 << 20

// Run implements ci.Job. A program that is not there gives exit code 127, one that cannot be
// run 126, with a line that says why, as in a shell. A step that was told to end gives the Exit that it
// had. Output of processes that a step leaves in the background is read and thrown away once it has ended.
func (j *job) Run(ctx context.Context, step ci.StepSpec, out io.Writer) (ci.Exit, error) {
	dir := path.Clean("./" + filepath.ToSlash(step.Dir))
	if len(step.Command) == 0 {
		return ci.Exit{}, fault.New(fault.Invalid, "the step has no command")
	}
	if !filepath.IsLocal(dir) {
		return ci.Exit{}, fault.New(fault.Invalid, "the working directory %q is outside of the workspace", step.Dir)
	}
	if err := checkEnv(step.Env); err != nil {
		return ci.Exit{}, err
	}
	if err := j.begin(ctx); err != nil {
		return ci.Exit{}, err
	}
	defer j.end()
	if err := ctx.Err(); err != nil {
		return ci.Exit{}, err
	}
	o, err := newOutput(out)
	if err != nil {
		return ci.Exit{}, err
	}
	r := wire.Request{
		Op: wire.Run, Command: step.Command, Env: j.environment(step.Env), Dir: path.Join(pid1.Workspace, dir),
	}
	oom := j.cell.group.oomKills()
	begin := time.Now()
	if err := j.cell.ask(r, o.theirs); err != nil {
		o.finish(&j.late)
		return ci.Exit{}, err
	}
	if step.Grace == 0 {
		step.Grace = j.s.cfg.Grace
	}
	exit, timedOut, err := j.cell.watch(ctx, step.Timeout, func() time.Duration { return step.Grace })
	exit.Took, exit.TimedOut = time.Since(begin), timedOut
	o.finish(&j.late)
	exit.OOM = j.cell.group.oomKills() > oom
	if err != nil && exit.OOM { // it has ended the sandbox's own first process
		return ci.Exit{Code: -1, Signal: "SIGKILL", OOM: true, Took: exit.Took}, nil
	}
	return exit, err
}

// watch waits for the running step's end, and ends it when ctx or its time does; grace is asked then.
func (c *cell) watch(ctx context.Context, timeout time.Duration, grace func() time.Duration) (exit ci.Exit, timedOut bool, err error) {
	var late <-chan time.Time // nil: never
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	cancelled := ctx.Done()
	var graceOver <-chan time.Time
	for {
		select {
		case r, ok := <-c.replies:
			if !ok {
				return exit, timedOut, c.gone(errors.New("its first process has ended"))
			}
			if e := r.Exit; e != nil {
				exit = ci.Exit{Code: e.Code, Signal: e.Signal, CPU: e.CPU, MaxRSS: e.MaxRSS}
			}
			return exit, timedOut, refusal(r.Failure)
		case <-late:
			timedOut = true
		case <-cancelled:
		case <-graceOver:
			graceOver = nil
			if err := c.conn.Send(wire.Request{Op: wire.Kill}); err != nil {
				return exit, timedOut, c.gone(err)
			}
			continue
		}
		late, cancelled = nil, nil
		if err := c.conn.Send(wire.Request{Op: wire.Term}); err != nil {
			return exit, timedOut, c.gone(err)
		}
		graceOver = time.After(grace())
	}
}

// output carries what a step writes to a writer. Both of the step's streams are one pipe, which
// keeps the order between them.
type output struct {
	to     io.Writer
	ours   *os.File
	theirs *os.File
	ended  chan struct{} // closed when its reader has ended
	open   bool          // whether the stream had not ended when it was left; set before ended is closed
}

// newOutput makes the pipe and begins to read.
func newOutput(to io.Writer) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	o := &output{to: to, ours: r, theirs: w, ended: make(chan struct{})}
	go o.read()
	return o, nil
}

// read passes the stream on until its end or its deadline.
func (o *output) read() {
	defer close(o.ended)
	buf := make([]byte, 64<<10)
	for {
		n, err := o.ours.Read(buf)
		o.write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.open = !o.drain(buf)
			return
		}
		if err != nil {
			return
		}
	}
}

func (o *output) write(p []byte) {
	if len(p) > 0 {
		_, _ = o.to.Write(p) // what it does not take is thrown away
	}
}

// drain passes on what is in the pipe already, and reports whether that was its end.
func (o *output) drain(buf []byte) (ended bool) {
	raw, err := o.ours.SyscallConn()
	if err != nil || o.ours.SetReadDeadline(time.Time{}) != nil {
		return true
	}
	for total := 0; total < lateLimit && !ended; {
		n := 0
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, rerr = unix.Read(int(fd), buf)
			return true // whatever came: never wait
		})
		if errors.Is(rerr, unix.EAGAIN) {
			return false
		}
		if err != nil || rerr != nil || n == 0 {
			return true
		}
		o.write(buf[:n])
		total += n
	}
	return false
}

// finish waits for the stream's end, not for long, and leaves what is still open to late.
func (o *output) finish(late *lateReaders) {
	_ = o.ours.SetReadDeadline(time.Now().Add(lingering)) // a pipe can
	<-o.ended
	if o.open {
		late.add(o.ours)
	} else {
		_ = o.ours.Close() // read to its end
	}
}

// lateReaders read and throw away what background processes write after their step has
// ended: else a full pipe would stop them, a closed one end them.
type lateReaders struct {
	mu      sync.Mutex
	files   []*os.File
	closed  bool
	readers sync.WaitGroup
}

func (l *lateReaders) add(f *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = f.Close() // nobody writes any more
		return
	}
	l.files = append(l.files, f)
	l.readers.Go(func() {
		_, _ = io.Copy(io.Discard, f) // until its end, or ours
	})
}

// close ends every reader.
func (l *lateReaders) close() {
	l.mu.Lock()
	l.closed = true
	closeAll(l.files)
	l.mu.Unlock()
	l.readers.Wait()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // read ends, or unused
	}
}
