package remote_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/remote"
)

// now is the clock of every test.
var now = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// host is a Git host with one repository, /shop.git, and a work tree of it.
type host struct {
	t    *testing.T
	git  string
	root string
	work string
	url  string // of the host

	mu     sync.Mutex
	asked  []string // "METHOD PATH"
	before func(w http.ResponseWriter, r *http.Request) (done bool)
}

func newHost(t *testing.T) *host {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is not installed")
		}
		t.Skip("git is not installed")
	}
	h := &host{t: t, git: git, root: t.TempDir(), work: t.TempDir()}
	h.run(h.root, "init", "-q", "--bare", "--initial-branch=main", "shop.git")
	for key, value := range map[string]string{"uploadpack.allowFilter": "true", "uploadpack.allowAnySHA1InWant": "true"} {
		h.run(filepath.Join(h.root, "shop.git"), "config", key, value)
	}
	h.run(h.work, "init", "-q", "--initial-branch=main")
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path)
	before := h.before
	h.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	(&cgi.Handler{
		Path: h.git, Args: []string{"http-backend"}, Dir: h.root, Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + h.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent", "LC_ALL=C"},
	}).ServeHTTP(w, r)
}

// first has before see each request; what it has answered goes no further.
func (h *host) first(before func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = before
}

// requests are how many came since the last call.
func (h *host) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.asked)
	h.asked = nil
	return n
}

func (h *host) run(dir string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(h.git, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_AUTHOR_NAME=alice", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=bob", "GIT_COMMITTER_EMAIL=b@example.com", "GIT_COMMITTER_DATE=1700000000 +0000", "GIT_AUTHOR_DATE=1690000000 +0000",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, commits them and returns the commit.
func (h *host) commit(subject string, files map[string]string) string {
	h.t.Helper()
	for name, text := range files {
		name = filepath.Join(h.work, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	h.run(h.work, "add", "-A")
	h.run(h.work, "commit", "-q", "--allow-empty", "-m", subject)
	return h.run(h.work, "rev-parse", "HEAD")
}

func (h *host) push(refs ...string) {
	h.t.Helper()
	h.run(h.work, append([]string{"push", "-q", "-f", filepath.Join(h.root, "shop.git")}, refs...)...)
}

func (h *host) shop() string { return h.url + "/shop" }

func newRemote(t *testing.T, change ...func(*remote.Options)) *remote.Remote {
	t.Helper()
	options := remote.Options{Dir: t.TempDir(), Now: func() time.Time { return now }}
	for _, c := range change {
		c(&options)
	}
	r, err := remote.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v, want a fault of kind %s", what, err, kind)
	}
	if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%s = %q, want one line", what, err)
	}
}

// versions are the protocols that hosts speak, and hosts that cannot filter.
var versions = map[string]func(*host){
	"version 2": func(*host) {},
	"version 0": func(h *host) {
		h.first(func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Git-Protocol"); return false })
	},
	"version 1": func(h *host) {
		h.first(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("Git-Protocol", "version=1")
			return false
		})
	},
	"without filter": func(h *host) {
		h.run(filepath.Join(h.root, "shop.git"), "config", "uploadpack.allowFilter", "false")
	},
}

func TestAllFour(t *testing.T) {
	t.Parallel()
	for name, change := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			change(h)
			first := h.commit("first", map[string]string{"environments/dev.yaml": "a: 1\n", "README": "r"})
			h.run(h.work, "tag", "-a", "-m", "annotated", "v1")
			second := h.commit("second", map[string]string{"environments/dev.yaml": "a: 2\n", "environments/copy.yaml": "a: 2\n", "environments/empty": ""})
			h.run(h.work, "tag", "light")
			h.run(h.work, "checkout", "-q", "-b", "side/one", first)
			side := h.commit("side", map[string]string{"s": "s"})
			h.push("main", "side/one", "v1", "light", "main:refs/notes/x")
			r := newRemote(t)

			refs, err := r.Refs(t.Context(), h.shop())
			want := fmt.Sprint(map[string]string{"refs/heads/main": second, "refs/heads/side/one": side, "refs/tags/v1": first, "refs/tags/light": second})
			if err != nil || fmt.Sprint(refs) != want {
				t.Errorf("Refs = %v, %v, want %s", refs, err, want)
			}
			c, err := r.Commit(t.Context(), h.shop(), second)
			if err != nil || c.ID != second || c.Subject != "second" || c.Committer != "bob" || len(c.Parents) != 1 || c.Parents[0] != first {
				t.Errorf("Commit = %+v, %v", c, err)
			}
			if raw := h.run(h.work, "cat-file", "commit", second); strings.TrimSpace(string(c.Raw)) != raw {
				t.Errorf("raw commit %q, want %q", c.Raw, raw)
			}
			files, err := r.Files(t.Context(), h.shop(), second, "environments")
			if want := fmt.Sprint(map[string][]byte{"dev.yaml": []byte("a: 2\n"), "copy.yaml": []byte("a: 2\n"), "empty": {}}); err != nil || fmt.Sprint(files) != want {
				t.Errorf("Files = %v, %v, want %s", files, err, want)
			}
			h.requests()
			if files, err := r.Files(t.Context(), h.shop(), second, "environments"); err != nil || len(files) != 3 || h.requests() != 0 {
				t.Errorf("Files again = %v, %v, want no request", files, err)
			}
			if files, err := r.Files(t.Context(), h.shop(), first, ""); err != nil || string(files["README"]) != "r" || len(files) != 1 {
				t.Errorf("Files of the root = %v, %v", files, err)
			}
			unknown := strings.Repeat("1", 40)
			for _, row := range []struct {
				name, old, now string
				want           bool
			}{
				{"parent", first, second, true},
				{"child", second, first, false},
				{"same", second, second, true},
				{"sibling", side, second, false},
				{"unknown", unknown, second, false},
				{"no name", "--all", second, false},
			} {
				if got, err := r.Ancestor(t.Context(), h.shop(), row.old, row.now); err != nil || got != row.want {
					t.Errorf("Ancestor of %s = %v, %v, want %v", row.name, got, err, row.want)
				}
			}
			for name, call := range map[string]func() error{
				"Commit":   func() error { _, err := r.Commit(t.Context(), h.shop(), unknown); return err },
				"Files":    func() error { _, err := r.Files(t.Context(), h.shop(), unknown, ""); return err },
				"Ancestor": func() error { _, err := r.Ancestor(t.Context(), h.shop(), first, unknown); return err },
			} {
				wantKind(t, name+" of nothing", call(), fault.NotFound)
			}
		})
	}
}

func TestLongHistory(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	first := h.commit("first", nil)
	for i := range 30 {
		h.commit(fmt.Sprint(i), nil)
	}
	h.run(h.work, "checkout", "-q", "-b", "side", first)
	h.commit("side", nil)
	h.run(h.work, "merge", "-q", "-m", "merge", "main")
	last := h.run(h.work, "rev-parse", "HEAD")
	h.push("main", "side")
	r := newRemote(t)
	if got, err := r.Ancestor(t.Context(), h.shop(), first, last); err != nil || !got {
		t.Errorf("Ancestor = %v, %v, want true", got, err)
	}
}

func TestObjectsNamedBySHA256(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, dir := range []string{h.work, filepath.Join(h.root, "shop.git")} {
		for _, old := range []string{".git", "objects", "refs", "HEAD", "config"} {
			if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.run(h.root, "init", "-q", "--bare", "--object-format=sha256", "--initial-branch=main", "shop.git")
	h.run(filepath.Join(h.root, "shop.git"), "config", "uploadpack.allowFilter", "true")
	h.run(h.work, "init", "-q", "--object-format=sha256", "--initial-branch=main")
	first := h.commit("first", map[string]string{"a/b": "c"})
	last := h.commit("second", nil)
	h.push("main")
	r := newRemote(t)
	if refs, err := r.Refs(t.Context(), h.shop()); err != nil || refs["refs/heads/main"] != last || len(last) != 64 {
		t.Errorf("Refs = %v, %v", refs, err)
	}
	if files, err := r.Files(t.Context(), h.shop(), last, "a"); err != nil || string(files["b"]) != "c" {
		t.Errorf("Files = %v, %v", files, err)
	}
	if got, err := r.Ancestor(t.Context(), h.shop(), first, last); err != nil || !got {
		t.Errorf("Ancestor = %v, %v", got, err)
	}
	_, err := r.Commit(t.Context(), h.shop(), strings.Repeat("1", 40))
	wantKind(t, "Commit of the other format", err, fault.NotFound)
}

func TestEmptyRepository(t *testing.T) {
	t.Parallel()
	for name, change := range versions {
		h := newHost(t)
		change(h)
		if refs, err := newRemote(t).Refs(t.Context(), h.shop()+".git"); err != nil || len(refs) != 0 {
			t.Errorf("%s: Refs = %v, %v, want none", name, refs, err)
		}
		_, err := newRemote(t).Commit(t.Context(), h.shop(), strings.Repeat("1", 40))
		wantKind(t, name+": Commit in an empty repository", err, fault.NotFound)
		_, err = newRemote(t).Refs(t.Context(), h.url+"/other")
		wantKind(t, name+": Refs of nothing", err, fault.NotFound)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sha := h.commit("first", map[string]string{"a": "b"})
	h.push("main")
	h.first(func(w http.ResponseWriter, r *http.Request) bool {
		if user, token, _ := r.BasicAuth(); user == "drawbridge" && token == "s3cret" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, err := newRemote(t).Refs(t.Context(), h.shop())
	wantKind(t, "Refs without a token", err, fault.Forbidden)
	r := newRemote(t, func(o *remote.Options) {
		o.Auth = func(host string) (string, string) {
			if host != strings.TrimPrefix(h.url, "http://") {
				t.Errorf("a token was asked for %s", host)
			}
			return "", "s3cret"
		}
	})
	if _, err := r.Files(t.Context(), h.shop(), sha, ""); err != nil {
		t.Errorf("Files with a token = %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sha := h.commit("first", map[string]string{"a": "b"})
	h.push("main")
	for _, name := range []string{"b.git", "c.git"} {
		h.run(h.root, "clone", "-q", "--bare", "shop.git", name)
	}
	dir := t.TempDir()
	options := func(o *remote.Options) { o.Dir, o.Mirrors = dir, 2 }
	r := newRemote(t, options)
	count := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for range 2 {
		for _, name := range []string{"shop", "b", "c"} {
			if _, err := r.Files(t.Context(), h.url+"/"+name, sha, ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(); n != 2 {
			t.Errorf("%d mirrors are kept, want 2", n)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newRemote(t, options)
	if n := count(); n != 1 {
		t.Errorf("%d entries are left by the next start, want the one that is not ours", n)
	}

	// What has grown over the limit is made anew.
	small := newRemote(t, func(o *remote.Options) { o.MaxMirror = 1 })
	for range 2 {
		h.requests()
		if _, err := small.Files(t.Context(), h.shop(), sha, ""); err != nil || h.requests() == 0 {
			t.Errorf("Files = %v, want it to be fetched anew", err)
		}
	}
}

func TestParallelCalls(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sha := h.commit("first", map[string]string{"a": "b"})
	h.push("main")
	r := newRemote(t, func(o *remote.Options) { o.Mirrors = 1 })
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if files, err := r.Files(t.Context(), h.shop(), sha, ""); err != nil || string(files["a"]) != "b" {
				t.Errorf("Files = %v, %v", files, err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Files(ctx, h.shop(), sha, ""); err == nil {
		t.Error("a call that was given up succeeded")
	}
}

var _ bridge.Sources = (*remote.Remote)(nil)
