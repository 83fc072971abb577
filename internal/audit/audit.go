// Package audit is a log that cannot be changed without being noticed: a Merkle tree
// (RFC 6962, as golang.org/x/mod/sumdb/tlog computes it) over ordinary rows.
//
// Append writes entries, the tree's hashes and a signed checkpoint inside the caller's
// transaction, so a change and its entry are committed together or not at all. Verify
// recomputes the whole tree from the entries and names the first entry that was altered,
// removed or inserted. A key that lies beside the log proves nothing against the person
// who holds both, so the reader remembers the last checkpoint that it saw and hands it to
// Verify: a log that was cut or rebuilt since then does not match it.
//
// The package does no I/O and knows no database: Rows and Source are its ports.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/fault"
)

// MaxBody is the largest body of an entry, in bytes: what a C2SP tile entry can hold.
const MaxBody = 65535

// Entry is one fact that is kept for ever: who did what to what. Big or secret values do
// not belong in it; a digest of them does.
type Entry struct {
	Seq         int64             `json:"seq"`                   // position from 1, without gaps; set by Append
	At          time.Time         `json:"at"`                    // UTC, whole milliseconds
	Actor       string            `json:"actor"`                 // the identity that acted, for example "bob" or "ci"
	Action      string            `json:"action"`                // NOUN.VERB, for example "promotion.approve"
	Subject     string            `json:"subject"`               // what it was done to, for example "promotion/7"
	Application string            `json:"application,omitempty"` // may be empty
	Environment string            `json:"environment,omitempty"` // may be empty
	Chain       string            `json:"chain,omitempty"`       // chain id from the push to production; may be empty
	Detail      map[string]string `json:"detail,omitempty"`      // anything else, flat
}

// Body is the entry's canonical JSON: fixed field order, keys of Detail sorted, no
// white space, nothing escaped that need not be. It is what the tree hashes. A fault of
// kind TooLarge when it has more than MaxBody bytes, Invalid when text is not UTF-8 or
// Actor, Action or At is missing.
func (e Entry) Body() ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("writing the audit entry %s: %w", e.Action, err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(body) > MaxBody {
		return nil, fault.New(fault.TooLarge, "the audit entry %s has %d bytes, %d are allowed", e.Action, len(body), MaxBody).
			WithHint("log a digest of what is big")
	}
	return body, nil
}

func (e Entry) validate() error {
	if e.Actor == "" || e.Action == "" || e.At.IsZero() {
		return fault.New(fault.Invalid, "an audit entry needs actor, action and time (action %q, actor %q)", e.Action, e.Actor)
	}
	texts := []string{e.Actor, e.Action, e.Subject, e.Application, e.Environment, e.Chain}
	for k, v := range e.Detail {
		texts = append(texts, k, v)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fault.New(fault.Invalid, "the audit entry %q holds text that is not UTF-8", e.Action)
		}
	}
	return nil
}

// ParseEntry reads what Body wrote.
func ParseEntry(body []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(body, &e); err != nil {
		return Entry{}, fmt.Errorf("reading an audit entry: %w", err)
	}
	return e, nil
}

// Row is one entry as it is stored.
type Row struct {
	Seq  int64 // from 1
	Body []byte
}

// Node is one hash of the tree as it is stored.
type Node struct {
	Index int64 // tlog's stored hash index, from 0
	Hash  tlog.Hash
}

// Rows is the log's storage inside one transaction. The transaction must exclude every
// other Append until it ends.
type Rows interface {
	// Size is the number of entries.
	Size(ctx context.Context) (int64, error)
	// Hashes returns the stored hashes at indexes, in their order. A missing one is an error.
	Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// Add stores what one Append made. It never replaces a row.
	Add(ctx context.Context, b Batch) error
}

// Batch is what one Append adds.
type Batch struct {
	Rows       []Row
	Nodes      []Node
	Checkpoint Checkpoint
}

// Append adds entries in their order to the log behind rows, and one checkpoint over the
// whole log signed with key. It sets each entry's Seq and returns the log's new size. It
// is durable when the transaction behind rows is. No entries change nothing.
func Append(ctx context.Context, rows Rows, key Key, entries ...Entry) (int64, error) {
	size, err := rows.Size(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the size of the audit log: %w", err)
	}
	if len(entries) == 0 {
		return size, nil
	}
	f, err := loadFrontier(ctx, rows, size)
	if err != nil {
		return 0, fmt.Errorf("reading the tree of the audit log: %w", err)
	}
	var b Batch
	for _, e := range entries {
		e.Seq = f.size + 1
		body, err := e.Body()
		if err != nil {
			return 0, err
		}
		first := tlog.StoredHashIndex(0, f.size)
		for i, h := range f.add(tlog.RecordHash(body)) {
			b.Nodes = append(b.Nodes, Node{Index: first + int64(i), Hash: h})
		}
		b.Rows = append(b.Rows, Row{Seq: e.Seq, Body: body})
	}
	if b.Checkpoint, err = key.sign(f.size, f.root()); err != nil {
		return 0, err
	}
	if err := rows.Add(ctx, b); err != nil {
		return 0, fmt.Errorf("writing the audit log: %w", err)
	}
	return f.size, nil
}
