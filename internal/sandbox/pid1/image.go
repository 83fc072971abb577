package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// imageAt is where the image is mounted while its parts are bound into the root; it is gone
// before the first process starts.
const imageAt = "/.image"

// ours are the places in which an image has no say.
var ours = []string{"/proc", "/dev", "/sys", "/tmp", "/etc/resolv.conf", "/etc/hosts", imageAt}

// openImage opens the image's tree, and the host's tools where the image has none.
func (b *builder) openImage() error {
	fd, err := b.fd(*b.spec.Image)
	if err != nil {
		return err
	}
	b.trees = append(b.trees, tree{fd: fd, target: imageAt})
	if !b.spec.HostTools {
		return nil
	}
	if has(fd, "usr") {
		return nil
	}
	var lent []string
	for _, p := range slices.Concat(hostTools, hostFiles) {
		if !has(fd, p[1:]) {
			lent = append(lent, p)
		}
	}
	return b.lend(lent)
}

// has reports whether the directory fd holds name, whatever it is.
func has(fd int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// mountImage binds each part of the image into the root. The root itself is the
// sandbox's: an image need not bring /proc, /dev and /tmp, and cannot replace them.
func (b *builder) mountImage() error {
	if err := b.mirror("/"); err != nil {
		return err
	}
	if st, err := os.Lstat(newRoot + imageAt + "/etc"); err == nil && st.IsDir() {
		if err := b.mirror("/etc"); err != nil {
			return err
		}
	}
	if err := unix.Unmount(newRoot+imageAt, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting the image's mount go: %w", err)
	}
	if err := os.Remove(newRoot + imageAt); err != nil {
		return fmt.Errorf("removing the image's mount point: %w", err)
	}
	return nil
}

// mirror binds the entries of the image's directory dir, one level deep, in the same place.
func (b *builder) mirror(dir string) error {
	entries, err := os.ReadDir(newRoot + imageAt + dir)
	if err != nil {
		return fmt.Errorf("reading the image, which everybody must be able to read: %w", err)
	}
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		from, at := newRoot+imageAt+p, newRoot+p
		switch {
		case slices.Contains(ours, p), p == "/etc" && e.IsDir():
		case e.Type()&os.ModeSymlink != 0:
			to, err := os.Readlink(from)
			if err == nil {
				err = os.Symlink(to, at)
			}
			if err != nil {
				return fmt.Errorf("linking %s: %w", p, err)
			}
		case e.IsDir() || e.Type().IsRegular():
			fd, err := openTree(from)
			if err != nil {
				return err
			}
			if err := (tree{fd: fd, target: p}).mount(); err != nil {
				return err
			}
		}
	}
	return nil
}
