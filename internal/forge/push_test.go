package forge_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/forge"
)

var ignoreTime = cmpopts.IgnoreFields(ci.RefChange{}, "At")

func TestPushAndClone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	first := must(t, dir, "rev-parse", "HEAD")
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	second := commit(t, dir, map[string]string{"a": "b"})
	must(t, dir, "tag", "-a", "-m", "one", "v1.0.0")
	must(t, dir, "push", h.remote("b-token", "shop"), "main", "v1.0.0", "main:refs/heads/next")

	want := [][]ci.RefChange{
		{{Ref: "refs/heads/main", Old: ci.NoCommit, New: first, Pusher: "alice"}},
		{
			{Ref: "refs/heads/main", Old: first, New: second, Pusher: "bob"},
			{Ref: "refs/heads/next", Old: ci.NoCommit, New: second, Pusher: "bob"},
			{Ref: "refs/tags/v1.0.0", Old: ci.NoCommit, New: second, Pusher: "bob"}, // the commit, not the tag object
		},
	}
	if diff := cmp.Diff(want, h.told(), ignoreTime); diff != "" {
		t.Errorf("Pushed was told: %s", diff)
	}
	refs, err := h.Refs(t.Context(), "shop")
	if diff := cmp.Diff(map[string]string{"refs/heads/main": second, "refs/heads/next": second, "refs/tags/v1.0.0": second}, refs); err != nil || diff != "" {
		t.Error(err, diff)
	}
	clone := t.TempDir()
	must(t, clone, "clone", "-q", h.remote("v-token", "shop"), "c")
	if got := must(t, filepath.Join(clone, "c"), "rev-parse", "HEAD"); got != second {
		t.Errorf("clone has %s, want %s", got, second)
	}
	must(t, dir, "push", h.remote("a-token", "shop"), "main") // nothing to do
	if n := len(h.told()); n != 2 {
		t.Errorf("a push that moves nothing was told: %d pushes", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	alice := h.remote("a-token", "shop")
	must(t, dir, "push", alice, "main", "main:feature", "HEAD:refs/tags/v1")
	commit(t, dir, map[string]string{"x": "1"})
	must(t, dir, "push", alice, "main")
	told := len(h.told())

	refused(t, "Authentication failed", dir, "push", h.remote("wrong", "shop"), "main")
	refused(t, "could not read Username", dir, "clone", "-q", h.url+"/git/shop.git", "c")
	refused(t, "not found", dir, "push", h.remote("a-token", "other"), "main")
	refused(t, "victor may not push", dir, "push", h.remote("v-token", "shop"), "main:y")
	refused(t, "protected and never deleted", dir, "push", alice, ":main")
	refused(t, "tags neither move nor go", dir, "push", "--force", alice, "HEAD:refs/tags/v1")
	refused(t, "tags neither move nor go", dir, "push", alice, ":refs/tags/v1")
	refused(t, "only branches and tags", dir, "push", alice, "HEAD:refs/drawbridge/x")
	refused(t, "at most 255 bytes", dir, "push", alice, "HEAD:refs/heads/"+strings.Repeat("long/", 60)+"x")
	refused(t, "is UTF-8", dir, "push", alice, "HEAD:refs/heads/\xff")
	refused(t, "holds a ref that is refused", dir, "push", alice, "HEAD:refs/heads/fine", "HEAD:refs/notes/x")

	must(t, dir, "checkout", "-q", "HEAD~1")
	commit(t, dir, map[string]string{"x": "2"})
	refused(t, "non-fast-forward", dir, "push", "--force", alice, "HEAD:main")
	if got := len(h.told()); got != told {
		t.Errorf("%d pushes were told although they were refused", got-told)
	}
	if entries, err := os.ReadDir(h.dir); err != nil || len(entries) != 2 { // shop.git and tmp
		t.Errorf("after refusals the directory holds %v, %v", entries, err)
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("pushes were left behind: %v, %v", left, err)
	}
	must(t, dir, "push", "--force", alice, "HEAD:feature") // other branches may
	must(t, dir, "push", alice, ":feature")
	last := h.told()[len(h.told())-1]
	if len(last) != 1 || last[0].New != ci.NoCommit {
		t.Errorf("the deletion of a branch was told as %v", last)
	}
}

// A client that lies about what a tag was gets no further than git itself.
func TestTagCannotMoveByALie(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	alice := h.remote("a-token", "shop")
	must(t, dir, "push", alice, "main", "HEAD:refs/tags/v1")
	other := commit(t, dir, nil)
	must(t, dir, "push", alice, "main")
	text := ci.NoCommit + " " + other + " refs/tags/v1\x00 report-status"
	body := hexLine(text) + "0000PACK\x00\x00\x00\x02\x00\x00\x00\x00\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"
	status, answer := h.post(t, "a-token", "shop", body, "")
	if status != http.StatusOK || !strings.Contains(answer, "ng refs/tags/v1") {
		t.Errorf("answer = %d %q, want ng", status, answer)
	}
	if refs, err := h.Refs(t.Context(), "shop"); err != nil || refs["refs/tags/v1"] == other {
		t.Errorf("the tag moved: %v, %v", refs, err)
	}
}

func TestMalformedPush(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *forge.Config) { c.MaxPush = 1 << 20 })
	for name, test := range map[string]struct {
		body, encoding string
		status         int
	}{
		"empty":         {"", "", 400},
		"no pkt-line":   {"hello world", "", 400},
		"cut":           {"00ff" + ci.NoCommit, "", 400},
		"short length":  {"0003", "", 400},
		"no flush":      {hexLine(ci.NoCommit + " " + ci.NoCommit + " refs/heads/x"), "", 400},
		"no command":    {hexLine("push-cert x") + "0000", "", 400},
		"not gzip":      {"0000", "gzip", 400},
		"probe":         {"0000", "", 200},
		"over the size": {strings.Repeat("0", 1<<20+1), "", 413},
		"many refs":     {strings.Repeat(hexLine(ci.NoCommit+" "+ci.NoCommit+" refs/heads/x"), 1001) + "0000", "", 413},
	} {
		if status, answer := h.post(t, "a-token", "shop", test.body, test.encoding); status != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, status, test.status, answer)
		}
	}
	if len(h.told()) != 0 {
		t.Errorf("malformed pushes were told: %v", h.told())
	}
}

func TestBigPush(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *forge.Config) { c.MaxPush = 12 << 20 })
	dir := work(t)
	noise := make([]byte, 6<<20) // more than git buffers: it comes in chunks
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	sha := commit(t, dir, map[string]string{"noise": string(noise)})
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	if refs, err := h.Refs(t.Context(), "shop"); err != nil || refs["refs/heads/main"] != sha {
		t.Errorf("refs = %v, %v, want %s", refs, err, sha)
	}
	_, _ = random.Read(noise)
	commit(t, dir, map[string]string{"more": string(noise), "again": string(noise[:1<<20])})
	_, _ = random.Read(noise)
	commit(t, dir, map[string]string{"most": string(noise)})
	if out, err := git(t, dir, "push", h.remote("a-token", "shop"), "main"); err == nil {
		t.Errorf("a push over the limit was taken: %s", out)
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("pushes were left behind: %v, %v", left, err)
	}
}

// Pushes at once are each told once, with their own pusher.
func TestConcurrentPushes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const n = 6
	var wg sync.WaitGroup
	for i := range n {
		dir := work(t)
		token := []string{"a-token", "b-token"}[i%2]
		commit(t, dir, map[string]string{"n": strconv.Itoa(i)})
		wg.Go(func() {
			if out, err := git(t, dir, "push", h.remote(token, "shop"), "main:refs/heads/b"+strconv.Itoa(i)); err != nil {
				t.Errorf("push %d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	seen := map[string]string{}
	for _, changes := range h.told() {
		for _, c := range changes {
			if seen[c.Ref] != "" {
				t.Errorf("%s was told twice", c.Ref)
			}
			seen[c.Ref] = c.Pusher
		}
	}
	for i := range n {
		if got, want := seen["refs/heads/b"+strconv.Itoa(i)], []string{"alice", "bob"}[i%2]; got != want {
			t.Errorf("push %d was told as %q's, want %q", i, got, want)
		}
	}
}

// Two pushes of one branch at once: one is taken, the other hears of it.
func TestRace(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	base := work(t)
	must(t, base, "push", h.remote("a-token", "shop"), "main")
	var wg sync.WaitGroup
	results, dirs := make([]error, 2), []string{t.TempDir(), t.TempDir()}
	for i, dir := range dirs {
		must(t, dir, "clone", "-q", h.remote("a-token", "shop"), ".")
		commit(t, dir, map[string]string{"n": strconv.Itoa(i)})
	}
	for i, dir := range dirs {
		wg.Go(func() { _, results[i] = git(t, dir, "push", h.remote("a-token", "shop"), "main") })
	}
	wg.Wait()
	if (results[0] == nil) == (results[1] == nil) {
		t.Errorf("results = %v, want one to be taken", results)
	}
	if n := len(h.told()); n != 2 {
		t.Errorf("told of %d pushes, want 2", n)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if err := os.MkdirAll(filepath.Join(h.dir, "..", "evil.git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/git/shop.git/info/refs?service=git-upload-pack", 200},
		{"GET", "/git/shop.git/info/refs", 403}, // dumb HTTP
		{"GET", "/git/shop.git/info/refs?service=git-upload-archive", 403},
		{"GET", "/git/shop.git/HEAD", 404},
		{"GET", "/git/shop.git/config", 404},
		{"GET", "/git/shop.git/objects/info/packs", 404},
		{"GET", "/git/..%2fevil.git/info/refs?service=git-upload-pack", 404},
		{"GET", "/git/../evil.git/info/refs?service=git-upload-pack", 404},
		{"GET", "/git/tmp/x.git/info/refs?service=git-upload-pack", 404},
		{"GET", "/git/Shop.git/info/refs?service=git-upload-pack", 404},
		{"GET", "/git/-c.git/info/refs?service=git-upload-pack", 404},
		{"GET", "/git/.git/info/refs?service=git-upload-pack", 404},
		{"POST", "/git/shop.git/info/refs?service=git-upload-pack", 400},
		{"GET", "/git/shop.git/git-upload-pack", 400},
	} {
		if status, answer := h.do(t, test.method, test.path, "a-token", "", ""); status != test.status {
			t.Errorf("%s %s = %d, want %d: %.80s", test.method, test.path, status, test.status, answer)
		}
	}
	for _, path := range []string{"/git/shop.git/info/refs?service=git-upload-pack", "/git/none.git/info/refs?service=git-upload-pack", "/git/x"} {
		if status, _ := h.do(t, "GET", path, "wrong", "", ""); status != http.StatusUnauthorized {
			t.Errorf("GET %s with a wrong token = %d, want 401", path, status)
		}
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, name := range []string{"", ".", "..", "a/b", "../x", "A", "-x", "x.git", "x y", strings.Repeat("a", 64), "x\x00"} {
		if err := h.Create(t.Context(), name); !fault.Is(err, fault.Invalid) {
			t.Errorf("Create(%q) = %v, want invalid", name, err)
		}
	}
	dir := work(t)
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	if err := h.Create(t.Context(), "shop"); err != nil {
		t.Errorf("Create again: %v", err)
	}
	if refs, err := h.Refs(t.Context(), "shop"); err != nil || len(refs) != 1 {
		t.Errorf("Create again lost refs: %v, %v", refs, err)
	}
	if err := h.Create(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	names, err := h.Names()
	if diff := cmp.Diff([]string{"another", "shop"}, names); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
