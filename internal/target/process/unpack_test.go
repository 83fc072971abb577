package process_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/target/process"
	"drawbridge/internal/target/targettest"
)

// entry is one entry of a layer.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}, body}
}

func link(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, ""}
}

func hard(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
}

func dir(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o700}, ""}
}

func special(name string, kind byte) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Devmajor: 1, Devminor: 3}, ""}
}

func layer(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack applies an image whose command cannot run: what is wrong with its layers comes
// first. It gives the unpacked root.
func unpack(t testing.TB, b *bench, ref artifact.Reference) (string, error) {
	t.Helper()
	v := cd.Version{Release: "r", Name: "1.0.0", Image: ref, Weight: 100, Spec: cd.TargetSpec{Process: &cd.ProcessSpec{Command: nil}}}
	_, err := b.target.Apply(t.Context(), targettest.Key(1), targettest.Desired("", v))
	root := filepath.Join(b.config.Dir, "unpacked", "sha256-"+ref.Digest.Hex(), "root")
	if fault.Is(err, fault.Invalid) && strings.Contains(err.Error(), "no entrypoint") {
		return root, nil
	}
	return root, err
}

// listing is every file with its content and every link with its target, by path.
func listing(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name, _ := filepath.Rel(root, p)
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			out[name] = "-> " + target
			return err
		}
		body, err := os.ReadFile(p)
		out[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUnpackLayers(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		layers [][]byte
		want   map[string]string
	}{
		"files, directories and links": {
			[][]byte{layer(t, dir("app/"), file("./app/a", "1"), file("/absolute", "2"), link("app/up", "../absolute"), hard("app/b", "app/a"), link("deep/abs", "/app/a"))},
			map[string]string{"app/a": "1", "app/b": "1", "absolute": "2", "app/up": "-> ../absolute", "deep/abs": "-> ../app/a"},
		},
		"a later layer wins": {
			[][]byte{layer(t, file("a", "1"), file("b", "1"), file("c/d", "1")), layer(t, file("a", "2"), file("b/x", "2"), file("c", "2"))},
			map[string]string{"a": "2", "b/x": "2", "c": "2"},
		},
		"a whiteout takes away what is below, not beside": {
			[][]byte{layer(t, file("d/a", "1"), file("d/b", "1"), file("e/f/g", "1")), layer(t, file("d/b", "2"), file("d/.wh.b", ""), file("d/.wh.a", ""), file(".wh.e", ""))},
			map[string]string{"d/b": "2"},
		},
		"an opaque directory keeps its own": {
			[][]byte{layer(t, file("d/a", "1"), file("d/s/b", "1")), layer(t, file("d/s/c", "2"), file("d/.wh..wh..opq", ""))},
			map[string]string{"d/s/c": "2"},
		},
		"a layer writes through a link of a lower one": {
			[][]byte{layer(t, dir("usr/bin"), link("bin", "usr/bin")), layer(t, file("bin/sh", "2"), link("bin/ash", "sh"), link("bin/x", "/etc"))},
			map[string]string{"bin": "-> usr/bin", "usr/bin/sh": "2", "usr/bin/ash": "-> sh", "usr/bin/x": "-> ../../etc"},
		},
		"a file takes the place of a link, it does not follow it": {
			[][]byte{layer(t, file("a", "1"), link("l", "a")), layer(t, file("l", "2"))},
			map[string]string{"a": "1", "l": "2"},
		},
		"gzip and zstd": {
			[][]byte{gzipped(t, layer(t, file("a", "1"))), zstded(t, layer(t, file("b", "2")))},
			map[string]string{"a": "1", "b": "2"},
		},
		"no layers": {nil, map[string]string{}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			root, err := unpack(t, b, b.images.Image(t, targettest.Config{}, row.layers...))
			if err != nil {
				t.Fatal(err)
			}
			got := listing(t, root)
			for p, want := range row.want {
				if got[p] != want {
					t.Errorf("%s is %q, want %q", p, got[p], want)
				}
				delete(got, p)
			}
			if len(got) > 0 {
				t.Errorf("there is more than wanted: %v", got)
			}
		})
	}
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestHostileLayersAreRefused(t *testing.T) {
	t.Parallel()
	rows := map[string][]entry{
		"a path upwards":                     {file("../evil", "x")},
		"a path upwards in the middle":       {file("a/../../evil", "x")},
		"an absolute path upwards":           {file("/../evil", "x")},
		"a character device":                 {special("null", tar.TypeChar)},
		"a block device":                     {special("disk", tar.TypeBlock)},
		"a named pipe":                       {special("pipe", tar.TypeFifo)},
		"a link upwards":                     {link("l", "../evil")},
		"a link down and upwards":            {link("a/l", "b/../../../evil")},
		"a link behind a link upwards":       {dir("a/b"), link("a/b/c", "../.."), link("a/b/c/l", "../evil")},
		"a link through a link upwards":      {dir("a/b"), link("a/b/top", "../.."), link("a/l", "b/top/../evil")},
		"a file through a link upwards":      {link("l", ".."), file("l/evil", "x")},
		"a hard link to nothing":             {hard("l", "etc/passwd")},
		"a hard link upwards":                {hard("l", "../../etc/passwd")},
		"a hard link to a link":              {link("s", "x"), hard("l", "s")},
		"a hard link to a directory":         {dir("d"), hard("l", "d")},
		"a link without a target":            {link("l", "")},
		"links in a circle on the way":       {link("a", "b"), link("b", "a"), file("a/x", "x")},
		"a whiteout upwards":                 {file(".wh...", "")},
		"a whiteout of its own directory":    {file("d/.wh..", "")},
		"a whiteout of nothing":              {file("d/.wh.", "")},
		"a whiteout in a directory upwards":  {file("../.wh.evil", "")},
		"a path longer than any":             {file(strings.Repeat("a/", 3000)+"a", "x")},
		"a name longer than any":             {file(strings.Repeat("a", 300), "x")},
		"an opaque directory that is a link": {link("l", ".."), file("l/.wh..wh..opq", "")},
	}
	for name, entries := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			evil := filepath.Join(b.config.Dir, "unpacked", "evil")
			if err := os.WriteFile(evil, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := unpack(t, b, b.images.Image(t, targettest.Config{}, layer(t, entries...)))
			if !fault.Is(err, fault.Refused) {
				t.Errorf("Apply gave the error %v, want one of kind refused", err)
			}
			left, _ := filepath.Glob(filepath.Join(b.config.Dir, "unpacked", "*"))
			body, _ := os.ReadFile(evil)
			if len(left) != 1 || string(body) != "mine" {
				t.Errorf("after the refusal there is %q, want the file beside alone", left)
			}
		})
	}
}

func TestBrokenImagesAreRefused(t *testing.T) {
	t.Parallel()
	good := layer(t, file("a", "1"))
	manifest := func(i *targettest.Images, config targettest.Descriptor, layers ...targettest.Descriptor) artifact.Reference {
		d := i.JSON(t, map[string]any{"config": config, "layers": layers})
		return artifact.Reference{Repository: "shop/web", Digest: d.Digest}
	}
	config := func(i *targettest.Images) targettest.Descriptor { return i.JSON(t, map[string]any{}) }
	one := func(i *targettest.Images, body []byte) targettest.Descriptor {
		return targettest.Descriptor{MediaType: targettest.LayerType, Digest: i.Put(body), Size: len(body)}
	}
	rows := map[string]struct {
		kind  fault.Kind
		want  string
		image func(i *targettest.Images) artifact.Reference
	}{
		"an unknown manifest": {fault.NotFound, "", func(*targettest.Images) artifact.Reference {
			return artifact.Reference{Repository: "shop/web", Digest: artifact.DigestOf([]byte("nothing"))}
		}},
		"another manifest": {fault.Refused, "digest", func(i *targettest.Images) artifact.Reference {
			return artifact.Reference{Repository: "shop/web", Digest: i.PutAs(artifact.DigestOf([]byte("asked")), []byte(`{}`))}
		}},
		"a malformed manifest": {fault.Refused, "malformed", func(i *targettest.Images) artifact.Reference {
			return artifact.Reference{Repository: "shop/web", Digest: i.Put([]byte(`{"layers": 7}`))}
		}},
		"a huge manifest": {fault.Refused, "larger", func(i *targettest.Images) artifact.Reference {
			return artifact.Reference{Repository: "shop/web", Digest: i.Put(bytes.Repeat([]byte(" "), 5<<20))}
		}},
		"no config": {fault.Refused, "without digest", func(i *targettest.Images) artifact.Reference {
			return manifest(i, targettest.Descriptor{}, one(i, good))
		}},
		"a config for another machine": {fault.Refused, "windows", func(i *targettest.Images) artifact.Reference {
			return manifest(i, i.JSON(t, map[string]any{"os": "windows", "architecture": runtime.GOARCH}), one(i, good))
		}},
		"a malformed config": {fault.Refused, "config is malformed", func(i *targettest.Images) artifact.Reference {
			return manifest(i, i.JSON(t, []int{1}), one(i, good))
		}},
		"another layer": {fault.Refused, "digest", func(i *targettest.Images) artifact.Reference {
			d := one(i, good)
			i.PutAs(d.Digest, layer(t, file("a", "2")))
			return manifest(i, config(i), d)
		}},
		"a layer shorter than said": {fault.Refused, "digest", func(i *targettest.Images) artifact.Reference {
			d := one(i, good)
			d.Size++
			return manifest(i, config(i), d)
		}},
		"a layer longer than said": {fault.Refused, "", func(i *targettest.Images) artifact.Reference {
			d := one(i, good)
			d.Size--
			return manifest(i, config(i), d)
		}},
		"a layer of another kind": {fault.Refused, "no tar archive", func(i *targettest.Images) artifact.Reference {
			d := one(i, good)
			d.MediaType = "application/json"
			return manifest(i, config(i), d)
		}},
		"a layer that is cut off": {fault.Refused, "", func(i *targettest.Images) artifact.Reference {
			whole := layer(t, file("a", strings.Repeat("x", 2000)))
			return manifest(i, config(i), one(i, whole[:1000]))
		}},
		"a layer that is no archive": {fault.Refused, "malformed", func(i *targettest.Images) artifact.Reference {
			return manifest(i, config(i), one(i, bytes.Repeat([]byte("no archive "), 100)))
		}},
		"broken gzip": {fault.Refused, "", func(i *targettest.Images) artifact.Reference {
			return manifest(i, config(i), one(i, gzipped(t, good)[:20]))
		}},
		"an index without this machine": {fault.Refused, "linux/" + runtime.GOARCH, func(i *targettest.Images) artifact.Reference {
			d := i.JSON(t, map[string]any{"manifests": []any{targettest.Descriptor{Digest: i.Put(good), Platform: map[string]string{"os": "linux", "architecture": "vax"}}}})
			return artifact.Reference{Repository: "shop/web", Digest: d.Digest}
		}},
		"a bomb": {fault.TooLarge, "too large", func(i *targettest.Images) artifact.Reference {
			return manifest(i, config(i), one(i, gzipped(t, layer(t, file("a", strings.Repeat("\x00", 2<<20))))))
		}},
		"too many files": {fault.TooLarge, "too many", func(i *targettest.Images) artifact.Reference {
			many := make([]entry, 101)
			for n := range many {
				many[n] = dir("d")
			}
			return manifest(i, config(i), one(i, layer(t, many...)))
		}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *process.Config) { c.Limits = process.Limits{Bytes: 1 << 20, Entries: 100} })
			_, err := unpack(t, b, row.image(b.images))
			if !fault.Is(err, row.kind) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Apply gave the error %v, want one of kind %s with %q", err, row.kind, row.want)
			}
			if left, _ := filepath.Glob(filepath.Join(b.config.Dir, "unpacked", "*")); len(left) != 0 {
				t.Errorf("after the refusal there is %q", left)
			}
		})
	}
}

func TestAnIndexGivesThisMachinesImage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ours := b.images.Image(t, targettest.Config{}, layer(t, file("ours", "1")))
	other := b.images.Image(t, targettest.Config{}, layer(t, file("other", "1")))
	d := b.images.JSON(t, map[string]any{"manifests": []any{
		targettest.Descriptor{Digest: other.Digest, Platform: map[string]string{"os": "linux", "architecture": "vax"}},
		targettest.Descriptor{Digest: ours.Digest, Platform: map[string]string{"os": "linux", "architecture": runtime.GOARCH}},
	}})
	root, err := unpack(t, b, artifact.Reference{Repository: "shop/web", Digest: d.Digest})
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, root); got["ours"] != "1" || len(got) != 1 {
		t.Errorf("unpacked is %v", got)
	}
}

func TestAnImageOfManyFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	many := make([]entry, 500)
	for n := range many {
		many[n] = file(fmt.Sprintf("d%d/f%d", n%7, n), "x")
	}
	root, err := unpack(t, b, b.images.Image(t, targettest.Config{}, layer(t, many...)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(listing(t, root)); n != 500 {
		t.Errorf("%d files were unpacked, want 500", n)
	}
}

func TestAnImageIsUnpackedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ref := b.images.Image(t, targettest.Config{}, layer(t, file("a", "1")))
	if _, err := unpack(t, b, ref); err != nil {
		t.Fatal(err)
	}
	reads := b.images.Reads()
	if err := b.target.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	root, err := unpack(t, b, ref)
	if err != nil || b.images.Reads() != reads {
		t.Errorf("the second time there were %d reads, %v; want none", b.images.Reads()-reads, err)
	}
	for _, name := range []string{"dev", "proc", "tmp"} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 {
			t.Errorf("/%s is %v, %v; want a directory that all can read", name, info, err)
		}
	}
}
