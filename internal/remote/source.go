package remote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Refs implements bridge.Sources. An annotated tag of what is no commit counts as that; a
// name that git itself would not take is left out.
func (r *Remote) Refs(ctx context.Context, repository string) (map[string]string, error) {
	at, err := r.parseAddress(repository)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errTimeout)
	defer cancel()
	l, err := r.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	list, err := l.list(ctx)
	if err != nil {
		return nil, err
	}
	refs := make(map[string]string, len(list))
	for _, one := range list {
		refs[one.name] = cmp.Or(one.peeled, one.object)
	}
	return refs, nil
}

// Commit implements bridge.Sources.
func (r *Remote) Commit(ctx context.Context, repository, commit string) (bridge.Commit, error) {
	var c bridge.Commit
	err := r.with(ctx, repository, commit, func(ctx context.Context, m *mirror, _ *url.URL) error {
		raw, err := m.git(ctx, nil, "cat-file", "commit", commit)
		if err != nil {
			return err
		}
		c, err = bridge.ParseCommit(commit, raw)
		return err
	})
	return c, err
}

// with has use work in a mirror that holds a commit, with all its trees.
func (r *Remote) with(ctx context.Context, repository, commit string, use func(context.Context, *mirror, *url.URL) error) error {
	at, err := r.parseAddress(repository)
	if err != nil {
		return err
	}
	if !objectID(commit) {
		return missing(commit, at)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errTimeout)
	defer cancel()
	m, release, err := r.open(ctx, at, formatOf(commit))
	if err != nil {
		return err
	}
	defer release()
	kind, err := m.kind(ctx, commit)
	if err != nil {
		return err
	}
	if kind == "" {
		if err := m.fetch(ctx, at, request{wants: []string{commit}, shallow: true, filter: "blob:none", done: true}); err != nil {
			return err
		}
		if kind, err = m.kind(ctx, commit); err != nil {
			return err
		}
	}
	if kind != "commit" {
		return missing(commit, at)
	}
	return use(ctx, m, at)
}

func missing(commit string, at *url.URL) error {
	return fault.New(fault.NotFound, "there is no commit %.64q in %s", commit, at)
}

func formatOf(commit string) string {
	if len(commit) == 64 {
		return "sha256"
	}
	return "sha1"
}

// fetch brings objects into the mirror. A host that sends no pack has nothing of them.
func (m *mirror) fetch(ctx context.Context, at *url.URL, q request) error {
	l, err := m.remote.connect(ctx, at)
	if err != nil {
		return err
	}
	a, err := l.fetch(ctx, q, func(pack io.Reader) error { return m.add(ctx, pack) })
	if err == nil && !a.sent {
		return fault.New(fault.Unavailable, "%s sends no objects", l.host)
	}
	return err
}

// Files implements bridge.Sources.
func (r *Remote) Files(ctx context.Context, repository, commit, dir string) (map[string][]byte, error) {
	var files map[string][]byte
	err := r.with(ctx, repository, commit, func(ctx context.Context, m *mirror, at *url.URL) error {
		gone := fault.New(fault.NotFound, "there is no directory %.200q in %s at %.12s", dir, at, commit)
		if dir != "" && !cleanPath(dir) {
			return gone
		}
		kind, err := m.kind(ctx, commit+":"+dir)
		if err != nil {
			return err
		}
		if kind != "tree" {
			return gone
		}
		listing, err := m.git(ctx, nil, "ls-tree", "-z", commit+":"+dir)
		if err != nil {
			return err
		}
		names, objects, err := regular(cmp.Or(dir, "."), string(listing))
		if err != nil {
			return err
		}
		files, err = m.contents(ctx, at, cmp.Or(dir, "."), names, objects)
		return err
	})
	return files, err
}

// cleanPath reports whether name is a path inside a tree, as git itself writes it.
func cleanPath(name string) bool {
	return name == path.Clean(name) && name[0] != '/' && name != "." && name != ".." &&
		!strings.HasPrefix(name, "../") && !strings.ContainsRune(name, 0)
}

// regular lists the regular files of a directory, as git ls-tree prints it.
func regular(dir, listing string) (names, objects []string, err error) {
	for record := range strings.SplitSeq(listing, "\x00") {
		meta, name, ok := strings.Cut(record, "\t")
		part := strings.Fields(meta) // mode, type, object
		if !ok || len(part) != 3 || (part[0] != "100644" && part[0] != "100755") {
			continue
		}
		names, objects = append(names, name), append(objects, part[2])
	}
	if len(names) > bridge.MaxFiles {
		return nil, nil, fault.New(fault.TooLarge, "the directory has %d files, at most %d are read", len(names), bridge.MaxFiles).WithField(dir)
	}
	return names, objects, nil
}

// contents reads files, and fetches those that the mirror does not have.
func (m *mirror) contents(ctx context.Context, at *url.URL, dir string, names, objects []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	if len(names) == 0 {
		return files, nil
	}
	sizes, err := m.sizes(ctx, objects)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for i, o := range objects {
		if sizes[i] < 0 && !slices.Contains(lacking, o) {
			lacking = append(lacking, o)
		}
	}
	if len(lacking) > 0 {
		if err := m.fetch(ctx, at, request{wants: lacking, done: true}); err != nil {
			return nil, err
		}
		if sizes, err = m.sizes(ctx, objects); err != nil {
			return nil, err
		}
	}
	for i, name := range names {
		if sizes[i] > bridge.MaxFile {
			return nil, fault.New(fault.TooLarge, "the file has %d bytes, at most %d are read", sizes[i], bridge.MaxFile).WithField(dir + "/" + name)
		}
		if sizes[i] < 0 {
			return nil, fault.New(fault.Unavailable, "%s does not send %.100q", at.Host, dir+"/"+name)
		}
	}
	out, err := m.git(ctx, strings.NewReader(strings.Join(objects, "\n")+"\n"), "cat-file", "--batch=%(objectsize)")
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		head, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok || string(head) != strconv.FormatInt(sizes[i], 10) || int64(len(rest)) <= sizes[i] {
			return nil, fmt.Errorf("read file %q: unexpected answer %.80q", name, head)
		}
		files[name], out = slices.Clone(rest[:sizes[i]]), rest[sizes[i]+1:]
	}
	return files, nil
}

// sizes are the sizes of blobs in the mirror, bytes, -1 for what is not there.
func (m *mirror) sizes(ctx context.Context, objects []string) ([]int64, error) {
	out, err := m.git(ctx, strings.NewReader(strings.Join(objects, "\n")+"\n"), "cat-file", "--batch-check=%(objecttype) %(objectsize)")
	if err != nil {
		return nil, err
	}
	sizes := make([]int64, 0, len(objects))
	for line := range strings.Lines(string(out)) {
		size := int64(-1)
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "blob "); ok {
			if size, err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, fmt.Errorf("read the size of a file: %w", err)
			}
		}
		sizes = append(sizes, size)
	}
	if len(sizes) != len(objects) {
		return nil, fmt.Errorf("read sizes of files: %d answers to %d questions", len(sizes), len(objects))
	}
	return sizes, nil
}
