package pid1

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/wire"
)

// depthLimit is how deep directories may lie in one another.
const depthLimit = 500

// pack freezes the other processes and writes a tar stream of what the order names. The
// first answer says that the stream begins, the caller's second that it has ended.
func (in *inside) pack(o order) error {
	if len(o.files) != 1 {
		return in.begun(errors.New("packing needs one stream"))
	}
	base, rel, err := place(o.Path, Tmp)
	if err != nil {
		return in.begun(err)
	}
	return within(base, func(root *os.Root) error {
		defer freeze()()
		st, err := root.Stat(rel)
		if err = in.begun(explain(o.Path, err)); err != nil {
			return err
		}
		out := tar.NewWriter(o.files[0])
		p := packer{root: root, out: out}
		if st.IsDir() {
			err = p.directory(rel, "", 0)
		} else {
			err = p.entry(rel, path.Base(rel), st, 0)
		}
		if errors.Is(err, unix.EPIPE) {
			return nil // the reader has seen enough
		}
		return errors.Join(err, out.Close())
	})
}

// begun answers whether the stream begins. An error is told here, and once more at the end.
func (in *inside) begun(why error) error {
	if err := in.conn.Send(wire.Reply{Failure: failure(why)}); err != nil {
		exit(err)
	}
	return why
}

// packer writes files of root to a tar stream, in the order of their names.
type packer struct {
	root *os.Root
	out  *tar.Writer
}

// directory writes what dir holds, under the name prefix.
func (p packer) directory(dir, prefix string, depth int) error {
	if depth > depthLimit {
		return fault.New(fault.TooLarge, "directories lie more than %d deep", depthLimit)
	}
	f, err := p.root.Open(dir)
	if err != nil {
		return explain(dir, err)
	}
	entries, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return explain(dir, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		st, err := p.root.Lstat(name)
		if err != nil {
			return explain(name, err)
		}
		if err := p.entry(name, path.Join(prefix, e.Name()), st, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry writes one file, link or directory with what it holds; sockets, pipes and devices are left out.
func (p packer) entry(name, as string, st fs.FileInfo, depth int) error {
	h := &tar.Header{Name: as, Mode: int64(st.Mode().Perm()), ModTime: st.ModTime(), Format: tar.FormatPAX}
	switch {
	case st.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, as+"/"
	case st.Mode().IsRegular():
		return p.file(name, h)
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := p.root.Readlink(name)
		if err != nil {
			return explain(name, err)
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, to
	default:
		return nil
	}
	if err := p.out.WriteHeader(h); err != nil {
		return fmt.Errorf("writing a tar stream: %w", err)
	}
	if !st.IsDir() {
		return nil
	}
	return p.directory(name, as, depth+1)
}

func (p packer) file(name string, h *tar.Header) error {
	f, err := p.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return explain(name, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	st, err := f.Stat()
	if err != nil {
		return explain(name, err)
	}
	if !st.Mode().IsRegular() {
		return nil // another job that shares the place has changed it
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size()
	if err := p.out.WriteHeader(h); err != nil {
		return fmt.Errorf("writing a tar stream: %w", err)
	}
	if _, err := io.CopyN(p.out, f, h.Size); err != nil {
		return fmt.Errorf("writing a tar stream: %w", err)
	}
	return nil
}
