// Package citest holds what tests of the CI plane need: an executor of plain processes, a
// store, a registry, a source and logs in memory, each a small real implementation, and
// the suite that every implementation of ci.Store passes.
package citest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// Executor runs jobs as plain processes, without any wall around them. The paths of a job,
// /workspace, /tmp and /cache, are directories of its own, and are translated where they
// stand at the start of an argument or a variable. It is safe for concurrent use.
type Executor struct {
	dir string

	mu    sync.Mutex
	jobs  map[string]*process
	specs []ci.JobSpec

	// OnOpen, when set, is called by each Open before anything is made.
	OnOpen func(spec ci.JobSpec) error
}

// NewExecutor returns an Executor whose files go with the test.
func NewExecutor(t testing.TB) *Executor {
	t.Helper()
	return &Executor{dir: t.TempDir(), jobs: map[string]*process{}}
}

// Specs returns every JobSpec that was opened, in order.
func (e *Executor) Specs() []ci.JobSpec {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]ci.JobSpec(nil), e.specs...)
}

// Left returns the ids of jobs that were not closed.
func (e *Executor) Left() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id := range e.jobs {
		ids = append(ids, id)
	}
	return ids
}

// Facts implements ci.Executor.
func (e *Executor) Facts(context.Context) (ci.Facts, error) {
	return ci.Facts{Name: "plain", Platform: "linux/amd64", Isolation: "none"}, nil
}

// Open implements ci.Executor.
func (e *Executor) Open(_ context.Context, spec ci.JobSpec) (ci.Job, error) {
	if e.OnOpen != nil {
		if err := e.OnOpen(spec); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if j, ok := e.jobs[spec.ID]; ok {
		return j, nil
	}
	root := filepath.Join(e.dir, spec.ID)
	cache := filepath.Join(root, "cache")
	if spec.Cache != "" {
		cache = filepath.Join(e.dir, "cache-"+spec.Cache)
	}
	j := &process{executor: e, spec: spec, places: [][2]string{
		{"/workspace", filepath.Join(root, "workspace")}, {"/tmp", filepath.Join(root, "tmp")}, {"/cache", cache},
	}}
	for _, p := range j.places {
		if err := os.MkdirAll(p[1], 0o700); err != nil {
			return nil, err
		}
	}
	e.jobs[spec.ID] = j
	e.specs = append(e.specs, spec)
	return j, nil
}

// Reattach implements ci.Executor.
func (e *Executor) Reattach(_ context.Context, id string) (ci.Job, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j, ok := e.jobs[id]; ok {
		return j, nil
	}
	return nil, ci.ErrGone
}

// Sweep implements ci.Executor.
func (e *Executor) Sweep(ctx context.Context, live func(id string) bool) error {
	for _, id := range e.Left() {
		if live(id) {
			continue
		}
		if j, err := e.Reattach(ctx, id); err == nil {
			if err := j.Close(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// process is one open job.
type process struct {
	executor *Executor
	spec     ci.JobSpec
	places   [][2]string // path in the job, directory on the host
}

// host translates a path of the job where s starts with one.
func (j *process) host(s string) string {
	if strings.HasPrefix(s, j.executor.dir) {
		return s // a job has looked where it is
	}
	for _, p := range j.places {
		if s == p[0] || strings.HasPrefix(s, p[0]+"/") {
			return p[1] + s[len(p[0]):]
		}
	}
	return s
}

// at is the host's path of one that is relative to the workspace or absolute in the job.
func (j *process) at(path string) string {
	if filepath.IsAbs(path) {
		return j.host(path)
	}
	return filepath.Join(j.host("/workspace"), path)
}

// Run implements ci.Job.
func (j *process) Run(ctx context.Context, step ci.StepSpec, out io.Writer) (ci.Exit, error) {
	timed := ctx
	if step.Timeout > 0 {
		var cancel context.CancelFunc
		timed, cancel = context.WithTimeout(ctx, step.Timeout)
		defer cancel()
	}
	args := make([]string, len(step.Command))
	for i, a := range step.Command {
		args[i] = j.host(a)
	}
	cmd := exec.CommandContext(timed, args[0], args[1:]...) //nolint:gosec // running what it is given is its job
	cmd.Dir = j.at(step.Dir)
	for _, env := range []map[string]string{j.spec.Env, step.Env} {
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+j.host(v))
		}
	}
	stream := &writer{out} // the same for both: one pipe
	cmd.Stdout, cmd.Stderr = stream, stream
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return ci.Exit{}, fmt.Errorf("run %s: %w", args[0], err)
	}
	exit := ci.Exit{Code: cmd.ProcessState.ExitCode(), TimedOut: timed.Err() != nil && ctx.Err() == nil}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Signal = "signal " + ws.Signal().String()
	}
	return exit, nil
}

// writer passes on what to takes and never fails.
type writer struct{ to io.Writer }

func (w *writer) Write(p []byte) (int, error) {
	_, _ = w.to.Write(p) // what it does not take is thrown away
	return len(p), nil
}

// PutFile implements ci.Job.
func (j *process) PutFile(_ context.Context, path string, r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(j.at(path), h.Name) //nolint:gosec // tests write their own streams
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o700)
		case tar.TypeReg:
			if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
				err = putFile(name, fs.FileMode(h.Mode).Perm(), t) //nolint:gosec // nine bits are kept
			}
		}
		if err != nil {
			return err
		}
	}
}

func putFile(name string, mode fs.FileMode, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode) //nolint:gosec // beneath the test's directory
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// GetFile implements ci.Job.
func (j *process) GetFile(_ context.Context, path string) (io.ReadCloser, error) {
	at := j.at(path)
	info, err := os.Stat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no %s in the job", path)
	}
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		if info.IsDir() {
			err = t.AddFS(os.DirFS(at))
		} else {
			err = addOne(t, at, info)
		}
		_ = w.CloseWithError(errors.Join(err, t.Close()))
	}()
	return r, nil
}

func addOne(t *tar.Writer, at string, info fs.FileInfo) error {
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(at) //nolint:gosec // beneath the test's directory
	if err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return errors.Join(err, f.Close())
}

// Close implements ci.Job.
func (j *process) Close(context.Context) error {
	j.executor.mu.Lock()
	defer j.executor.mu.Unlock()
	delete(j.executor.jobs, j.spec.ID)
	return os.RemoveAll(filepath.Dir(j.host("/workspace")))
}
