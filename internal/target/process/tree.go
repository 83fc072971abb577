package process

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"drawbridge/internal/fault"
)

// How a layer takes away what lies below it.
const (
	whiteout = ".wh."         // before the name of what is gone
	opaque   = ".wh..wh..opq" // everything in this directory is gone
	aufs     = ".wh..wh."     // other notes of an old file system: of no meaning here
)

// Limits of names.
const (
	maxPath  = 4096 // bytes
	maxLinks = 40   // on the way to one entry, as the kernel has it
)

// tree is the file tree that layers are unpacked into. Nothing is written outside it:
// every access goes through os.Root, and a link that leads out is refused.
type tree struct {
	root    *os.Root
	limits  Limits          // what is left of them
	links   map[string]bool // symbolic links, for the last check
	created map[string]bool // by the present layer, with the directories above
}

func newTree(dir string, limits Limits) (*tree, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make the image's root: %w", err)
	}
	if err := os.Chmod(dir, dirMode); err != nil { // whatever the umask is
		return nil, fmt.Errorf("make the image's root: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the image's root: %w", err)
	}
	return &tree{root: root, limits: limits, links: map[string]bool{}}, nil
}

func (t *tree) close() { _ = t.root.Close() } // a directory that was only read

// refuse is the fault of a layer that must not be unpacked.
func refuse(format string, args ...any) error { return fault.New(fault.Refused, format, args...) }

// layer unpacks one layer: a tar archive, plain or compressed by gzip or zstd.
func (t *tree) layer(ctx context.Context, r io.Reader) error {
	plain, done, err := decompress(r)
	if err != nil {
		return refuse("a layer is no archive: %v", err)
	}
	defer done()
	t.created = map[string]bool{}
	archive := tar.NewReader(plain)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refuse("a layer is malformed: %v", err)
		}
		if t.limits.Entries--; t.limits.Entries < 0 {
			return fault.New(fault.TooLarge, "it has too many files")
		}
		if err := t.entry(h, archive); err != nil {
			return err
		}
	}
}

// decompress tells by the first bytes how r is compressed: media types lie.
func decompress(r io.Reader) (plain io.Reader, done func(), err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, _ := b.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		return z, func() {}, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// entry unpacks one entry of a layer.
func (t *tree) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := clean(h.Name)
	if err != nil || name == "." {
		return err
	}
	dir, err := t.behindLinks(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	name = path.Join(dir, base)
	if strings.HasPrefix(base, whiteout) {
		return t.takeAway(dir, base)
	}
	if err := t.makeDir(dir); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = t.makeDir(name)
	case tar.TypeReg:
		err = t.file(name, h, content)
	case tar.TypeSymlink:
		err = t.symlink(name, h.Linkname)
	case tar.TypeLink:
		err = t.hardlink(name, h.Linkname)
	default:
		return refuse("%q is no file, directory or link", h.Name)
	}
	if err != nil {
		return err
	}
	for p := name; p != "." && !t.created[p]; p = path.Dir(p) {
		t.created[p] = true
	}
	return nil
}

// clean is an entry's name relative to the root. Names that start with a slash mean the
// same, some tools write them; one with ".." in it is refused.
func clean(name string) (string, error) {
	if len(name) > maxPath {
		return "", refuse("a path is longer than %d bytes", maxPath)
	}
	if strings.ContainsRune(name, 0) {
		return "", refuse("the path %q holds a zero byte", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse("the path %q leads outside", name)
		}
	}
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+name), "/"), "."), nil
}

// behindLinks is dir with every symbolic link on the way followed: a layer may write to
// bin/sh where bin is a link to usr/bin. What is not there yet stays as it is written.
func (t *tree) behindLinks(dir string) (string, error) {
	at, rest := ".", strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		if strings.HasPrefix(next, "..") && (next == ".." || next[2] == '/') {
			return "", refuse("the path %q leads outside", dir)
		}
		info, err := t.root.Lstat(next)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", refuse("the path %q goes through too many links", dir)
		}
		target, err := t.root.Readlink(next)
		if err != nil {
			return "", t.failed(next, err)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// makeDir makes a directory and those above it; what is there and no directory gives way.
func (t *tree) makeDir(name string) error {
	if name == "." {
		return nil
	}
	info, err := t.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		// A layer may speak of what lies behind a link to a directory, as in /bin -> usr/bin.
		if behind, err := t.root.Stat(name); err == nil && behind.IsDir() {
			return nil
		}
		fallthrough
	case err == nil:
		if err := t.remove(name); err != nil {
			return err
		}
	}
	if err := t.makeDir(path.Dir(name)); err != nil {
		return err
	}
	if err := t.root.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return t.failed(name, err)
	}
	return t.failed(name, t.root.Chmod(name, dirMode))
}

// file writes a regular file. Of its mode only the right to execute is kept: one user
// runs and reads everything in the image.
func (t *tree) file(name string, h *tar.Header, content io.Reader) error {
	if t.limits.Bytes -= h.Size; t.limits.Bytes < 0 || h.Size < 0 {
		return fault.New(fault.TooLarge, "its files are too large")
	}
	if err := t.remove(name); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.FileInfo().Mode()&0o111 != 0 {
		mode = dirMode
	}
	f, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return t.failed(name, err)
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !h.ModTime.IsZero() {
		err = t.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return refuse("a layer is cut off in %q", name)
	}
	return t.failed(name, err)
}

// symlink makes a symbolic link. An absolute target means the image's root, so it is
// written relative to the link: then it means the same wherever the image lies.
func (t *tree) symlink(name, target string) error {
	if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
		return refuse("the link %q has no valid target", name)
	}
	depth := strings.Count(name, "/")
	if path.IsAbs(target) {
		target = strings.Repeat("../", depth) + strings.TrimPrefix(path.Clean(target), "/")
		target = cmp.Or(path.Clean(target), ".")
	} else if rises(target) > depth {
		return refuse("the link %q leads outside", name)
	}
	if err := t.remove(name); err != nil {
		return err
	}
	if err := t.root.Symlink(target, name); err != nil {
		return t.failed(name, err)
	}
	t.links[name] = true
	return nil
}

// rises is by how many directories a relative path climbs above where it starts, at most.
func rises(target string) int {
	level, most := 0, 0
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			level--
			most = max(most, -level)
		default:
			level++
		}
	}
	return most
}

// hardlink makes a second name of a regular file of the image.
func (t *tree) hardlink(name, target string) error {
	target, err := clean(target)
	if err != nil {
		return err
	}
	info, err := t.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return refuse("the link %q names no file of the image", name)
	}
	if target == name {
		return nil
	}
	if err := t.remove(name); err != nil {
		return err
	}
	return t.failed(name, t.root.Link(target, name))
}

// takeAway removes what a whiteout names. It concerns lower layers only.
func (t *tree) takeAway(dir, base string) error {
	if base == opaque {
		return t.empty(dir)
	}
	gone := strings.TrimPrefix(base, whiteout)
	switch {
	case strings.HasPrefix(base, aufs):
		return nil
	case gone == "" || gone == "." || gone == "..":
		return refuse("the whiteout %q names nothing", path.Join(dir, base))
	}
	name := path.Join(dir, gone)
	if t.created[name] {
		return nil
	}
	return t.remove(name)
}

// empty removes what lower layers left in a directory.
func (t *tree) empty(dir string) error {
	info, err := t.root.Lstat(dir)
	if err != nil || !info.IsDir() {
		return nil //nolint:nilerr // there is nothing to empty
	}
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return t.failed(dir, err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case !t.created[name]:
			err = t.remove(name)
		case e.IsDir():
			err = t.empty(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes name and all below it; it need not be there.
func (t *tree) remove(name string) error {
	return t.failed(name, t.root.RemoveAll(name))
}

// finish checks that no link leads outside by way of another, and makes the directories
// that every process finds.
func (t *tree) finish() error {
	for name := range t.links {
		info, err := t.root.Lstat(name)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue // taken away again by a later entry
		}
		_, err = t.root.Stat(name)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		default:
			return refuse("the link %q leads outside", name)
		}
	}
	for _, name := range []string{"dev", "proc", "tmp"} {
		if err := t.makeDir(name); err != nil {
			return err
		}
	}
	return nil
}

// failed sorts the errors of the file system: what the machine lacks is no fault of the
// image, anything else that an entry runs into is.
func (t *tree) failed(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Full, err, "there is no room to unpack an image").WithHint("free space in the data directory")
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("unpack %q: %w", name, err)
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return refuse("%q cannot be unpacked: %v", name, err)
}
