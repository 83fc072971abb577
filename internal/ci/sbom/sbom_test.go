package sbom_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"drawbridge/internal/attest"
	"drawbridge/internal/ci/sbom"
	"drawbridge/internal/fault"
)

type entry struct {
	name, content string
	kind          byte
	at            int64
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o755, Typeflag: e.kind, ModTime: time.Unix(e.at, 0), Uid: int(e.at)}
		switch e.kind {
		case 0, tar.TypeReg:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.content))
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = e.content
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, e.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type document struct {
	BOMFormat    string `json:"bomFormat"`
	SpecVersion  string `json:"specVersion"`
	SerialNumber string `json:"serialNumber"`
	Metadata     struct {
		Timestamp string                         `json:"timestamp"`
		Component struct{ Name, Version string } `json:"component"`
	} `json:"metadata"`
	Components []struct {
		Ref        string `json:"bom-ref"`
		Type       string `json:"type"`
		Name       string `json:"name"`
		Version    string `json:"version"`
		Purl       string `json:"purl"`
		Hashes     []struct{ Alg, Content string }
		Properties []struct{ Name, Value string }
	} `json:"components"`
	Dependencies []struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	} `json:"dependencies"`
}

func bom(t testing.TB, tree []byte) document {
	t.Helper()
	raw, err := sbom.FromTar(sbom.Subject{Name: "shop/web", Version: "1.0"}, bytes.NewReader(tree))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFiles(t *testing.T) {
	d := bom(t, archive(t, entry{name: "./", kind: tar.TypeDir}, entry{name: "./web/index.html", content: "hello"},
		entry{name: "/empty"}, entry{name: "link", content: "/etc/passwd", kind: tar.TypeSymlink},
		entry{name: "twice", content: "1"}, entry{name: "twice", content: "2"}))
	if d.BOMFormat != "CycloneDX" || d.SpecVersion != "1.6" || d.Metadata.Component.Name != "shop/web" || d.Metadata.Timestamp != "" {
		t.Errorf("head = %+v", d)
	}
	var got []string
	for _, c := range d.Components {
		got = append(got, c.Type+" "+c.Name+" "+c.Hashes[0].Alg+" "+c.Hashes[0].Content[:8])
	}
	want := []string{"file empty SHA-256 e3b0c442", "file twice SHA-256 d4735e3a", "file web/index.html SHA-256 2cf24dba"}
	if !slices.Equal(got, want) {
		t.Errorf("components = %q, want %q", got, want)
	}
	if d.Dependencies[len(d.Dependencies)-1].Ref != "subject" || len(d.Dependencies[len(d.Dependencies)-1].On) != 3 {
		t.Errorf("dependencies = %+v", d.Dependencies)
	}
}

func TestDeterministic(t *testing.T) {
	a, b := entry{name: "a", content: "x", at: 1}, entry{name: "b", content: "y", at: 2}
	encode := func(name string, e ...entry) string {
		raw, err := sbom.FromTar(sbom.Subject{Name: name}, bytes.NewReader(archive(t, e...)))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	one := encode("n", a, b)
	a.at, a.name = 99, "./a"
	if two := encode("n", b, a); one != two {
		t.Errorf("the same tree gives\n%s\nand\n%s", one, two)
	}
	b.content = "z"
	if three := encode("n", a, b); three == one {
		t.Error("another tree gives the same document")
	}
}

// The test binary is a Go binary with modules of its own.
func TestGoBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	d := bom(t, archive(t, entry{name: "bin/web", content: string(program)}, entry{name: "bin/copy", content: string(program)}))
	found := map[string]int{}
	for _, c := range d.Components {
		found[c.Type+" "+c.Name]++
		if c.Name == "stdlib" && (c.Version == "" || !strings.HasPrefix(c.Purl, "pkg:golang/stdlib@1.")) {
			t.Errorf("stdlib = %+v", c)
		}
	}
	for _, want := range []string{"file bin/web", "file bin/copy", "library stdlib", "library drawbridge"} {
		if found[want] != 1 {
			t.Errorf("%q is there %d times, want once; all: %v", want, found[want], found)
		}
	}
	for _, dep := range d.Dependencies {
		if dep.Ref == "file:bin/web" && len(dep.On) == 0 {
			t.Error("the binary depends on nothing")
		}
	}
}

func TestHostileBinaries(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	var tree []entry
	for i, content := range []string{"\x7fELF", "\x7fELF" + strings.Repeat("\xff", 4096), "MZ", "MZ" + strings.Repeat("\x00", 512), "\xfe\xed\xfa\xcf\x00"} {
		tree = append(tree, entry{name: fmt.Sprintf("short%d", i), content: content})
	}
	for i := range 60 { // the header broken in one byte, and cut binaries
		b := bytes.Clone(whole[:min(len(whole), 1<<16)])
		b[4+i] ^= 0xff
		tree = append(tree, entry{name: fmt.Sprintf("broken%d", i), content: string(b)})
	}
	d := bom(t, archive(t, tree...))
	if len(d.Components) < len(tree) {
		t.Fatalf("%d components of %d files", len(d.Components), len(tree))
	}
	for _, c := range d.Components {
		if strings.HasPrefix(c.Name, "short") && !slices.ContainsFunc(c.Properties, func(p struct{ Name, Value string }) bool { return p.Name == "drawbridge:executable" }) {
			t.Errorf("%s does not say that it was not looked into", c.Name)
		}
	}
}

func TestRefused(t *testing.T) {
	good := archive(t, entry{name: "a", content: strings.Repeat("x", 2000)})
	liar := archive(t, entry{name: "a"})
	var h bytes.Buffer
	w := tar.NewWriter(&h)
	if err := w.WriteHeader(&tar.Header{Name: "big", Size: sbom.MaxTree + 1, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		tree []byte
		kind fault.Kind
		want string
	}{
		"no tar":    {bytes.Repeat([]byte("x"), 1024), fault.Invalid, "no tar stream"},
		"cut":       {good[:1000], fault.Invalid, "cut short in a"},
		"outside":   {archive(t, entry{name: "../../etc/passwd"}), fault.Invalid, "with the name"},
		"no utf-8":  {archive(t, entry{name: "a\xff"}), fault.Invalid, "with the name"},
		"too large": {h.Bytes(), fault.TooLarge, "over"},
	} {
		raw, err := sbom.FromTar(sbom.Subject{Name: "n"}, bytes.NewReader(row.tree))
		if raw != nil || !fault.Is(err, row.kind) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %.40s, %v, want %s %q", name, raw, err, row.kind, row.want)
		}
	}
	broken := errors.New("pipe broke")
	_, err := sbom.FromTar(sbom.Subject{}, io.MultiReader(bytes.NewReader(good[:1000]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || fault.As(err) != nil {
		t.Errorf("an error of the reader: %v, want it wrapped", err)
	}
	// A tee must see the whole stream, padding included.
	var seen bytes.Buffer
	if _, err := sbom.FromTar(sbom.Subject{}, io.TeeReader(bytes.NewReader(append(liar, make([]byte, 4096)...)), &seen)); err != nil || seen.Len() != len(liar)+4096 {
		t.Errorf("the tee saw %d of %d bytes, %v", seen.Len(), len(liar)+4096, err)
	}
}

func TestAttestReadsIt(t *testing.T) {
	raw, err := sbom.FromTar(sbom.Subject{Name: "n"}, bytes.NewReader(archive(t, entry{name: "a"}, entry{name: "b"})))
	if err != nil {
		t.Fatal(err)
	}
	got, err := attest.BOM{JSON: raw}.Summary()
	if err != nil || got.Format != "CycloneDX 1.6" || got.Components != 2 {
		t.Errorf("Summary = %+v, %v", got, err)
	}
}

func FuzzFromTar(f *testing.F) {
	f.Add(archive(f, entry{name: "a", content: "\x7fELFx"}, entry{name: "b/../c", content: "x"}, entry{name: "l", content: "a", kind: tar.TypeLink}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tree []byte) {
		raw, err := sbom.FromTar(sbom.Subject{Name: "n"}, bytes.NewReader(tree))
		if err != nil && fault.As(err) == nil {
			t.Errorf("%v is no fault", err)
		}
		if err == nil && !json.Valid(raw) {
			t.Error("the document is no JSON")
		}
	})
}
