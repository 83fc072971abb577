package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// liftAt is how deep removal goes into a tree before it moves what lies below to the top:
// a job may have made directories deeper than there are descriptors.
const liftAt = 40

// removeTree removes dir and all beneath it. No process may be writing there any more. It
// follows no link, opens directories that their owner has closed to itself, and
// needs no more descriptors for a deep tree. A dir that is not there is no error.
func removeTree(dir string) error {
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	base := filepath.Base(dir)
	r := &remover{root: parent, base: base}
	err = r.remove(parent, base, base, 0)
	for err == nil && len(r.lifted) > 0 {
		name := r.lifted[len(r.lifted)-1]
		r.lifted = r.lifted[:len(r.lifted)-1]
		err = r.remove(parent, name, name, 0)
	}
	if err := errors.Join(err, parent.Close()); err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}

type remover struct {
	root   *os.Root // the directory that holds the tree
	base   string
	lifted []string // directories that were moved there, still to be removed
	count  int
}

// remove removes name in the directory in; full is its path from the remover's root, depth directories long.
func (r *remover) remove(in *os.Root, name, full string, depth int) error {
	st, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return in.Remove(name)
	}
	if st.Mode().Perm()&0o700 != 0o700 {
		if err := in.Chmod(name, 0o700); err != nil {
			return err
		}
	}
	if depth == liftAt {
		to := ".removed-" + r.base + "-" + strconv.Itoa(r.count)
		r.count++
		r.lifted = append(r.lifted, to)
		return r.root.Rename(full, to)
	}
	dir, err := in.OpenRoot(name)
	if err != nil {
		return err
	}
	if err := errors.Join(r.empty(dir, full, depth), dir.Close()); err != nil {
		return err
	}
	return in.Remove(name)
}

// empty removes what dir holds, some thousand entries at a time.
func (r *remover) empty(dir *os.Root, full string, depth int) error {
	for {
		d, err := dir.Open(".")
		if err != nil {
			return err
		}
		entries, err := d.Readdirnames(4096)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if err := r.remove(dir, e, path.Join(full, e), depth+1); err != nil {
				return err
			}
		}
	}
}
