package pid1

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"drawbridge/internal/fault"
)

// unpack reads a tar stream and makes what it holds beneath name.
func unpack(name string, files []*os.File) error {
	if len(files) != 1 {
		return errors.New("unpacking needs one stream")
	}
	base, rel, err := place(name, Tmp, Cache)
	if err != nil {
		return err
	}
	return within(base, func(root *os.Root) error {
		if err := root.MkdirAll(rel, 0o755); err != nil {
			return explain(name, err)
		}
		sub, err := root.OpenRoot(rel)
		if err != nil {
			return explain(name, err)
		}
		if err := errors.Join(untar(sub, files[0]), sub.Close()); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, files[0]); err != nil { // what pads the archive
			return fmt.Errorf("reading a tar stream: %w", err)
		}
		return nil
	})
}

// untar makes each entry of the stream in root. What is there already and is no
// directory is replaced.
func untar(root *os.Root, r io.Reader) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "the tar stream is broken: %v", err)
		}
		if err := entry(root, h, in); err != nil {
			return err
		}
	}
}

// entry makes one entry. Owners, devices and the set-user-ID bits of a tar mean nothing here.
func entry(root *os.Root, h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // git archive's comment
	}
	name := path.Clean(h.Name)
	if !filepath.IsLocal(name) {
		return fault.New(fault.Invalid, "the tar stream holds %q, which leads outside", h.Name)
	}
	mode := fs.FileMode(h.Mode).Perm() //nolint:gosec // nine bits are kept
	err := root.MkdirAll(path.Dir(name), 0o755)
	if err != nil {
		return explain(name, err)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = makeDir(root, name, mode)
	case tar.TypeReg:
		err = makeFile(root, name, mode, content)
	case tar.TypeSymlink:
		err = makeLink(root, name, h.Linkname)
	case tar.TypeLink:
		err = makeHardLink(root, name, h.Linkname)
	default:
		return fault.New(fault.Invalid, "the tar stream holds %q, which is no file, directory or link", h.Name)
	}
	if err != nil {
		return explain(name, err)
	}
	if h.Typeflag == tar.TypeReg && !h.ModTime.IsZero() {
		return root.Chtimes(name, h.ModTime, h.ModTime)
	}
	return nil
}

func makeDir(root *os.Root, name string, mode fs.FileMode) error {
	mode |= 0o700 // what it holds comes after it
	if err := root.Mkdir(name, mode); err == nil || name == "." {
		return nil
	}
	st, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return root.Chmod(name, mode)
	}
	if err := root.Remove(name); err != nil {
		return err
	}
	return root.Mkdir(name, mode)
}

func makeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if err := makeRoom(root, name); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

func makeLink(root *os.Root, name, to string) error {
	if path.IsAbs(to) || !filepath.IsLocal(path.Join(path.Dir(name), to)) {
		return fault.New(fault.Invalid, "the tar stream holds the link %s, which leads outside to %q", name, to)
	}
	if err := makeRoom(root, name); err != nil {
		return err
	}
	return root.Symlink(to, name)
}

func makeHardLink(root *os.Root, name, to string) error {
	to = path.Clean(to)
	if !filepath.IsLocal(to) {
		return fault.New(fault.Invalid, "the tar stream holds the link %s, which leads outside to %q", name, to)
	}
	if to == name {
		return nil
	}
	if err := makeRoom(root, name); err != nil {
		return err
	}
	return root.Link(to, name)
}

// makeRoom removes what is in the way of a file, so that nothing is written through a link or into a pipe.
func makeRoom(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
