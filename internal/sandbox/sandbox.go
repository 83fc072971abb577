// Package sandbox runs a job's steps, and deployed processes, in namespaces of their own
// on the server's machine. Nothing has to be installed for it: the server starts its own
// program again as PID 1 of new user, mount, PID, network, IPC, UTS and cgroup namespaces
// (package pid1), and talks to it over a socket pair (package wire).
//
// A job sees its workspace, a /tmp and a /cache, the host's programs and libraries read-only, and a
// loopback interface that leads nowhere. It has no capability, a filtered set of system calls,
// and a user of the host's that owns nothing else: when the server is root each job has another one,
// except that jobs with the same cache share theirs, as they share what it holds; when the server is
// not root it has the server's own, which the other walls keep from the server's files. A deployed
// process sees an unpacked image instead, and the host's network.
//
// Every process of a sandbox ends when its job or process is closed, and when the server
// dies, however it dies. Nothing outlives the server but workspaces, which Sweep removes,
// and the caches that jobs name.
//
// Below Config.Dir lie jobs/HASH/{id,work,tmp,cache} and cache/HASH.
package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/sandbox/pid1"
)

// Workspace is where a job's steps see their workspace.
const Workspace = pid1.Workspace

// Defaults of a Config.
const (
	defaultGrace = 5 * time.Second
	defaultPIDs  = 4096
)

// Config says where a Sandbox keeps its files and what a job gets that does not say.
type Config struct {
	Dir       string        // workspaces and caches lie below it; made with mode 0700
	Log       *slog.Logger  // nil means slog.Default
	SeedCache string        // a Go build cache that is copied to go-build in each new persistent cache; empty means none
	Grace     time.Duration // between TERM and KILL; 0 means 5 s
	Memory    int64         // bytes; 0 means three quarters of the machine's
	PIDs      int64         // processes and threads; 0 means 4096
}

// Sandbox runs jobs, as ci.Executor says, and processes. It is safe for concurrent use.
// Only one Sandbox at a time may use a directory.
type Sandbox struct {
	cfg     Config
	users   *users
	groups  *groups
	forks   *forker
	probe   func() error // whether sandboxes can be made here; asked once
	caches  sync.Mutex   // held while a cache is looked for or made
	mu      sync.Mutex
	jobs    map[string]*job // by id; also those being opened
	running map[string]*Process
	closed  bool
}

// Init becomes PID 1 of a sandbox, and never returns, in a process that a Sandbox started;
// in any other it returns at once. Every program that uses a Sandbox calls it first in
// main, and its tests first in TestMain.
func Init() {
	if os.Args[0] == pid1.Marker {
		pid1.Main()
	}
}

// New makes the directories, removes nothing, and finds out which limits hold. Whether
// sandboxes can be made at all is asked when the first is needed.
func New(cfg Config) (*Sandbox, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{cfg: cfg, groups: findGroups(cfg.Log), jobs: make(map[string]*job), running: make(map[string]*Process)}
	for _, d := range []string{cfg.Dir, s.jobsDir(), s.cacheDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("making the sandbox's directories: %w", err)
		}
	}
	if s.users, err = newUsers(s.cacheDir()); err != nil {
		return nil, err
	}
	s.forks = newForker()
	s.probe = sync.OnceValue(s.tryOut)
	return s, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("a sandbox needs a directory")
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return c, fmt.Errorf("finding the sandbox's directory: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.PIDs == 0 {
		c.PIDs = defaultPIDs
	}
	if c.Memory == 0 {
		c.Memory = machineMemory() / 4 * 3
	}
	return c, nil
}

// Facts implements ci.Executor. Where sandboxes cannot be made Isolation begins with
// "none" and says why; Open then gives a fault of kind Unavailable.
func (s *Sandbox) Facts(context.Context) (ci.Facts, error) {
	f := ci.Facts{
		Name: "sandbox", Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Isolation: "namespaces", Limits: s.groups.holds(),
	}
	if err := s.probe(); err != nil {
		f.Isolation = "none: " + err.Error()
	}
	return f, nil
}

// tryOut makes an empty sandbox and ends it.
func (s *Sandbox) tryOut() error {
	c, err := s.start(cellSpec{name: "probe"})
	if err != nil {
		return err
	}
	return c.close()
}

// Reattach implements ci.Executor: jobs end with the server, so that only a job that this
// Sandbox has open is there.
func (s *Sandbox) Reattach(ctx context.Context, id string) (ci.Job, error) {
	s.mu.Lock()
	j := s.jobs[id]
	s.mu.Unlock()
	if j == nil {
		return nil, ci.ErrGone
	}
	return j.opened(ctx)
}

// Sweep implements ci.Executor: it closes the jobs that live does not know and removes what jobs of
// a server that died have left. Caches stay.
func (s *Sandbox) Sweep(ctx context.Context, live func(id string) bool) error {
	dirs, err := os.ReadDir(s.jobsDir())
	if err != nil {
		return fmt.Errorf("listing workspaces: %w", err)
	}
	for _, d := range dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(s.jobsDir(), d.Name())
		id, err := os.ReadFile(filepath.Join(dir, "id")) //nolint:gosec // below our own directory
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading a workspace's owner: %w", err)
		}
		if err == nil && live(string(id)) {
			continue
		}
		s.mu.Lock()
		j := s.jobs[string(id)]
		s.mu.Unlock()
		switch {
		case j != nil:
			err = j.Close(ctx)
		case err != nil && s.opening(d.Name()):
			err = nil // its id is about to be written
		default:
			err = removeTree(dir)
		}
		if err != nil {
			return fmt.Errorf("removing what job %q has left: %w", id, err)
		}
	}
	s.groups.sweep()
	return nil
}

// opening reports whether a job that is open here has the directory name.
func (s *Sandbox) opening(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.jobs {
		if hash(id) == name {
			return true
		}
	}
	return false
}

// Close ends every job and process and waits for them. The Sandbox cannot be used afterwards.
func (s *Sandbox) Close(ctx context.Context) error {
	s.mu.Lock()
	jobs, running := s.jobs, s.running
	already := s.closed
	s.closed = true
	s.jobs, s.running = make(map[string]*job), make(map[string]*Process)
	s.mu.Unlock()
	if already {
		return nil
	}
	var errs []error
	for _, j := range jobs {
		errs = append(errs, j.Close(ctx))
	}
	for _, p := range running {
		<-p.ready
		if p.cell != nil {
			errs = append(errs, p.cell.close())
		}
		<-p.done
	}
	s.forks.close()
	return errors.Join(errs...)
}

func (s *Sandbox) jobsDir() string  { return filepath.Join(s.cfg.Dir, "jobs") }
func (s *Sandbox) cacheDir() string { return filepath.Join(s.cfg.Dir, "cache") }

// hash is the directory's name for an id or a cache's key, either of which may hold anything.
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}
