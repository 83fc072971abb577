package forge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

func TestCommit(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	first := commit(t, dir, map[string]string{"a": "1"})
	second := commit(t, dir, map[string]string{"a": "2"})
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	got, err := h.Commit(t.Context(), "shop", second)
	if err != nil || got.ID != second || len(got.Parents) != 1 || got.Parents[0] != first || got.Committer != "mallory" || got.CommitterMail != "m@example.com" {
		t.Errorf("Commit = %+v, %v", got, err)
	}
	if raw := must(t, dir, "cat-file", "commit", second); strings.TrimSpace(string(got.Raw)) != raw {
		t.Errorf("raw commit %q, want %q", got.Raw, raw)
	}
	tree := must(t, dir, "rev-parse", second+"^{tree}")
	for name, id := range map[string]string{"a tree": tree, "nothing": strings.Repeat("0", 40), "a ref": "main", "an option": "--help", "short": second[:12]} {
		if _, err := h.Commit(t.Context(), "shop", id); !fault.Is(err, fault.NotFound) {
			t.Errorf("Commit of %s = %v, want not found", name, err)
		}
	}
	if _, err := h.Commit(t.Context(), "../shop", second); !fault.Is(err, fault.NotFound) {
		t.Errorf("Commit elsewhere = %v, want not found", err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	if err := os.MkdirAll(filepath.Join(dir, "env"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "env", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"root": "r", "env/a.yaml": "a\n", "env/empty": "", "env/odd\n[name]": "odd", "env/sub/x": "x",
		"big/x": strings.Repeat("x", bridge.MaxFile+1), "limit/x": strings.Repeat("x", bridge.MaxFile), "links/sub/x": "",
	}
	for i := range bridge.MaxFiles + 1 {
		files[fmt.Sprintf("many/%d", i)] = "x"
	}
	sha := commit(t, dir, files)
	must(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+sha+",env/module")
	must(t, dir, "commit", "-q", "-m", "a submodule")
	sha = must(t, dir, "rev-parse", "HEAD")
	must(t, dir, "push", h.remote("a-token", "shop"), "main")

	got, err := h.Files(t.Context(), "shop", sha, "env")
	want := map[string][]byte{"a.yaml": []byte("a\n"), "empty": {}, "odd\n[name]": []byte("odd")}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("Files = %v, %v", err, cmp.Diff(want, got))
	}
	if got, err := h.Files(t.Context(), "shop", sha, ""); err != nil || string(got["root"]) != "r" {
		t.Errorf("Files of the root = %v, %v", got, err)
	}
	if got, err := h.Files(t.Context(), "shop", sha, "limit"); err != nil || len(got["x"]) != bridge.MaxFile {
		t.Errorf("Files at the limit = %v", err)
	}
	if got, err := h.Files(t.Context(), "shop", sha, "links"); err != nil || len(got) != 0 {
		t.Errorf("Files of directories = %v, %v", got, err)
	}
	for where, kind := range map[string]fault.Kind{
		"big": fault.TooLarge, "many": fault.TooLarge, "missing": fault.NotFound, "root": fault.NotFound, "env/link.yaml": fault.NotFound,
		"env/module": fault.NotFound, "../shop.git": fault.NotFound, "/": fault.NotFound, "env/": fault.NotFound, ".": fault.NotFound, "-l": fault.NotFound,
	} {
		if _, err := h.Files(t.Context(), "shop", sha, where); !fault.Is(err, kind) {
			t.Errorf("Files of %q = %v, want %s", where, err, kind)
		}
	}
}

func TestAncestor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	first := commit(t, dir, map[string]string{"a": "1"})
	second := commit(t, dir, map[string]string{"a": "2"})
	must(t, dir, "checkout", "-q", "-b", "side", first)
	side := commit(t, dir, map[string]string{"b": "1"})
	must(t, dir, "push", h.remote("a-token", "shop"), "main", "side")
	unknown := strings.Repeat("1", 40)
	for _, row := range []struct {
		old, now string
		want     bool
	}{{first, second, true}, {second, first, false}, {first, first, true}, {side, second, false}, {unknown, second, false}} {
		if got, err := h.Ancestor(t.Context(), "shop", row.old, row.now); err != nil || got != row.want {
			t.Errorf("Ancestor(%.6s, %.6s) = %v, %v, want %v", row.old, row.now, got, err, row.want)
		}
	}
	if _, err := h.Ancestor(t.Context(), "shop", first, unknown); !fault.Is(err, fault.NotFound) {
		t.Errorf("Ancestor of nothing = %v", err)
	}
}
