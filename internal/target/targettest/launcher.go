package targettest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"drawbridge/internal/target/process"
)

// Launcher starts plain processes, isolated by nothing. It is safe for concurrent use.
type Launcher struct {
	mu      sync.Mutex
	started []process.LaunchSpec
	live    map[string]*instance
}

// Start implements process.Launcher.
func (l *Launcher) Start(_ context.Context, spec process.LaunchSpec) (process.Instance, error) {
	l.mu.Lock()
	l.started = append(l.started, spec)
	l.mu.Unlock()
	program := spec.Command[0]
	if !filepath.IsAbs(program) {
		return nil, fmt.Errorf("there is no program %q", program)
	}
	// The process outlives ctx.
	cmd := exec.Command(filepath.Join(spec.Root, program), spec.Command[1:]...) //nolint:gosec,noctx // what the test asks for
	cmd.Env, cmd.Dir = spec.Env, filepath.Join(spec.Root, spec.Dir)
	cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe() // the service ends when the test does
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	i := &instance{cmd: cmd, done: make(chan struct{})}
	l.mu.Lock()
	if l.live == nil {
		l.live = map[string]*instance{}
	}
	l.live[spec.ID] = i
	l.mu.Unlock()
	go func() {
		err := cmd.Wait()
		_ = stdin.Close()
		i.exit = fmt.Sprintf("exit code %d", cmd.ProcessState.ExitCode())
		if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			i.exit = "signal " + s.Signal().String()
		}
		if exited := new(exec.ExitError); err != nil && !errors.As(err, &exited) {
			i.exit += ": " + err.Error()
		}
		l.mu.Lock()
		delete(l.live, spec.ID)
		l.mu.Unlock()
		close(i.done)
	}()
	return i, nil
}

// Started is what was started so far, in order.
func (l *Launcher) Started() []process.LaunchSpec {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]process.LaunchSpec{}, l.started...)
}

// Live is how many processes run.
func (l *Launcher) Live() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.live)
}

// Kill ends every process as a crash would, and returns once they have ended.
func (l *Launcher) Kill() {
	l.mu.Lock()
	var all []*instance
	for _, i := range l.live {
		all = append(all, i)
	}
	l.mu.Unlock()
	for _, i := range all {
		i.signal(syscall.SIGKILL)
		<-i.done
	}
}

type instance struct {
	cmd  *exec.Cmd
	done chan struct{}
	exit string // written before done is closed
}

// Done implements process.Instance.
func (i *instance) Done() <-chan struct{} { return i.done }

// Exit implements process.Instance.
func (i *instance) Exit() string {
	select {
	case <-i.done:
		return i.exit
	default:
		return ""
	}
}

// Stop implements process.Instance.
func (i *instance) Stop(ctx context.Context, grace time.Duration) error {
	i.signal(syscall.SIGTERM)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-i.done:
		return nil
	case <-limit.C:
	case <-ctx.Done():
	}
	i.signal(syscall.SIGKILL)
	<-i.done
	return ctx.Err()
}

func (i *instance) signal(s os.Signal) {
	n, ok := s.(syscall.Signal)
	if !ok {
		return
	}
	select {
	case <-i.done: // the number may belong to another process by now
	default:
		_ = syscall.Kill(-i.cmd.Process.Pid, n) // it may have ended in between
	}
}
