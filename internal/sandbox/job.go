package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/pid1"
	"drawbridge/internal/sandbox/wire"
)

// defaultPath is where a step's programs are looked for when its environment does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// job is one open job.
type job struct {
	s     *Sandbox
	spec  ci.JobSpec
	dir   string
	user  int
	ready chan struct{} // closed when opening has ended
	err   error         // of opening
	cell  *cell
	op    chan struct{} // holds a token while an operation is under way
	once  sync.Once
	ended error // of closing
	late  lateReaders
}

// Open implements ci.Executor. The workspace is empty, whatever a job of that id has left before.
func (s *Sandbox) Open(ctx context.Context, spec ci.JobSpec) (ci.Job, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errors.New("the sandbox is closed")
	}
	j, there := s.jobs[spec.ID]
	if !there {
		j = &job{
			s: s, spec: spec, dir: filepath.Join(s.jobsDir(), hash(spec.ID)),
			ready: make(chan struct{}), op: make(chan struct{}, 1),
		}
		s.jobs[spec.ID] = j
	}
	s.mu.Unlock()
	if there {
		return j.opened(ctx)
	}
	j.err = j.open(ctx)
	close(j.ready)
	if j.err != nil {
		err := j.err
		return nil, errors.Join(err, j.Close(ctx))
	}
	return j, nil
}

// check refuses what no sandbox can be.
func check(spec ci.JobSpec) error {
	if spec.ID == "" {
		return errors.New("a job needs an id")
	}
	if spec.Memory < 0 || spec.PIDs < 0 || spec.CPU < 0 {
		return fault.New(fault.Invalid, "a limit of job %s is negative", spec.ID)
	}
	for _, d := range spec.ReadOnly {
		if st, err := os.Stat(d); err != nil || !st.IsDir() || !filepath.IsAbs(d) || filepath.Clean(d) == "/" {
			return fault.New(fault.Invalid, "%s, which a job is to see, is no directory of this machine", d).
				WithHint("name an existing directory with its absolute path")
		}
	}
	return checkEnv(spec.Env)
}

func checkEnv(env map[string]string) error {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return fault.New(fault.Invalid, "%q cannot be an environment variable", name)
		}
	}
	return nil
}

// open makes the job's place and starts its sandbox.
func (j *job) open(ctx context.Context) error {
	if err := removeTree(j.dir); err != nil {
		return err
	}
	cache, err := j.takeUser(ctx)
	if err != nil {
		return err
	}
	if err := os.Mkdir(j.dir, 0o700); err != nil {
		return fmt.Errorf("making a job's place: %w", err)
	}
	if err := os.WriteFile(filepath.Join(j.dir, "id"), []byte(j.spec.ID), 0o600); err != nil {
		return fmt.Errorf("making a job's place: %w", err)
	}
	own := map[string]string{pid1.Workspace: "work", pid1.Tmp: "tmp", pid1.Cache: "cache"}
	var binds []wire.Bind
	for _, target := range slices.Sorted(maps.Keys(own)) {
		source := filepath.Join(j.dir, own[target])
		if target == pid1.Cache && cache != "" {
			source = cache
		} else if err := j.s.makeDir(source, j.user); err != nil {
			return err
		}
		binds = append(binds, wire.Bind{Source: source, Target: target, Writable: true})
	}
	for _, d := range j.spec.ReadOnly {
		binds = append(binds, wire.Bind{Source: filepath.Clean(d), Target: filepath.Clean(d)})
	}
	j.cell, err = j.s.start(cellSpec{
		name: j.spec.ID, user: j.user, setup: wire.Setup{Binds: binds},
		limits: limits{memory: j.spec.Memory, pids: j.spec.PIDs, cpu: j.spec.CPU},
	})
	return err
}

// takeUser picks the job's user: its cache's owner where it names one.
func (j *job) takeUser(ctx context.Context) (cache string, err error) {
	if j.spec.Cache == "" {
		j.user = j.s.users.take()
		return "", nil
	}
	cache, j.user, err = j.s.cache(ctx, j.spec.Cache)
	return cache, err
}

// makeDir makes a directory that belongs to a sandbox's user.
func (s *Sandbox) makeDir(dir string, user int) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // what is above it is closed to others
		return fmt.Errorf("making a job's place: %w", err)
	}
	if !s.users.root() {
		return nil
	}
	if err := os.Lchown(dir, user, user); err != nil {
		return fmt.Errorf("making a job's place: %w", err)
	}
	return nil
}

// opened waits until the job is open.
func (j *job) opened(ctx context.Context) (ci.Job, error) {
	select {
	case <-j.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if j.err != nil {
		return nil, j.err
	}
	return j, nil
}

// begin waits for the operation that is under way.
func (j *job) begin(ctx context.Context) error {
	select {
	case j.op <- struct{}{}:
		return nil
	case <-j.cell.done:
		return fmt.Errorf("%w: its sandbox has ended", ci.ErrGone)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *job) end() { <-j.op }

// Close implements ci.Job. It ends the processes at once: a step is given time to end by
// cancelling its Run.
func (j *job) Close(context.Context) error {
	<-j.ready
	j.once.Do(func() {
		var errs []error
		if j.cell != nil {
			errs = append(errs, j.cell.close())
		}
		j.late.close()
		errs = append(errs, removeTree(j.dir))
		if j.user != 0 {
			j.s.users.release(j.user)
		}
		j.s.mu.Lock()
		if j.s.jobs[j.spec.ID] == j {
			delete(j.s.jobs, j.spec.ID)
		}
		j.s.mu.Unlock()
		j.ended = errors.Join(errs...)
	})
	return j.ended
}

// environment is what a step sees: the job's, the step's, and a PATH.
func (j *job) environment(step map[string]string) []string {
	env := map[string]string{"PATH": searchPath(j.spec.ReadOnly)}
	maps.Copy(env, j.spec.Env)
	maps.Copy(env, step)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// searchPath is the default PATH, with the programs of what the job is lent in front.
func searchPath(lent []string) string {
	var dirs []string
	for _, d := range append(slices.Clone(lent), "/usr/local/go") {
		bin := filepath.Join(d, "bin")
		if st, err := os.Stat(bin); err == nil && st.IsDir() && !slices.Contains(dirs, bin) {
			dirs = append(dirs, bin)
		}
	}
	return strings.Join(append(dirs, defaultPath), ":")
}
