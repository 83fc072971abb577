package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"testing"
	"unicode"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

func link(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}
}

func dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o700}
}

func TestPushRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	c := registrytest.Serve(t, nil).Client(t, registrytest.Alice)
	long := strings.Repeat("d/", 600)
	for _, row := range []struct {
		name    string
		kind    fault.Kind
		headers []tar.Header
	}{
		{"nothing", fault.Invalid, nil},
		{"no file", fault.Invalid, []tar.Header{dir("a/")}},
		{"absolute", fault.Invalid, []tar.Header{file("/etc/passwd", "x")}},
		{"upwards", fault.Invalid, []tar.Header{file("../x", "x")}},
		{"upwards inside", fault.Invalid, []tar.Header{file("a/../../x", "x")}},
		{"upwards and back", fault.Invalid, []tar.Header{file("a/../b", "x")}},
		{"a root that is a file", fault.Invalid, []tar.Header{file(".", "x")}},
		{"twice", fault.Invalid, []tar.Header{file("a", "x"), file("./a", "y")}},
		{"file and directory", fault.Invalid, []tar.Header{file("a", "x"), dir("a/")}},
		{"below a file", fault.Invalid, []tar.Header{file("a", "x"), file("a/b", "y")}},
		{"a file over", fault.Invalid, []tar.Header{file("a/b", "y"), file("a", "x")}},
		{"below a link", fault.Invalid, []tar.Header{link(tar.TypeSymlink, "a", "b"), file("a/x", "y")}},
		{"below a link that comes later", fault.Invalid, []tar.Header{file("a/x", "y"), link(tar.TypeSymlink, "a", "b")}},
		{"whiteout", fault.Invalid, []tar.Header{file("a/.wh.b", "x")}},
		{"opaque whiteout", fault.Invalid, []tar.Header{file(".wh..wh..opq", "x")}},
		{"control character", fault.Invalid, []tar.Header{file("a\nb", "x")}},
		{"no text", fault.Invalid, []tar.Header{{Typeflag: tar.TypeReg, Name: "a\xff", Format: tar.FormatGNU}}},
		{"device", fault.Invalid, []tar.Header{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}},
		{"block device", fault.Invalid, []tar.Header{{Typeflag: tar.TypeBlock, Name: "sda"}}},
		{"fifo", fault.Invalid, []tar.Header{{Typeflag: tar.TypeFifo, Name: "fifo"}}},
		{"absolute link", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeSymlink, "a", "/etc")}},
		{"link upwards", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeSymlink, "a", "../x")}},
		{"link upwards from below", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeSymlink, "d/a", "../../x")}},
		{"link upwards through a link", fault.Invalid, []tar.Header{link(tar.TypeSymlink, "e/f/d", "../.."), link(tar.TypeSymlink, "e/f/x", "d/../x"), file("x", "x")}},
		{"empty link", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeSymlink, "a", "")}},
		{"hard link to nothing", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeLink, "a", "b")}},
		{"hard link outside", fault.Invalid, []tar.Header{file("x", "x"), link(tar.TypeLink, "a", "../b")}},
		{"hard link to a link", fault.Invalid, []tar.Header{link(tar.TypeSymlink, "x", "y"), link(tar.TypeLink, "a", "x")}},
		{"hard link to itself", fault.Invalid, []tar.Header{link(tar.TypeLink, "a", "a")}},
		{"long path", fault.TooLarge, []tar.Header{file(long+"a", "x")}},
		{"long link", fault.TooLarge, []tar.Header{file("x", "x"), link(tar.TypeSymlink, "a", long)}},
		{"too many", fault.TooLarge, []tar.Header{file("a", ""), file("b", ""), file("c", ""), file("d", ""), file("e", ""), file("f", "")}},
		{"too many directories", fault.TooLarge, []tar.Header{file(strings.Repeat("d/", 11)+"a", "")}},
		{"too large", fault.TooLarge, []tar.Header{file("a", strings.Repeat("x", 600)), file("b", strings.Repeat("x", 600))}},
	} {
		_, err := c.Push(t.Context(), web, archive(t, row.headers...), registry.ImageConfig{}, registry.Limits{Files: 5, Bytes: 1000})
		wantKind(t, row.name, err, row.kind)
		if f := fault.As(err); f != nil && strings.ContainsFunc(f.Message, unicode.IsControl) {
			t.Errorf("%s: message %q is not one clean line", row.name, f.Message)
		}
	}
}

func TestPushRefusesBrokenStreams(t *testing.T) {
	t.Parallel()
	c := registrytest.Serve(t, nil).Client(t, registrytest.Alice)
	whole, err := io.ReadAll(archive(t, file("a", strings.Repeat("x", 2000))))
	if err != nil {
		t.Fatal(err)
	}
	// An archive may claim what it does not hold; nothing is reserved for a claim.
	var claim bytes.Buffer
	if err := tar.NewWriter(&claim).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 50, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		stream io.Reader
		kind   fault.Kind
	}{
		{"text", strings.NewReader(strings.Repeat("no archive ", 100)), fault.Invalid},
		{"cut in a header", bytes.NewReader(whole[:200]), fault.Invalid},
		{"cut in a file", bytes.NewReader(whole[:1000]), fault.Invalid},
		{"a claim", &claim, fault.TooLarge},
		{"headers without end", io.MultiReader(bytes.NewReader(bytes.Repeat(globalHeader(t), 3000))), fault.TooLarge},
	} {
		_, err := c.Push(t.Context(), web, row.stream, registry.ImageConfig{}, registry.Limits{Files: 10, Bytes: 1 << 20})
		wantKind(t, row.name, err, row.kind)
	}
	broken := errors.New("the job is gone")
	if _, err := c.Push(t.Context(), web, io.MultiReader(bytes.NewReader(whole[:1000]), failing{broken}), registry.ImageConfig{}, registry.Limits{}); !errors.Is(err, broken) {
		t.Errorf("a stream that fails = %v, want its error in the chain", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func globalHeader(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	h := &tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"k": strings.Repeat("x", 900)}}
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(h), w.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPushIsDeterministic(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	c := s.Client(t, registrytest.Alice)
	config := registry.ImageConfig{
		Entrypoint: []string{"./web"}, Env: []string{"A=1"}, WorkingDir: "/", User: "1000",
		Labels: map[string]string{"b": "2", "a": "1"}, Platform: registry.Platform{OS: "linux", Architecture: "arm64"}, Created: created,
	}
	exe := tar.Header{Typeflag: tar.TypeReg, Name: "web", Linkname: "binary", Mode: 0o6711}
	first := archive(t, exe, file("static/a.css", "a"), link(tar.TypeSymlink, "static/b.css", "a.css"), link(tar.TypeLink, "again", "web"))
	owned := exe
	owned.Name, owned.Uid, owned.Gid, owned.Uname, owned.ModTime, owned.Mode = "./again", 1000, 1000, "job", created, 0o755
	owned.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"}
	second := archive(t, dir("./"), dir("static"), link(tar.TypeSymlink, "./static//b.css", "a.css"), file("static/a.css", "a"), owned, link(tar.TypeLink, "web", "./again"))
	var digests []artifact.Digest
	for _, stream := range []io.Reader{first, second} {
		d, err := c.Push(t.Context(), web, stream, config, registry.Limits{})
		if err != nil {
			t.Fatalf("Push = %v, want nil", err)
		}
		digests = append(digests, d)
	}
	if digests[0] != digests[1] {
		t.Errorf("the same tree gave %s and %s", digests[0], digests[1])
	}
	config.Env[0] = "A=2"
	if d, err := c.Push(t.Context(), web, archive(t, exe), config, registry.Limits{}); err != nil || d == digests[0] {
		t.Errorf("another config = %s, %v, want another digest", d, err)
	}
	if list, err := c.Tags(t.Context(), web, bridge.TagPage{}); (err != nil && !fault.Is(err, fault.NotFound)) || len(list.Tags) != 0 {
		t.Errorf("Tags = %v, %v, want none: a push sets no tag", list, err)
	}
	want := []string{
		"again 755 0 6 'binary'", "static/ 755 5 0 ''", "static/a.css 644 0 1 'a'",
		"static/b.css 777 2 0 'a.css'", "web 755 1 0 'again'",
	}
	if got := layerOf(t, c, web.WithDigest(digests[0])); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("layer holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// layerOf reads an image back, checks its config, and lists its layer.
func layerOf(t *testing.T, c *registry.Client, ref artifact.Reference) []string {
	t.Helper()
	raw, mediaType, err := c.Manifest(t.Context(), ref)
	if err != nil || mediaType != imageType {
		t.Fatalf("Manifest = %s, %v", mediaType, err)
	}
	var m struct{ Config, Layers json.RawMessage }
	var config struct{ Digest artifact.Digest }
	var layers []struct{ Digest artifact.Digest }
	if err := errors.Join(json.Unmarshal(raw, &m), json.Unmarshal(m.Config, &config), json.Unmarshal(m.Layers, &layers)); err != nil || len(layers) != 1 {
		t.Fatalf("manifest %s: %v", raw, err)
	}
	var image struct {
		Architecture, OS, Created string
		Config                    struct{ Entrypoint, Env []string }
		RootFS                    struct {
			DiffIDs []artifact.Digest `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(blob(t, c, ref, config.Digest), &image); err != nil {
		t.Fatal(err)
	}
	if image.Architecture != "arm64" || image.OS != "linux" || image.Created != "2030-01-02T03:04:05Z" || len(image.Config.Entrypoint) != 1 {
		t.Errorf("config = %+v", image)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob(t, c, ref, layers[0].Digest)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if d := artifact.DigestOf(plain); len(image.RootFS.DiffIDs) != 1 || image.RootFS.DiffIDs[0] != d {
		t.Errorf("diff ids = %v, want %s", image.RootFS.DiffIDs, d)
	}
	return entries(t, plain)
}

func entries(t testing.TB, plain []byte) []string {
	t.Helper()
	var list []string
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || len(h.PAXRecords) != 0 {
			t.Errorf("header %+v keeps time, owner or attributes", h)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %o %c %d '%s%s'", h.Name, h.Mode, h.Typeflag, h.Size, content, h.Linkname))
	}
}

func blob(t *testing.T, c *registry.Client, ref artifact.Reference, d artifact.Digest) []byte {
	t.Helper()
	r, err := c.Blob(t.Context(), ref, d)
	if err != nil {
		t.Fatalf("Blob(%s) = %v", d, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("Blob(%s): %v", d, err)
	}
	return b
}

func TestPushLeavesNoSpool(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	temp := t.TempDir()
	c, err := registry.NewClient(registry.ClientConfig{Local: s.URL, Temp: temp, Auth: func(string) (string, string) { return "", registrytest.Alice }})
	if err != nil {
		t.Fatal(err)
	}
	probe := &probing{r: archive(t, file("a", strings.Repeat("x", 100_000))), dir: temp}
	if _, err := c.Push(t.Context(), web, probe, registry.ImageConfig{}, registry.Limits{}); err != nil {
		t.Fatalf("Push = %v, want nil", err)
	}
	if !probe.asked || probe.found > 0 {
		t.Errorf("%d files in the temporary directory during the push (asked: %t), want 0", probe.found, probe.asked)
	}
}

// probing counts the files of dir while it is read.
type probing struct {
	r     io.Reader
	dir   string
	asked bool
	found int
}

func (p *probing) Read(b []byte) (int, error) {
	p.asked = true
	names, err := os.ReadDir(p.dir)
	if err != nil {
		return 0, err
	}
	p.found = max(p.found, len(names))
	return p.r.Read(b)
}

// FuzzPush holds what is built from any archive against the rules: no entry leaves the
// root, none but files, directories and links, parents are directories, the same twice.
// Run it with -fuzzminimizetime 1x: background work of the libraries makes coverage vary.
func FuzzPush(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{file("a", "x")},
		{file("a/b/c", "x"), link(tar.TypeSymlink, "a/l", "b/c"), link(tar.TypeLink, "h", "a/b/c")},
		{dir("a/"), file("a/../../b", "x")},
		{link(tar.TypeSymlink, "a", "../../x"), file("a/b", "x")},
	} {
		b, err := io.ReadAll(archive(f, headers...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		limits := registry.Limits{Files: 100, Bytes: 1 << 16}
		plain, err := registry.BuildLayerForTest(t.Context(), t.TempDir(), bytes.NewReader(stream), limits)
		if err != nil {
			if fault.As(err) == nil {
				t.Errorf("error %v is no fault", err)
			}
			return
		}
		again, err := registry.BuildLayerForTest(t.Context(), t.TempDir(), bytes.NewReader(stream), limits)
		if err != nil || !bytes.Equal(plain, again) {
			t.Errorf("the same stream gave another layer, %v", err)
		}
		kinds := map[string]byte{".": tar.TypeDir}
		for r := tar.NewReader(bytes.NewReader(plain)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			name := path.Clean(h.Name)
			if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || kinds[path.Dir(name)] != tar.TypeDir || kinds[name] != 0 {
				t.Errorf("entry %q is outside, without a directory, or twice there", h.Name)
			}
			if !strings.ContainsRune("0125", rune(h.Typeflag)) {
				t.Errorf("entry %q is of type %c", h.Name, h.Typeflag)
			}
			if h.Typeflag == tar.TypeSymlink && !strings.HasPrefix(path.Join("/root", path.Dir(name), h.Linkname)+"/", "/root/") {
				t.Errorf("link %q leads to %q", h.Name, h.Linkname)
			}
			kinds[name] = h.Typeflag
		}
	})
}
