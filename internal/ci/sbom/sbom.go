// Package sbom writes the bill of materials of a published tree: a CycloneDX 1.6 document in
// JSON that lists every file with its hash, and for every Go binary the modules that are
// linked into it, read from the binary itself.
//
// The tree comes from a job as a tar stream and is hostile: it is read once, under limits,
// and nothing is unpacked. The same tree gives the same bytes, whatever the order, times and
// owners in the stream.
package sbom

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// Limits of one tree.
const (
	MaxFiles  = 50000     // entries
	MaxTree   = 4 << 30   // bytes of all files
	MaxBinary = 128 << 20 // bytes of a binary that is looked into; larger ones are listed as files
	maxPath   = 4096      // bytes of a path
	maxHeld   = 50000     // components of all binaries together
)

// Subject is what the document is about.
type Subject struct {
	Name    string // of the image, "shop/web"
	Version string // may be empty
}

// file is one regular file of the tree.
type file struct {
	path   string
	hash   string // SHA-256, hex
	size   int64
	binary *binary // nil when it is no Go binary
	note   string  // why a binary was not looked into; empty otherwise
}

// FromTar reads a tar stream to its end and returns the document. Paths are taken relative to
// the stream's root; directories and links are no components. A malformed stream is a fault
// of kind Invalid, one over a limit TooLarge; an error of r itself is passed on wrapped.
func FromTar(s Subject, r io.Reader) ([]byte, error) {
	source := &failing{r: r}
	files, err := read(source)
	switch {
	case source.err != nil:
		return nil, fmt.Errorf("reading the published tree: %w", source.err)
	case err != nil:
		return nil, err
	}
	if _, err := io.Copy(io.Discard, source); err != nil { // padding, so that a tee sees all
		return nil, fmt.Errorf("reading the published tree: %w", err)
	}
	return encode(s, files)
}

// failing remembers an error of its reader, to tell it from a malformed stream.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func read(r io.Reader) ([]file, error) {
	t := tar.NewReader(r)
	var total int64
	byPath := map[string]file{}
	for entries := 1; ; entries++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the published tree is no tar stream: %v", err)
		}
		if total += h.Size; entries > MaxFiles || total > MaxTree || total < 0 {
			return nil, fault.New(fault.TooLarge, "the published tree has over %d entries or %d bytes", MaxFiles, int64(MaxTree)).
				WithHint("publish a directory that holds only what the program needs")
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name, err := clean(h.Name)
		if err != nil {
			return nil, err
		}
		f, err := hash(t, h.Size)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the published tree is cut short in %s: %v", name, err)
		}
		f.path = name
		byPath[name] = f // the last of two entries is what a layer shows
	}
	files := make([]file, 0, len(byPath))
	held := 0
	for _, f := range byPath {
		files = append(files, f)
		if f.binary != nil {
			held += len(f.binary.modules)
		}
	}
	if held > maxHeld {
		return nil, fault.New(fault.TooLarge, "the binaries of the published tree name over %d modules", maxHeld)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	return files, nil
}

// clean makes a name relative to the root; one that leaves it is refused.
func clean(name string) (string, error) {
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	if p == "" || len(p) > maxPath || !utf8.ValidString(p) || slices.Contains(strings.Split(name, "/"), "..") {
		if len(name) > 100 {
			name = name[:100]
		}
		return "", fault.New(fault.Invalid, "the published tree holds a file with the name %q", name).
			WithHint("use UTF-8 names beneath the published directory")
	}
	return p, nil
}

// hash reads one file, and keeps it while it may be a binary.
func hash(r io.Reader, size int64) (file, error) {
	h := sha256.New()
	var head [4]byte
	n, err := io.ReadFull(r, head[:min(size, 4)])
	if err != nil {
		return file{}, err
	}
	h.Write(head[:n])
	f := file{size: size}
	var held bytes.Buffer
	look := isBinary(head[:n])
	if look && size > MaxBinary {
		look, f.note = false, fmt.Sprintf("not looked into: larger than %d bytes", MaxBinary)
	}
	w := io.Writer(h)
	if look {
		held.Grow(int(min(size, 1<<20)))
		held.Write(head[:n])
		w = io.MultiWriter(h, &held)
	}
	if m, err := io.Copy(w, r); err != nil || m != size-int64(n) {
		return file{}, cmp.Or(err, io.ErrUnexpectedEOF)
	}
	f.hash = hex.EncodeToString(h.Sum(nil))
	if look {
		f.binary, f.note = inspect(held.Bytes())
	}
	return f, nil
}

// isBinary reports whether a file that starts like this may be an executable.
func isBinary(head []byte) bool {
	for _, magic := range []string{"\x7fELF", "MZ", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
