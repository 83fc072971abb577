package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// maxHistory bounds how many commits between two are looked at.
const maxHistory = 200_000

// Ancestor implements bridge.Sources. It asks for what old's history lacks of now's: when old
// is an ancestor, a parent of one of these commits is old. A history of more than 200,000
// commits, or of Options.MaxFetch bytes, is a fault of kind TooLarge.
func (r *Remote) Ancestor(ctx context.Context, repository, old, now string) (bool, error) {
	if old == now {
		_, err := r.Commit(ctx, repository, now)
		return err == nil, err
	}
	at, err := r.parseAddress(repository)
	if err != nil {
		return false, err
	}
	if !objectID(now) {
		return false, missing(now, at)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errTimeout)
	defer cancel()
	l, err := r.connect(ctx, at)
	if err != nil {
		return false, err
	}
	if !objectID(old) || len(old) != len(now) {
		_, err := r.Commit(ctx, repository, now)
		return false, err
	}
	return r.between(ctx, l, at, old, now)
}

// between fetches the commits into a repository of their own: they come without trees, and a
// mirror's commits have theirs.
func (r *Remote) between(ctx context.Context, l *link, at *url.URL, old, now string) (found bool, err error) {
	dir, err := os.MkdirTemp(r.options.Dir, "history-")
	if err != nil {
		return false, fmt.Errorf("make a place for commits: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m := &mirror{remote: r, dir: dir, format: formatOf(now)}
	if err := m.renew(ctx); err != nil {
		return false, err
	}
	take := func(pack io.Reader) error { return m.add(ctx, pack) }
	q := request{wants: []string{now}, have: old, filter: "tree:0"}
	a, err := l.fetch(ctx, q, take)
	if err != nil || !a.known {
		return false, err // a host that has now has all its ancestors
	}
	if !a.sent {
		q.done = true
		if _, err := l.fetch(ctx, q, take); err != nil {
			return false, err
		}
	}
	parents, err := m.history(ctx)
	if err != nil {
		return false, err
	}
	if len(parents) > maxHistory {
		return false, fault.New(fault.TooLarge, "more than %d commits of %s lie between the two", maxHistory, at)
	}
	return reaches(parents, now, old), nil
}

// reaches reports whether old is among the ancestors of now.
func reaches(parents map[string][]string, now, old string) bool {
	seen, next := map[string]bool{now: true}, []string{now}
	for len(next) > 0 {
		last := len(next) - 1
		commit := next[last]
		next = next[:last]
		for _, p := range parents[commit] {
			if p == old {
				return true
			}
			if !seen[p] {
				seen[p], next = true, append(next, p)
			}
		}
	}
	return false
}

// history is the parents of all commits that the mirror holds, at most a few over maxHistory.
func (m *mirror) history(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := m.remote.command(ctx, "--git-dir="+m.dir, "cat-file", "--batch-all-objects", "--unordered", "--batch=%(objecttype) %(objectsize) %(objectname)")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("read commits: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("read commits: %w", err)
	}
	parents, readErr := readHistory(bufio.NewReader(out))
	whole := readErr == nil && len(parents) <= maxHistory
	if !whole {
		cancel()
	}
	if err := cmd.Wait(); err != nil && whole {
		return nil, fmt.Errorf("read commits: %w", err)
	}
	return parents, readErr
}

// readHistory reads "TYPE SIZE NAME", the object and a newline, again and again.
func readHistory(r *bufio.Reader) (map[string][]string, error) {
	parents := map[string][]string{}
	for len(parents) <= maxHistory {
		head, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && head == "" {
			return parents, nil
		}
		part := strings.Fields(head)
		if err != nil || len(part) != 3 {
			return nil, fmt.Errorf("read commits: unexpected answer %.80q: %w", head, err)
		}
		size, err := strconv.ParseInt(part[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read commits: %w", err)
		}
		if part[0] != "commit" || size > bridge.MaxCommit {
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return nil, fmt.Errorf("read commits: %w", err)
			}
			continue
		}
		raw := make([]byte, size+1)
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("read commits: %w", err)
		}
		c, err := bridge.ParseCommit(part[2], raw[:size])
		if err != nil {
			continue // it leads nowhere
		}
		parents[c.ID] = c.Parents
	}
	return parents, nil
}
