package forge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/ci"
)

// maxLine is the longest line of a reflog that is read, in bytes.
const maxLine = 64 << 10

// Refs is the commit that each branch and tag of a repository names now; an annotated tag
// counts as its commit, one that names no commit is left out. NotFound when there is no
// such repository.
func (f *Forge) Refs(ctx context.Context, repository string) (map[string]string, error) {
	if err := f.find(repository); err != nil {
		return nil, err
	}
	const format = "%(objecttype) %(objectname) %(refname)"
	out, err := f.run(ctx, f.path(repository), nil, "for-each-ref", "--format="+format, "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs, tags := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(out)) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		switch {
		case len(part) != 3:
			return nil, fmt.Errorf("read refs of %s: unexpected line %q", repository, line)
		case part[0] == "commit":
			refs[part[2]] = part[1]
		case part[0] == "tag":
			tags[part[2]] = part[1]
		}
	}
	commits, err := f.peel(ctx, repository, slices.Collect(maps.Values(tags)))
	if err != nil {
		return nil, err
	}
	for name, tag := range tags {
		if c := commits[tag]; c != "" {
			refs[name] = c
		}
	}
	return refs, nil
}

// peel finds the commit that each object is or tags; objects that lead to none are left out.
func (f *Forge) peel(ctx context.Context, repository string, objects []string) (map[string]string, error) {
	if len(objects) == 0 {
		return nil, nil //nolint:nilnil // reading from a nil map is what the callers do
	}
	ask := strings.NewReader(strings.Join(objects, "^{commit}\n") + "^{commit}\n")
	out, err := f.run(ctx, f.path(repository), ask, "cat-file", "--batch-check=%(objectname) %(objecttype)")
	if err != nil {
		return nil, err
	}
	commits, i := map[string]string{}, 0
	for line := range strings.Lines(string(out)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i < len(objects) && kind == "commit" {
			commits[objects[i]] = name
		}
		i++
	}
	if i != len(objects) {
		return nil, fmt.Errorf("read commits of %s: %d answers to %d questions", repository, i, len(objects))
	}
	return commits, nil
}

// changed lists what differs between two states of a repository's refs, sorted by name.
func changed(before, after map[string]string, pusher string, at time.Time) []ci.RefChange {
	var list []ci.RefChange
	for ref, now := range after {
		if old := before[ref]; old != now {
			list = append(list, ci.RefChange{Ref: ref, Old: orNone(old), New: now, Pusher: pusher, At: at})
		}
	}
	for ref, old := range before {
		if _, there := after[ref]; !there {
			list = append(list, ci.RefChange{Ref: ref, Old: old, New: ci.NoCommit, Pusher: pusher, At: at})
		}
	}
	slices.SortFunc(list, func(a, b ci.RefChange) int { return strings.Compare(a.Ref, b.Ref) })
	return list
}

func orNone(commit string) string {
	if commit == "" {
		return ci.NoCommit
	}
	return commit
}

// log lists each move of the refs that still exist as the reflog has it, in order, with the
// identity that pushed it. Times are whole seconds. The caller holds the lock.
func (f *Forge) log(ctx context.Context, repository string, refs map[string]string) ([]ci.RefChange, error) {
	root, err := os.OpenRoot(f.path(repository))
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", repository, err)
	}
	defer root.Close() //nolint:errcheck // nothing was written
	var moves []ci.RefChange
	for ref := range refs {
		list, err := readLog(root, ref)
		if err != nil {
			return nil, fmt.Errorf("read the log of %s in %s: %w", ref, repository, err)
		}
		moves = append(moves, list...)
	}
	return f.commits(ctx, repository, moves)
}

// commits puts commits in the place of annotated tags, and sorts.
func (f *Forge) commits(ctx context.Context, repository string, moves []ci.RefChange) ([]ci.RefChange, error) {
	var objects []string
	for _, m := range moves {
		objects = append(objects, m.New)
	}
	commits, err := f.peel(ctx, repository, objects)
	if err != nil {
		return nil, err
	}
	kept := moves[:0]
	for _, m := range moves {
		if c := commits[m.New]; c != "" {
			m.New = c
			kept = append(kept, m)
		}
	}
	slices.SortStableFunc(kept, func(a, b ci.RefChange) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Ref, b.Ref)
	})
	return kept, nil
}

func readLog(root *os.Root, ref string) ([]ci.RefChange, error) {
	file, err := root.Open(filepath.Join("logs", filepath.FromSlash(ref)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	return parseLog(file, ref)
}

// parseLog reads a reflog: "OLD NEW NAME <MAIL> SECONDS ZONE\tMESSAGE". A last line without
// its end is one that git was writing when it was killed, and whose ref did not move.
func parseLog(r io.Reader, ref string) ([]ci.RefChange, error) {
	var list []ci.RefChange
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		m, ok := parseMove(lines.Text(), ref)
		if ok && m.New != ci.NoCommit {
			list = append(list, m)
		}
	}
	return list, lines.Err()
}

func parseMove(line, ref string) (ci.RefChange, bool) {
	head, _, ok := strings.Cut(line, "\t")
	if !ok || len(head) < 83 || !commitHex.MatchString(head[:40]) || !commitHex.MatchString(head[41:81]) {
		return ci.RefChange{}, false
	}
	name, rest, ok := strings.Cut(head[82:], " <")
	_, stamp, found := strings.Cut(rest, "> ")
	seconds, _, _ := strings.Cut(stamp, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || !found || err != nil {
		return ci.RefChange{}, false
	}
	return ci.RefChange{Ref: ref, Old: head[:40], New: head[41:81], Pusher: name, At: time.Unix(n, 0).UTC()}, true
}
