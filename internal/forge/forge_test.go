package forge_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/forge"
	"drawbridge/internal/identity"
)

// host is a Git host with one repository, "shop", and what it was told of pushes.
type host struct {
	*forge.Forge
	dir string
	url string

	mu     sync.Mutex
	pushes [][]ci.RefChange
	known  map[string]string // what the last push that was taken made of each ref
	fail   error
}

// pushTime is when every push arrives.
var pushTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// secrets are the tokens: their owners, and whether they may push.
var secrets = map[string]struct {
	name string
	push bool
}{"a-token": {"alice", true}, "b-token": {"bob", true}, "v-token": {"victor", false}}

func newHost(t *testing.T, change ...func(*forge.Config)) *host {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is not installed")
		}
		t.Skip("git is not installed")
	}
	h := &host{dir: t.TempDir(), known: map[string]string{}}
	cfg := forge.Config{
		Dir: h.dir, Now: func() time.Time { return pushTime },
		Authorize: func(r *http.Request) (string, bool, error) {
			who, ok := secrets[identity.Secret(r)]
			if !ok {
				return "", false, fault.New(fault.Unauthenticated, "no valid token")
			}
			return who.name, who.push, nil
		},
		Pushed: func(_ context.Context, repository string, changes []ci.RefChange) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if repository != "shop" {
				t.Errorf("Pushed for %q", repository)
			}
			h.pushes = append(h.pushes, changes)
			if h.fail != nil {
				return h.fail
			}
			for _, c := range changes {
				h.known[c.Ref] = c.New
				if c.New == ci.NoCommit {
					delete(h.known, c.Ref)
				}
			}
			return nil
		},
		Known: func(context.Context, string) (map[string]string, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return maps.Clone(h.known), nil
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if h.Forge, err = forge.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := h.Create(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// remote is a repository's address with a token in it.
func (h *host) remote(token, repository string) string {
	return strings.Replace(h.url, "http://", "http://x:"+token+"@", 1) + "/git/" + repository + ".git"
}

func (h *host) told() [][]ci.RefChange {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pushes
}

// git runs git in dir and returns what it says.
func git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=mallory", "GIT_AUTHOR_EMAIL=m@example.com", "GIT_COMMITTER_NAME=mallory", "GIT_COMMITTER_EMAIL=m@example.com",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// refused runs a git command that must fail and say want.
func refused(t *testing.T, want, dir string, args ...string) {
	t.Helper()
	out, err := git(t, dir, args...)
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("git %v: %v, want a failure with %q, not:\n%s", args, err, want, out)
	}
}

// work makes a work tree with one commit.
func work(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, map[string]string{"README": "hello\n"})
	return dir
}

// commit writes files and commits them; it returns the commit.
func commit(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	must(t, dir, "add", "-A")
	must(t, dir, "commit", "-q", "--allow-empty", "-m", "change")
	return must(t, dir, "rev-parse", "HEAD")
}
