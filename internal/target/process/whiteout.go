package process

import (
	"io/fs"
	"path"
	"strings"
)

// How a layer takes away what lies below it.
const (
	whiteout = ".wh."         // before the name of what is gone
	opaque   = ".wh..wh..opq" // everything in this directory is gone
	aufs     = ".wh..wh."     // other notes of an old file system: of no meaning here
)

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
