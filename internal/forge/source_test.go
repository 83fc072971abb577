package forge_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/fault"
)

func TestSource(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := work(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	sha := commit(t, dir, map[string]string{
		"hidden": "secret tests\n", ".gitattributes": "hidden export-ignore\nREADME export-subst\n", "README": "$Format:%H$\n",
		"big":                              strings.Repeat("x", 4<<20+1),
		".github/workflows/old.yml":        "x",
		".drawbridge/workflows/b.yaml":     "b",
		".drawbridge/workflows/a.yml":      "a",
		".drawbridge/workflows/notes.txt":  "n",
		".drawbridge/workflows/sub/c.yaml": "c",
		"odd [name]*":                      "odd",
	})
	must(t, dir, "push", h.remote("a-token", "shop"), "main")

	var b bytes.Buffer
	if err := h.Archive(t.Context(), "shop", sha, &b); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(&b); ; {
		head, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		files[head.Name] = string(text)
	}
	if files["hidden"] != "secret tests\n" || files["README"] != "$Format:%H$\n" {
		t.Errorf("attributes changed what was committed: %q, %q", files["hidden"], files["README"])
	}

	for name, test := range map[string]struct {
		path, want string
		kind       fault.Kind
	}{
		"file":            {"hidden", "secret tests\n", ""},
		"nested":          {".drawbridge/workflows/a.yml", "a", ""},
		"odd name":        {"odd [name]*", "odd", ""},
		"no pattern":      {"odd*", "", fault.NotFound},
		"missing":         {"nothing", "", fault.NotFound},
		"directory":       {".drawbridge", "", fault.NotFound},
		"link":            {"link", "", fault.NotFound},
		"up":              {"../shop.git/config", "", fault.NotFound},
		"absolute":        {"/etc/passwd", "", fault.NotFound},
		"not clean":       {"./hidden", "", fault.NotFound},
		"trailing slash":  {"hidden/", "", fault.NotFound},
		"empty":           {"", "", fault.NotFound},
		"looks an option": {"--help", "", fault.NotFound},
		"nul":             {"hidden\x00", "", fault.NotFound},
		"too big":         {"big", "", fault.TooLarge},
	} {
		got, err := h.File(t.Context(), "shop", sha, test.path)
		if test.kind == "" && (err != nil || string(got) != test.want) || test.kind != "" && !fault.Is(err, test.kind) {
			t.Errorf("%s: File(%q) = %.40q, %v, want %q %s", name, test.path, got, err, test.want, test.kind)
		}
	}

	got, err := h.Workflows(t.Context(), "shop", sha)
	if diff := cmp.Diff([]string{".drawbridge/workflows/a.yml", ".drawbridge/workflows/b.yaml"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	must(t, dir, "rm", "-rq", ".drawbridge")
	sha = commit(t, dir, nil)
	must(t, dir, "push", h.remote("a-token", "shop"), "main")
	got, err = h.Workflows(t.Context(), "shop", sha)
	if diff := cmp.Diff([]string{".github/workflows/old.yml"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}

	tree := must(t, dir, "rev-parse", "HEAD^{tree}")
	for name, commit := range map[string]string{
		"a tree": tree, "a branch": "main", "an option": "--output=/tmp/x", "unknown": strings.Repeat("a", 40),
		"short": sha[:12], "empty": "", "upper case": strings.ToUpper(sha), "a range": sha + "^",
	} {
		if err := h.Archive(t.Context(), "shop", commit, io.Discard); !fault.Is(err, fault.NotFound) {
			t.Errorf("Archive of %s = %v, want not-found", name, err)
		}
		if got, err := h.File(t.Context(), "shop", commit, "hidden"); !fault.Is(err, fault.NotFound) {
			t.Errorf("File of %s = %.40q, %v, want not-found", name, got, err)
		}
		if got, err := h.Workflows(t.Context(), "shop", commit); !fault.Is(err, fault.NotFound) {
			t.Errorf("Workflows of %s = %q, %v, want not-found", name, got, err)
		}
	}
	if _, err := h.Workflows(t.Context(), "../shop", sha); !fault.Is(err, fault.NotFound) {
		t.Errorf("Workflows of ../shop = %v, want not-found", err)
	}
}
