package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// cache gives the persistent cache of a key, and its owner, whom it holds for the caller. A new
// one is made whole or not at all, and holds a copy of the seed.
func (s *Sandbox) cache(ctx context.Context, key string) (dir string, user int, err error) {
	s.caches.Lock()
	defer s.caches.Unlock()
	dir = filepath.Join(s.cacheDir(), hash(key))
	if user, err = ownerOf(dir); err == nil {
		s.users.hold(user)
		return dir, user, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("looking for a cache: %w", err)
	}
	user = s.users.take()
	unfinished := dir + ".tmp"
	err = removeTree(unfinished)
	if err == nil {
		err = s.makeDir(unfinished, user)
	}
	if err == nil && s.cfg.SeedCache != "" {
		err = s.copyTree(ctx, s.cfg.SeedCache, filepath.Join(unfinished, "go-build"), user)
	}
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	if err != nil {
		s.users.release(user)
		return "", 0, fmt.Errorf("making a cache: %w", err)
	}
	s.users.hold(user) // the directory's own, for ever
	return dir, user, nil
}

// copyTree copies the directories and files of from, which is ours, to a new directory that
// belongs to user, with their times: tools judge a cache by them.
func (s *Sandbox) copyTree(ctx context.Context, from, to string, user int) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return s.makeDir(target, user)
		case d.Type().IsRegular():
			return s.copyFile(path, target, user)
		}
		return nil
	})
}

func (s *Sandbox) copyFile(from, to string, user int) (err error) {
	in, err := os.Open(from) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm()) //nolint:gosec // below our own directory
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil && s.users.root() {
		err = out.Chown(user, user)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, st.ModTime(), st.ModTime())
}
