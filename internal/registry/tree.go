package registry

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// tree is what a tar stream holds, by cleaned path, its contents in a spool.
type tree struct {
	limits  Limits
	entries map[string]*entry
	bytes   int64
}

// entry is one regular file, hard link, symbolic link or directory.
type entry struct {
	kind       byte // tar.TypeReg, TypeLink, TypeSymlink or TypeDir
	executable bool
	offset     int64  // of a file's content in the spool
	size       int64  // of a file's content
	link       string // target of a symbolic link; path of the file that a hard link shares
}

// perEntry is what one entry may take of a stream beside its content, bytes: headers,
// padding and extended attributes.
const perEntry = 8 << 10

// readTree reads a hostile tar stream into entries and spool.
func readTree(ctx context.Context, content io.Reader, spool io.Writer, limits Limits) (*tree, error) {
	t := &tree{limits: limits, entries: map[string]*entry{}}
	// What is no content is bounded too: headers can be large and many.
	raw := &io.LimitedReader{R: content, N: limits.Bytes + int64(limits.Files)*perEntry + 1<<20}
	archive := tar.NewReader(raw)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := archive.Next()
		switch {
		case err == io.EOF:
			return t, t.check()
		case raw.N <= 0:
			return nil, t.tooLarge("the archive")
		case errors.Is(err, tar.ErrInsecurePath):
		case err != nil:
			return nil, fault.Wrap(fault.Invalid, err, "the content is no tar archive: %v", err)
		}
		if err := t.read(h, archive, spool); err != nil {
			if raw.N <= 0 {
				return nil, t.tooLarge("the archive")
			}
			return nil, err
		}
	}
}

func (t *tree) tooLarge(what string) error {
	return fault.New(fault.TooLarge, "%s has more than %d bytes", what, t.limits.Bytes).WithHint("publish a smaller directory")
}

// read takes one entry.
func (t *tree) read(h *tar.Header, content io.Reader, spool io.Writer) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := t.clean(h.Name)
	if err != nil {
		return err
	}
	if name == "." && h.Typeflag == tar.TypeDir {
		return nil // the root itself
	}
	if name == "." {
		return refusedPath(h.Name, "it names the root")
	}
	if _, ok := t.entries[name]; ok {
		return refusedPath(name, "it comes twice")
	}
	if len(t.entries) >= t.limits.Files {
		return fault.New(fault.TooLarge, "the archive has more than %d entries", t.limits.Files).WithHint("publish a smaller directory")
	}
	e := &entry{kind: h.Typeflag, executable: h.Mode&0o111 != 0}
	switch h.Typeflag {
	case tar.TypeDir:
	case tar.TypeReg:
		err = t.spool(e, h.Size, content, spool)
	case tar.TypeSymlink:
		e.link, err = t.symlink(name, h.Linkname)
	case tar.TypeLink:
		e.link, err = t.hardlink(name, h.Linkname)
	default:
		err = refusedPath(name, "it is neither a file nor a directory nor a link")
	}
	if err != nil {
		return err
	}
	t.entries[name] = e
	return nil
}

// spool copies a file's content. Holes of sparse files count as content.
func (t *tree) spool(e *entry, size int64, content io.Reader, spool io.Writer) error {
	if size > t.limits.Bytes-t.bytes {
		return t.tooLarge("the tree")
	}
	e.offset, e.size = t.bytes, size
	n, err := io.CopyN(spool, content, size)
	t.bytes += n
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fault.Wrap(fault.Invalid, err, "the archive ends in the middle of a file")
	}
	if err != nil {
		return fmt.Errorf("spool: %w", spoolError(err))
	}
	return nil
}

// clean turns a name of the archive into a path below the root.
func (t *tree) clean(name string) (string, error) {
	switch {
	case len(name) > t.limits.Path:
		return "", fault.New(fault.TooLarge, "a path of the archive has more than %d bytes", t.limits.Path)
	case name == "" || !utf8.ValidString(name):
		return "", refusedPath(name, "it is no text")
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", refusedPath(name, "it holds control characters")
	case path.IsAbs(name):
		return "", refusedPath(name, "it is absolute")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refusedPath(name, "it leads upwards")
		}
		// In a layer such a name would delete what it is called after.
		if strings.HasPrefix(part, ".wh.") {
			return "", refusedPath(name, "names that start with .wh. mean deletion in an image")
		}
	}
	return path.Clean(name), nil
}

// symlink judges the target of a symbolic link. Upward steps may come only first, and no
// more than lead to the root. The directories above a link are real (check sees to that), so
// these steps lead where they seem to; steps down may pass through other links, each of
// which stays inside by the same rule. Hence no chain of links leaves the tree.
func (t *tree) symlink(name, target string) (string, error) {
	switch {
	case len(target) > t.limits.Path:
		return "", fault.New(fault.TooLarge, "the target of link %q has more than %d bytes", name, t.limits.Path)
	case target == "" || !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl):
		return "", refusedPath(name, "the link's target is no path")
	case path.IsAbs(target):
		return "", refusedPath(name, "the link's target is absolute")
	}
	depth, down := strings.Count(name, "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return "", refusedPath(name, "the link may lead out of the tree")
			}
		default:
			down = true
		}
	}
	return target, nil
}

// hardlink finds the file that a hard link shares; it must have come before.
func (t *tree) hardlink(name, target string) (string, error) {
	clean, err := t.clean(target)
	if err != nil {
		return "", err
	}
	e := t.entries[clean]
	if e != nil && e.kind == tar.TypeLink {
		clean = e.link
		e = t.entries[clean]
	}
	if e == nil || e.kind != tar.TypeReg {
		return "", refusedPath(name, "the link shares no file of the archive")
	}
	return clean, nil
}

// check judges what can be judged only when all entries are known, and adds the
// directories that the archive leaves out.
func (t *tree) check() error {
	files := 0
	for name, e := range t.entries {
		if e.kind != tar.TypeDir {
			files++
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			above := t.entries[dir]
			if above == nil {
				t.entries[dir] = &entry{kind: tar.TypeDir}
				if len(t.entries) > 2*t.limits.Files {
					return fault.New(fault.TooLarge, "the archive has more than %d directories", t.limits.Files)
				}
				continue
			}
			if above.kind != tar.TypeDir {
				return refusedPath(name, fmt.Sprintf("%q above it is no directory", dir))
			}
		}
	}
	if files == 0 {
		return fault.New(fault.Invalid, "the archive holds no file").WithHint("publish a directory with files in it")
	}
	return nil
}

func refusedPath(name, why string) error {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return fault.New(fault.Invalid, "%q cannot be in an image: %s", name, why)
}
