// Package forge is the embedded Git host: bare repositories in one directory, served over
// smart HTTP by git's own http-backend, and read for CI.
//
// Refs are the truth about what was pushed. A push is received whole before git sees it,
// so that a slow sender holds no lock; git takes it under a lock of its repository; what
// moved is handed to Config.Pushed before the sender hears of success. Git's reflog, where
// the authenticated pusher stands as committer, keeps the same facts: Reconcile reads them after
// a crash in between. There are no hooks, and a push makes no repository.
//
// main and tags never go backwards: they are not forced, not deleted, and a tag does not
// move. Refs outside refs/heads/ and refs/tags/ are refused.
package forge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// defaultMaxPush is the largest push when Config names none.
const defaultMaxPush = 512 << 20

// Config says where the repositories are and who may use them.
type Config struct {
	// Dir holds the repositories as NAME.git; it is made when it is missing.
	Dir string
	// Authorize tells who sends r, by the token in it, and whether they may push. Everybody
	// whom it lets in may fetch. Its fault is what the sender is told: Unauthenticated asks
	// for a token, Forbidden does not.
	Authorize func(r *http.Request) (name string, push bool, err error)
	// Pushed takes the refs that one push moved, sorted by name, before the sender hears of
	// success. When it fails the sender is told, although the refs have moved: Reconcile finds them.
	Pushed func(ctx context.Context, repository string, changes []ci.RefChange) error
	// Known is what each branch and tag named when it was last recorded by Pushed.
	Known func(ctx context.Context, repository string) (map[string]string, error)
	// Protected reports whether a branch may be neither forced nor deleted; nil means main alone.
	Protected func(repository, ref string) bool
	// MaxPush is the largest push, in bytes; 0 means 512 MiB.
	MaxPush int64
	// Now is the clock.
	Now func() time.Time
	// Log gets what the sender is not told; nil discards it.
	Log *slog.Logger
}

// Forge is the Git host. Make it with New. It is safe for concurrent use.
type Forge struct {
	cfg Config
	git string // path of the git program
	mu  sync.Mutex
	// locks has one place for the push that a repository takes now.
	locks map[string]chan struct{}
}

var _ ci.Source = (*Forge)(nil)

// New makes Dir when it is missing, clears what a crash left in it, and looks for git. It
// is a fault of kind Unavailable when git is not installed.
func New(cfg Config) (*Forge, error) {
	if cfg.Authorize == nil || cfg.Pushed == nil || cfg.Known == nil || cfg.Now == nil || cfg.Dir == "" {
		return nil, errors.New("forge: Dir, Authorize, Pushed, Known and Now are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxPush == 0 {
		cfg.MaxPush = defaultMaxPush
	}
	if cfg.Protected == nil {
		cfg.Protected = func(_, ref string) bool { return ref == "refs/heads/main" }
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "git is not installed").WithHint("install git 2.36 or newer")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	f := &Forge{cfg: cfg, git: git, locks: map[string]chan struct{}{}}
	if err := os.RemoveAll(f.temporary()); err != nil {
		return nil, fmt.Errorf("clear what a crash left: %w", err)
	}
	if err := os.MkdirAll(f.temporary(), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of repositories: %w", err)
	}
	return f, nil
}

// temporary is for pushes that arrive and repositories that are being made.
func (f *Forge) temporary() string { return filepath.Join(f.cfg.Dir, "tmp") }

func (f *Forge) path(repository string) string { return filepath.Join(f.cfg.Dir, repository+".git") }

var (
	repositoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	commitHex      = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// find checks that there is a repository of that name.
func (f *Forge) find(repository string) error {
	if repositoryName.MatchString(repository) {
		if info, err := os.Stat(f.path(repository)); err == nil && info.IsDir() {
			return nil
		}
	}
	return fault.New(fault.NotFound, "there is no repository %.80q", repository).
		WithHint("a push makes none: drawbridge repo create NAME")
}

// Create makes an empty repository whose branch is main. It does nothing when there is one of
// that name. A malformed name is a fault of kind Invalid.
func (f *Forge) Create(ctx context.Context, repository string) error {
	if !repositoryName.MatchString(repository) {
		return fault.New(fault.Invalid, "%.80q cannot name a repository", repository).WithField("name").
			WithHint("use 1 to 63 of a-z 0-9 and -, and start with a letter or digit")
	}
	if f.find(repository) == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(f.temporary(), "create-")
	if err != nil {
		return fmt.Errorf("make repository %s: %w", repository, err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // New clears what is left
	if _, err := f.run(ctx, "", nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", tmp); err != nil {
		return err
	}
	// What is checked out is what was committed: no file may hide from CI.
	info := filepath.Join(tmp, "info")
	if err := os.MkdirAll(info, 0o700); err != nil {
		return fmt.Errorf("make repository %s: %w", repository, err)
	}
	if err := os.WriteFile(filepath.Join(info, "attributes"), []byte("* -export-ignore -export-subst\n"), 0o600); err != nil {
		return fmt.Errorf("make repository %s: %w", repository, err)
	}
	if err := os.Rename(tmp, f.path(repository)); err != nil && f.find(repository) != nil {
		return fmt.Errorf("make repository %s: %w", repository, err)
	}
	return nil
}

// Names lists the repositories, sorted.
func (f *Forge) Names() ([]string, error) {
	entries, err := os.ReadDir(f.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".git"); ok && repositoryName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// lock waits for the pushes before this one; the caller calls unlock.
func (f *Forge) lock(ctx context.Context, repository string) (unlock func(), err error) {
	f.mu.Lock()
	l, ok := f.locks[repository]
	if !ok {
		l = make(chan struct{}, 1)
		f.locks[repository] = l
	}
	f.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
