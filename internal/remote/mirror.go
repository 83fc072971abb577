package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/fault"
)

// mirror is a bare repository that holds objects and no refs.
type mirror struct {
	remote *Remote
	dir    string
	format string        // of object names: sha1 or sha256
	turn   chan struct{} // has one place for the call that uses it
	users  int           // calls that use it or wait for it; guarded by Remote.mu
	used   int64         // tick of the last of them; guarded by Remote.mu
}

// open takes the mirror of an address for one call; the caller calls release.
func (r *Remote) open(ctx context.Context, at *url.URL, format string) (m *mirror, release func(), err error) {
	sum := sha256.Sum256([]byte(format + " " + strings.TrimSuffix(at.String(), ".git")))
	name := hex.EncodeToString(sum[:]) + ".git"
	r.mu.Lock()
	if m = r.mirrors[name]; m == nil {
		m = &mirror{remote: r, dir: filepath.Join(r.options.Dir, name), format: format, turn: make(chan struct{}, 1)}
		r.mirrors[name] = m
	}
	r.tick++
	m.users, m.used = m.users+1, r.tick
	err = r.evict()
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		m.users--
	}
	if err != nil {
		leave()
		return nil, nil, fmt.Errorf("make room in the cache of repositories: %w", err)
	}
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, nil, ended(ctx, at.Host)
	}
	if err := m.prepare(ctx); err != nil {
		<-m.turn
		leave()
		return nil, nil, err
	}
	return m, func() { <-m.turn; leave() }, nil
}

// evict removes what was not used for longest, over the number that is kept. What is in use
// stays. The caller holds mu.
func (r *Remote) evict() error {
	for len(r.mirrors) > r.options.Mirrors {
		oldest := ""
		for name, m := range r.mirrors {
			if m.users == 0 && (oldest == "" || m.used < r.mirrors[oldest].used) {
				oldest = name
			}
		}
		if oldest == "" {
			return nil
		}
		if err := os.RemoveAll(r.mirrors[oldest].dir); err != nil {
			return err
		}
		delete(r.mirrors, oldest)
	}
	return nil
}

// maxPacks bounds how many packs, one for each fetch, a mirror keeps.
const maxPacks = 50

// prepare makes the mirror when there is none, and makes it anew when it has grown.
func (m *mirror) prepare(ctx context.Context) error {
	var size int64
	packs := 0
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		if filepath.Ext(path) == ".pack" {
			packs++
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at a repository's cache: %w", err)
	case size <= m.remote.options.MaxMirror && packs <= maxPacks:
		return nil
	}
	return m.renew(ctx)
}

// renew makes an empty mirror.
func (m *mirror) renew(ctx context.Context) error {
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("empty a repository's cache: %w", err)
	}
	_, err := m.remote.run(ctx, nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--object-format="+m.format, m.dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(m.dir))
	}
	return nil
}

// maxOutput bounds what one git command may print, bytes: more than all files of a directory.
const maxOutput = 80 << 20

// maxAllocation bounds what git may take at once for one object, by a variable that git
// reads: a small pack can describe an object of any size.
const maxAllocation = "192m"

// command is a git command that ends with ctx. It starts no other, and connects nowhere.
func (r *Remote) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.git, args...) //nolint:gosec // git alone, with checked arguments
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=", "GIT_ALLOC_LIMIT=" + maxAllocation,
		"GIT_CONFIG_COUNT=4",
		"GIT_CONFIG_KEY_0=protocol.allow", "GIT_CONFIG_VALUE_0=never",
		"GIT_CONFIG_KEY_1=core.bigFileThreshold", "GIT_CONFIG_VALUE_1=1m", // what is larger is streamed
		"GIT_CONFIG_KEY_2=core.hooksPath", "GIT_CONFIG_VALUE_2=/dev/null",
		"GIT_CONFIG_KEY_3=gc.auto", "GIT_CONFIG_VALUE_3=0",
	}
	cmd.Dir = r.options.Dir
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run returns what a git command prints.
func (r *Remote) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &capped{buffer: &out, left: maxOutput}, &capped{buffer: &complaint, left: 4 << 10, cut: true}
	err := cmd.Run()
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, ended(ctx, "git")
	case errors.Is(err, errOutput):
		return nil, fault.Wrap(fault.TooLarge, err, "the repository lists more than %d bytes", maxOutput)
	}
	return nil, fmt.Errorf("git %s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, printable(complaint.String()))
}

// git runs a command in the mirror.
func (m *mirror) git(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return m.remote.run(ctx, stdin, append([]string{"--git-dir=" + m.dir}, args...)...)
}

// add takes a pack. Git computes the names of what is in it; a pack that is broken, or
// larger than is read, leaves nothing behind.
func (m *mirror) add(ctx context.Context, pack io.Reader) error {
	source := &remembering{inner: pack}
	limit := strconv.FormatInt(m.remote.options.MaxFetch, 10)
	_, err := m.git(ctx, source, "index-pack", "--stdin", "--threads=1", "--max-input-size="+limit)
	if cause := source.failed(); cause != nil {
		err = cause // what went wrong on the way is why git complained
	}
	if err == nil || fault.As(err) != nil || ctx.Err() != nil {
		return errors.Join(err, m.sweep(err))
	}
	var said *refusal
	if !errors.As(err, &said) && !errors.Is(err, errProtocol) {
		err = fault.Wrap(fault.Invalid, err, "the repository's objects are malformed or too large")
	}
	return errors.Join(err, m.sweep(err))
}

// sweep removes what an index-pack that failed has left.
func (m *mirror) sweep(failed error) error {
	if failed == nil {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "tmp_*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// kind is the kind of an object in the mirror, "" when it is not there.
func (m *mirror) kind(ctx context.Context, name string) (string, error) {
	out, err := m.git(ctx, nil, "cat-file", "-t", name)
	if exited(err) {
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// exited reports whether err is a git command that said no, not one that could not be run.
func exited(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}

// errOutput says that a command prints more than is read.
var errOutput = errors.New("git prints more than is read")

// capped keeps at most left bytes; more is errOutput, or with cut is dropped.
type capped struct {
	buffer *bytes.Buffer
	left   int
	cut    bool
}

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	keep := p[:min(len(p), c.left)]
	c.left -= len(keep)
	c.buffer.Write(keep)
	if len(keep) < len(p) && !c.cut {
		return len(keep), errOutput
	}
	return len(p), nil
}

// remembering keeps the error that ended a stream. Git may be gone while it is still read.
type remembering struct {
	inner io.Reader
	mu    sync.Mutex
	err   error
}

// Read implements io.Reader.
func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
	}
	return n, err
}

func (r *remembering) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
