package forge

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// Limits of what is read of a commit.
const (
	maxFile      = 4 << 20 // bytes of one file
	maxWorkflows = 100
)

// Archive is ci.Source's.
func (f *Forge) Archive(ctx context.Context, repository, commit string, w io.Writer) error {
	if err := f.findCommit(ctx, repository, commit); err != nil {
		return err
	}
	return execute(ctx, f.command(ctx, f.path(repository), "archive", "--format=tar", commit), w)
}

// File is ci.Source's. A link, a directory and a submodule are no file; a file of more than
// 4 MiB is a fault of kind TooLarge.
func (f *Forge) File(ctx context.Context, repository, commit, name string) ([]byte, error) {
	missing := fault.New(fault.NotFound, "there is no file %.200q in %s at %.12s", name, repository, commit)
	if !cleanPath(name) {
		if err := f.findCommit(ctx, repository, commit); err != nil {
			return nil, err
		}
		return nil, missing
	}
	entries, err := f.tree(ctx, repository, commit, name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name && e.regular })
	if i < 0 {
		return nil, missing
	}
	out := &limited{left: maxFile + 1, cut: true}
	if err := execute(ctx, f.command(ctx, f.path(repository), "cat-file", "blob", entries[i].object), out); err != nil {
		return nil, err
	}
	if out.Len() > maxFile {
		return nil, fault.New(fault.TooLarge, "the file has more than %d bytes", maxFile).WithField(name)
	}
	return out.Bytes(), nil
}

// Workflows is ci.Source's: the .yaml and .yml files of .drawbridge/workflows if there are
// any, else those of .github/workflows. More than 100 are a fault of kind TooLarge.
func (f *Forge) Workflows(ctx context.Context, repository, commit string) ([]string, error) {
	for _, dir := range []string{".drawbridge/workflows/", ".github/workflows/"} {
		entries, err := f.tree(ctx, repository, commit, dir)
		if err != nil {
			return nil, err
		}
		var files []string
		for _, e := range entries {
			if ext := path.Ext(e.name); e.regular && (ext == ".yaml" || ext == ".yml") {
				files = append(files, e.name)
			}
		}
		if len(files) > maxWorkflows {
			return nil, fault.New(fault.TooLarge, "%s has %d workflows, at most %d are run", dir, len(files), maxWorkflows)
		}
		if len(files) > 0 {
			slices.Sort(files)
			return files, nil
		}
	}
	return nil, nil
}

// findCommit checks that there is a commit of that id.
func (f *Forge) findCommit(ctx context.Context, repository, commit string) error {
	if err := f.find(repository); err != nil {
		return err
	}
	if commitHex.MatchString(commit) {
		_, err := f.run(ctx, f.path(repository), nil, "cat-file", "-e", commit+"^{commit}")
		if err == nil || !exited(err) {
			return err
		}
	}
	return fault.New(fault.NotFound, "there is no commit %.40q in %s", commit, repository)
}

// entry is one entry of a tree.
type entry struct {
	name    string // whole path
	object  string
	regular bool // a regular file
}

// tree lists what is at a path of a commit; a path that ends with a slash lists that
// directory. It asks whether there is such a commit only when git could not list it: a push
// waits for each git that is started.
func (f *Forge) tree(ctx context.Context, repository, commit, name string) ([]entry, error) {
	if !commitHex.MatchString(commit) || f.find(repository) != nil {
		return nil, f.findCommit(ctx, repository, commit)
	}
	out, err := f.run(ctx, f.path(repository), nil, "ls-tree", "-z", "--full-tree", commit+"^{commit}", "--", name)
	if err != nil {
		return nil, cmp.Or(f.findCommit(ctx, repository, commit), err)
	}
	var list []entry
	for record := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if record == "" {
			continue
		}
		meta, p, ok := strings.Cut(record, "\t")
		part := strings.Fields(meta) // mode, type, object
		if !ok || len(part) != 3 {
			return nil, fmt.Errorf("read the tree of %s: unexpected record %q", repository, record)
		}
		list = append(list, entry{name: p, object: part[2], regular: part[0] == "100644" || part[0] == "100755"})
	}
	return list, nil
}

// cleanPath reports whether name is a path inside a tree, as git itself writes it.
func cleanPath(name string) bool {
	return name != "" && name == path.Clean(name) && name[0] != '/' && name != "." && name != ".." &&
		!strings.HasPrefix(name, "../") && !strings.ContainsRune(name, 0)
}
