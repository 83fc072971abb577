package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/wire"
)

// Exit codes of a command that could not be started, as shells have them.
const (
	codeNotFound      = 127
	codeNotExecutable = 126
)

// reminder is how often the processes of a step that is to end are looked at again.
const reminder = 50 * time.Millisecond

// oomScore makes the kernel end a step before PID 1 when memory is short.
const oomScore = "500"

// step is one running command.
type step struct {
	pid      int
	before   map[int]uint64 // processes that were there before it, with their start times
	told     map[int]string // processes that were told to end, with the program that they were
	stopping bool
	status   *syscall.WaitStatus // set when the command itself has ended
	cpu      time.Duration
	maxRSS   int64
}

// run starts the command and waits for it. Background processes that it leaves live on,
// unless it was told to end.
func (in *inside) run(o order) (*wire.Exit, error) {
	if len(o.files) < 1 || len(o.files) > 2 || len(o.Command) == 0 {
		return nil, errors.New("a step needs a command and one stream or two")
	}
	stdout, stderr := o.files[0], o.files[len(o.files)-1]
	if st, err := os.Stat(o.Dir); err != nil || !st.IsDir() {
		return nil, fault.New(fault.Invalid, "the working directory %s does not exist in the sandbox", o.Dir)
	}
	path, code, why := lookPath(o.Command[0], o.Dir, o.Env)
	if path == "" {
		_, _ = fmt.Fprintln(stderr, why) // the step's own stderr: gone is gone
		return &wire.Exit{Code: code}, nil
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", os.DevNull, err)
	}
	defer null.Close() //nolint:errcheck // opened for reading
	s := &step{before: make(map[int]uint64), told: make(map[int]string)}
	for _, p := range processes() {
		s.before[p.pid] = p.start
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	s.pid, err = syscall.ForkExec(path, o.Command, &syscall.ProcAttr{ //nolint:gosec // to run what it is told is its job
		Dir: o.Dir, Env: o.Env, Sys: &syscall.SysProcAttr{Setsid: true},
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
	})
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", o.Command[0], err)
		return &wire.Exit{Code: codeNotExecutable}, nil
	}
	// The step may be gone already; then nobody needs the score.
	_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(s.pid), "oom_score_adj"), []byte(oomScore), 0)
	for _, f := range o.files {
		_ = f.Close() // else its reader would wait for PID 1 too
	}
	in.step = s
	for s.status == nil || (s.stopping && len(s.tree()) > 0) {
		in.ended.Wait()
	}
	in.step = nil
	return s.exit(), nil
}

func (s *step) exit() *wire.Exit {
	e := &wire.Exit{Code: s.status.ExitStatus(), CPU: s.cpu, MaxRSS: s.maxRSS}
	if s.status.Signaled() {
		e.Code, e.Signal = -1, unix.SignalName(s.status.Signal())
	}
	return e
}

// lookPath finds the program as execvp does, in the PATH of the step. An empty path comes
// with the exit code and the line that say why.
func lookPath(name, dir string, env []string) (path string, code int, why string) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return executable(name)
	}
	search := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	for _, d := range filepath.SplitList(search) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		if p, _, _ := executable(filepath.Join(d, name)); p != "" {
			return p, 0, ""
		}
	}
	return "", codeNotFound, name + ": command not found"
}

func executable(name string) (path string, code int, why string) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return "", codeNotFound, name + ": no such file or directory"
	case st.IsDir() || unix.Access(name, unix.X_OK) != nil:
		return "", codeNotExecutable, name + ": permission denied"
	}
	return name, 0, ""
}

// reap takes the exit status of every process whose parent is PID 1, for each SIGCHLD.
func (in *inside) reap(children <-chan os.Signal) {
	for range children {
		in.mu.Lock()
		for {
			var status syscall.WaitStatus
			var usage syscall.Rusage
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			if s := in.step; s != nil {
				s.cpu += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
				s.maxRSS = max(s.maxRSS, usage.Maxrss<<10)
				if pid == s.pid {
					s.status = &status
				}
			}
		}
		in.ended.Broadcast()
		in.mu.Unlock()
	}
}

// stop sends sig to the running step's tree; none runs, nothing happens.
func (in *inside) stop(sig syscall.Signal) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.step
	if s == nil {
		return
	}
	s.stopping = true
	if sig == syscall.SIGKILL {
		s.kill()
	} else {
		for _, p := range s.tree() {
			s.tell(p)
		}
		go in.remind(s)
	}
	in.ended.Broadcast()
}

// tell sends TERM to a process and notes which program it was then.
func (s *step) tell(p process) {
	s.told[p.pid] = p.program()
	_ = syscall.Kill(p.pid, syscall.SIGTERM) // it may be gone
	_ = syscall.Kill(p.pid, syscall.SIGCONT) // a stopped process would not see it
}

// remind tells those again, until the step has ended, that cannot have heard: a process that has become another
// program since, for its shell's handler took the signal before exec, and an orphan that was born
// while the tree was told. What a process that has heard starts in order to clean up is left alone.
func (in *inside) remind(s *step) {
	for {
		time.Sleep(reminder)
		in.mu.Lock()
		if in.step != s {
			in.mu.Unlock()
			return
		}
		for _, p := range s.tree() {
			was, told := s.told[p.pid]
			if (told && was != p.program()) || (!told && p.parent == 1 && s.status != nil) {
				s.tell(p)
			}
		}
		in.ended.Broadcast()
		in.mu.Unlock()
	}
}

// kill ends the step's tree. Processes that fork faster than they are found cost
// the whole job its processes: kill(-1) is atomic.
func (s *step) kill() {
	for range 20 {
		left := s.tree()
		if len(left) == 0 {
			return
		}
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may be gone
		}
		time.Sleep(time.Millisecond)
	}
	_ = syscall.Kill(-1, syscall.SIGKILL)
}

// tree lists the living processes of the step: all but PID 1 and what was there before
// it, with that's children. A process that has left its parent and its session is found too.
func (s *step) tree() []process {
	all := processes()
	older := make(map[int]bool, len(s.before))
	for _, p := range all {
		if start, ok := s.before[p.pid]; ok && start == p.start {
			older[p.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !older[p.pid] && older[p.parent] {
				older[p.pid], grown = true, true
			}
		}
	}
	return slices.DeleteFunc(all, func(p process) bool { return older[p.pid] || !p.alive() })
}
