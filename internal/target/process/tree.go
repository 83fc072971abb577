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

// syncEach is up to how many files each is made durable by itself. With more it is cheaper
// to flush the whole file system, though that waits for what others wrote there too.
const syncEach = 200

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
	written int             // files
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
	if t.written++; err == nil && t.written <= syncEach {
		err = f.Sync()
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

// remove removes name and all below it; it need not be there.
func (t *tree) remove(name string) error {
	return t.failed(name, t.root.RemoveAll(name))
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
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return refuse("%q cannot be unpacked: %v", name, err)
}
