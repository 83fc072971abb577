package forge

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

var _ bridge.Sources = (*Forge)(nil)

// Commit is bridge.Sources'.
func (f *Forge) Commit(ctx context.Context, repository, commit string) (bridge.Commit, error) {
	if err := f.findCommit(ctx, repository, commit); err != nil {
		return bridge.Commit{}, err
	}
	out := &limited{left: bridge.MaxCommit + 1, cut: true}
	if err := execute(ctx, f.command(ctx, f.path(repository), "cat-file", "commit", commit), out); err != nil {
		return bridge.Commit{}, err
	}
	return bridge.ParseCommit(commit, out.Bytes())
}

// Files is bridge.Sources'.
func (f *Forge) Files(ctx context.Context, repository, commit, dir string) (map[string][]byte, error) {
	if err := f.findCommit(ctx, repository, commit); err != nil {
		return nil, err
	}
	missing := fault.New(fault.NotFound, "there is no directory %.200q in %s at %.12s", dir, repository, commit)
	if dir != "" && !cleanPath(dir) {
		return nil, missing
	}
	kind, err := f.run(ctx, f.path(repository), nil, "cat-file", "-t", commit+":"+dir)
	if exited(err) || (err == nil && string(kind) != "tree\n") { // a submodule's commit may be here, too
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	out, err := f.run(ctx, f.path(repository), nil, "ls-tree", "-z", "-l", commit+":"+dir)
	if err != nil {
		return nil, err
	}
	names, objects, err := regular(dir, string(out))
	if err != nil || len(names) == 0 {
		return map[string][]byte{}, err
	}
	ask := strings.NewReader(strings.Join(objects, "\n") + "\n")
	content, err := f.run(ctx, f.path(repository), ask, "cat-file", "--batch=%(objectsize)")
	if err != nil {
		return nil, err
	}
	return contents(names, content)
}

// regular lists the regular files of a directory, as git ls-tree prints it, within the limits.
func regular(dir, listing string) (names, objects []string, err error) {
	for record := range strings.SplitSeq(listing, "\x00") {
		meta, name, ok := strings.Cut(record, "\t")
		part := strings.Fields(meta) // mode, type, object, size
		if !ok || len(part) != 4 || (part[0] != "100644" && part[0] != "100755") {
			continue
		}
		if size, err := strconv.ParseInt(part[3], 10, 64); err != nil || size > bridge.MaxFile {
			return nil, nil, fault.New(fault.TooLarge, "the file has more than %d bytes", bridge.MaxFile).WithField(cmp.Or(dir, ".") + "/" + name)
		}
		names, objects = append(names, name), append(objects, part[2])
	}
	if len(names) > bridge.MaxFiles {
		return nil, nil, fault.New(fault.TooLarge, "the directory has %d files, at most %d are read", len(names), bridge.MaxFiles).WithField(cmp.Or(dir, "."))
	}
	return names, objects, nil
}

// contents reads what git cat-file --batch=%(objectsize) printed, for names in their order.
func contents(names []string, out []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range names {
		head, rest, ok := bytes.Cut(out, []byte("\n"))
		n, err := strconv.Atoi(string(head))
		if !ok || err != nil || n < 0 || n >= len(rest) {
			return nil, fmt.Errorf("read file %q: unexpected answer %.80q", name, head)
		}
		files[name], out = slices.Clone(rest[:n]), rest[n+1:]
	}
	return files, nil
}

// Ancestor is bridge.Sources'.
func (f *Forge) Ancestor(ctx context.Context, repository, old, now string) (bool, error) {
	if err := f.findCommit(ctx, repository, now); err != nil {
		return false, err
	}
	if err := f.findCommit(ctx, repository, old); err != nil {
		if fault.Is(err, fault.NotFound) {
			return false, nil
		}
		return false, err
	}
	_, err := f.run(ctx, f.path(repository), nil, "merge-base", "--is-ancestor", old, now)
	if exited(err) {
		return false, nil // both are there: git says no
	}
	return err == nil, err
}
