package process

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

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
