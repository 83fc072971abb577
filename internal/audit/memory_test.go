package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/audit"
)

// memory is a log in memory: Rows and Source, and open to every attack.
type memory struct {
	rows        []audit.Row
	nodes       []audit.Node
	checkpoints []audit.Checkpoint
}

func (m *memory) Size(context.Context) (int64, error) { return int64(len(m.rows)), nil }

func (m *memory) Hashes(_ context.Context, indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, x := range indexes {
		i := slices.IndexFunc(m.nodes, func(n audit.Node) bool { return n.Index == x })
		if i < 0 {
			return nil, fmt.Errorf("no hash %d", x)
		}
		out = append(out, m.nodes[i].Hash)
	}
	return out, nil
}

func (m *memory) Add(_ context.Context, b audit.Batch) error {
	m.rows = append(m.rows, b.Rows...)
	m.nodes = append(m.nodes, b.Nodes...)
	m.checkpoints = append(m.checkpoints, b.Checkpoint)
	return nil
}

func each[T any](s []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range s {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (m *memory) Entries(context.Context) iter.Seq2[audit.Row, error] { return each(m.rows) }
func (m *memory) Nodes(context.Context) iter.Seq2[audit.Node, error]  { return each(m.nodes) }
func (m *memory) Checkpoints(context.Context) iter.Seq2[audit.Checkpoint, error] {
	return each(m.checkpoints)
}

// clone copies m deeply enough that an attack on the copy leaves m alone.
func (m *memory) clone() *memory {
	c := &memory{rows: slices.Clone(m.rows), nodes: slices.Clone(m.nodes), checkpoints: slices.Clone(m.checkpoints)}
	for i := range c.rows {
		c.rows[i].Body = bytes.Clone(c.rows[i].Body)
	}
	return c
}

func newKey(t testing.TB) audit.Key {
	t.Helper()
	private, err := audit.GenerateKey(rand.Reader, "cd")
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func entry(i int) audit.Entry {
	return audit.Entry{
		At: time.UnixMilli(1_700_000_000_000 + int64(i)), Actor: "bob", Action: "promotion.approve",
		Subject: fmt.Sprintf("promotion/%d", i), Application: "shop", Detail: map[string]string{"why": "it's <fine> & \"good\""},
	}
}

// appendTo appends n entries, batch by batch, as that many transactions would.
func appendTo(t *testing.T, m *memory, key audit.Key, n, batch int) {
	t.Helper()
	for n > 0 {
		var es []audit.Entry
		for range min(batch, n) {
			es = append(es, entry(len(m.rows)+len(es)+1))
		}
		size, err := audit.Append(t.Context(), m, key, es...)
		if err != nil {
			t.Fatal(err)
		}
		if size != int64(len(m.rows)) {
			t.Fatalf("Append = %d, want %d", size, len(m.rows))
		}
		n -= len(es)
	}
}
