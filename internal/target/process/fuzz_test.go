package process_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drawbridge/internal/fault"
	"drawbridge/internal/target/process"
	"drawbridge/internal/target/targettest"
)

// FuzzLayer unpacks any bytes as a layer: nothing may be written outside, nothing that
// stays may lead outside, and what is wrong must be the image's fault.
func FuzzLayer(f *testing.F) {
	f.Add(layer(f, file("a", "1"), link("l", "a"), hard("h", "a"), dir("d")))
	f.Add(layer(f, file("../evil", "1")))
	f.Add(layer(f, link("l", ".."), file("l/evil", "1")))
	f.Add(layer(f, dir("a/b"), link("a/b/c", "../.."), link("a/b/c/l", "../evil")))
	f.Add(layer(f, file(".wh..wh..opq", ""), file(".wh...", ""), special("x", tar.TypeChar)))
	f.Add(gzipped(f, layer(f, link("l", "/abs/olute"))))
	f.Add([]byte("no archive at all"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := newBench(t, func(c *process.Config) { c.Limits = process.Limits{Bytes: 1 << 20, Entries: 100} })
		evil := filepath.Join(b.config.Dir, "unpacked", "evil")
		if err := os.WriteFile(evil, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := unpack(t, b, b.images.Image(t, targettest.Config{}, body))
		if kind := fault.KindOf(err); err != nil && kind != fault.Refused && kind != fault.TooLarge {
			t.Errorf("the error is %v of kind %s", err, kind)
		}
		if kept, _ := os.ReadFile(evil); string(kept) != "mine" {
			t.Errorf("the file beside is %q", kept)
		}
		left, _ := filepath.Glob(filepath.Join(b.config.Dir, "unpacked", "*"))
		if (err == nil) != (len(left) == 2) {
			t.Errorf("after %v there is %q", err, left)
		}
		if err == nil {
			nothingLeadsOut(t, root)
		}
	})
}

func nothingLeadsOut(t *testing.T, root string) {
	t.Helper()
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, what := range listing(t, root) {
		if !strings.HasPrefix(what, "-> ") {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(root, name))
		if err == nil && to != real && !strings.HasPrefix(to, real+"/") {
			t.Errorf("%s leads to %s", name, to)
		}
	}
}
