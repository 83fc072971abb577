package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"drawbridge/internal/fault"
)

// place divides a path of a request into the root that it may not leave and the rest. A
// relative path lies in the workspace, an absolute one beneath one of the given places.
func place(name string, places ...string) (base, rel string, err error) {
	base, rel = Workspace, path.Clean("./"+name)
	if path.IsAbs(name) {
		base, rel = "", ""
		clean := path.Clean(name)
		for _, p := range places {
			if clean == p {
				base, rel = p, "."
			} else if r, ok := strings.CutPrefix(clean, p+"/"); ok {
				base, rel = p, r
			}
		}
	}
	if base == "" || !filepath.IsLocal(rel) || strings.ContainsRune(name, 0) {
		return "", "", fault.New(fault.Invalid, "the path %q is outside of the workspace", name).
			WithHint("name a path relative to the workspace, or one beneath %s", strings.Join(places, " or "))
	}
	return base, rel, nil
}

// within runs do with base as an os.Root: no link leads do out of it.
func within(base string, do func(root *os.Root) error) error {
	root, err := os.OpenRoot(base)
	if err != nil {
		return fmt.Errorf("opening %s: %w", base, err)
	}
	return errors.Join(do(root), root.Close())
}

// explain makes a fault of what the file system says about a path that a user named.
func explain(name string, err error) error {
	switch {
	case err == nil || fault.As(err) != nil:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(fault.NotFound, err, "there is no %s", name)
	case strings.Contains(err.Error(), "path escapes from parent"): // os.Root has no exported error for it
		return fault.Wrap(fault.Invalid, err, "%s leads outside through a link", name)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}
