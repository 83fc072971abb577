package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// frontier is the right edge of the tree: the roots of its complete subtrees, the biggest
// first. It is all that is needed to add a leaf and to know the root.
type frontier struct {
	size  int64
	roots []tlog.Hash
}

// loadFrontier reads the right edge of a tree with size leaves: one hash for each bit of size.
func loadFrontier(ctx context.Context, rows Rows, size int64) (*frontier, error) {
	var indexes []int64
	var start int64 // leaves left of the subtree at hand
	for level := 62; level >= 0; level-- {
		if size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, start>>level))
			start += 1 << level
		}
	}
	if len(indexes) == 0 {
		return &frontier{}, nil
	}
	roots, err := rows.Hashes(ctx, indexes)
	if err != nil {
		return nil, err
	}
	return &frontier{size: size, roots: roots}, nil
}

// add appends a leaf and returns the hashes that it completes, the leaf's own first: they
// are stored from StoredHashIndex(0, size before) on.
func (f *frontier) add(leaf tlog.Hash) []tlog.Hash {
	made := []tlog.Hash{leaf}
	for bit := f.size; bit&1 == 1; bit >>= 1 {
		last := len(f.roots) - 1
		leaf = tlog.NodeHash(f.roots[last], leaf)
		f.roots = f.roots[:last]
		made = append(made, leaf)
	}
	f.roots = append(f.roots, leaf)
	f.size++
	return made
}

// root is the hash of the whole tree; that of no leaf is the hash of nothing, as RFC 6962 says.
func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		return emptyRoot
	}
	last := len(f.roots) - 1
	h := f.roots[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}
