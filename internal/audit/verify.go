package audit

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/fault"
)

// Report is what Verify found.
type Report struct {
	Origin     string // of the log, "drawbridge/cd"
	Size       int64  // entries that were proven; up to the first bad one when Verify fails
	Root       string // base64 of the tree's root over Size entries; empty when Verify fails
	Checkpoint []byte // the newest signed checkpoint: remember it; nil for an empty log
	// Broken is the Seq of the first entry that was altered, removed or inserted, as near
	// as it can be told; 0 when Verify succeeds or no single entry is to blame.
	Broken int64
}

// Verify recomputes the log in src from its entries alone and compares it with the stored
// hashes, with every checkpoint, whose signatures must be by verifierKey ("NAME+HASH+KEY",
// see Key.Verifier), and with remembered, an earlier checkpoint of the same log that the
// caller kept; nil when there is none. It reads each entry once and keeps none.
//
// It returns a fault of kind Refused that says what is wrong when the log does not hold,
// Invalid when verifierKey or remembered is malformed, and src's error when it cannot be read.
func Verify(ctx context.Context, src Source, verifierKey string, remembered []byte) (Report, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Report{}, fault.New(fault.Invalid, "the audit log's public key is malformed").
			WithHint("it looks like drawbridge/cd+1a2b3c4d+…")
	}
	v := &verification{verifier: verifier, report: Report{Origin: verifier.Name()}}
	if remembered != nil {
		r, err := open(remembered, verifier)
		if err != nil {
			return v.report, fault.New(fault.Refused, "the remembered checkpoint is not this log's: %v", err).
				WithHint("the log may have been replaced by one with another key; ask who keeps the server")
		}
		v.remembered = &r
	}
	err = v.run(ctx, src)
	if err == nil {
		v.report.Root = v.tree.root().String()
	}
	return v.report, err
}

type verification struct {
	verifier   note.Verifier
	remembered *opened
	report     Report
	tree       frontier

	nodes       func() (Node, error, bool) // nil when the source keeps none
	checkpoints func() (Checkpoint, error, bool)
	next        *opened // the next checkpoint
	nextNote    []byte
	// suspect is the first entry since the last good checkpoint whose stored leaf differs
	// from its body, crooked the first whose inner hashes do; 0 means none.
	suspect, crooked int64
}

func (v *verification) run(ctx context.Context, src Source) error {
	if seq := src.Nodes(ctx); seq != nil {
		next, stop := iter.Pull2(seq)
		defer stop()
		v.nodes = next
	}
	next, stop := iter.Pull2(src.Checkpoints(ctx))
	defer stop()
	v.checkpoints = next
	if err := v.pullCheckpoint(); err != nil {
		return err
	}
	if err := v.checkRemembered(); err != nil {
		return err
	}
	for row, err := range src.Entries(ctx) {
		if err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		if err := v.entry(row); err != nil {
			return err
		}
	}
	return v.finish()
}

// entry adds one row to the tree and compares all that can be compared at its size.
func (v *verification) entry(row Row) error {
	want := v.tree.size + 1
	switch {
	case row.Seq > want:
		return v.broken(want, "entry %d was removed", want)
	case row.Seq < want:
		return v.broken(row.Seq, "entry %d is there twice", row.Seq)
	}
	e, err := ParseEntry(row.Body)
	if err != nil || e.Seq != row.Seq {
		return v.broken(row.Seq, "entry %d was altered: its body is not that of entry %d", row.Seq, row.Seq)
	}
	if err := v.compareNodes(row); err != nil {
		return err
	}
	if err := v.checkCheckpoint(); err != nil {
		return err
	}
	return v.checkRemembered()
}

// compareNodes extends the tree by row and compares what that makes with the stored hashes.
func (v *verification) compareNodes(row Row) error {
	index := tlog.StoredHashIndex(0, v.tree.size)
	made := v.tree.add(tlog.RecordHash(row.Body))
	if v.nodes == nil {
		return nil
	}
	for level, h := range made {
		stored, err, ok := v.nodes()
		if err != nil {
			return fmt.Errorf("reading the hashes of the audit log: %w", err)
		}
		if !ok || stored.Index != index+int64(level) {
			return v.broken(row.Seq, "a stored hash of entry %d was removed or inserted", row.Seq)
		}
		if stored.Hash == h {
			continue
		}
		if level == 0 && v.suspect == 0 {
			v.suspect = row.Seq
		}
		if level > 0 && v.crooked == 0 {
			v.crooked = row.Seq
		}
	}
	return nil
}

// checkCheckpoint compares the tree with the checkpoint of its size, if that is the next.
func (v *verification) checkCheckpoint() error {
	for v.next != nil && v.next.size == v.tree.size {
		if v.next.root != v.tree.root() {
			return v.blame()
		}
		switch { // the signature vouches for the bodies, so the hash is what was changed
		case v.suspect != 0:
			return v.broken(v.suspect, "the stored hash of entry %d was altered", v.suspect)
		case v.crooked != 0:
			return v.broken(v.crooked, "a stored hash that entry %d completed was altered", v.crooked)
		}
		v.report.Size, v.report.Checkpoint = v.tree.size, v.nextNote
		if err := v.pullCheckpoint(); err != nil {
			return err
		}
	}
	return nil
}

// blame says which entry does not fit the signed checkpoint at this size.
func (v *verification) blame() error {
	first, last := v.report.Size+1, v.tree.size
	switch {
	case v.suspect != 0:
		return v.broken(v.suspect, "entry %d was altered", v.suspect)
	case first == last:
		return v.broken(first, "entry %d was altered, with its hashes", first)
	}
	return v.broken(first, "one of the entries %d to %d was altered, with its hashes", first, last)
}

// pullCheckpoint reads the next checkpoint and checks its signature.
func (v *verification) pullCheckpoint() error {
	v.next, v.nextNote = nil, nil
	c, err, ok := v.checkpoints()
	if err != nil {
		return fmt.Errorf("reading the checkpoints of the audit log: %w", err)
	}
	if !ok {
		return nil
	}
	o, err := open(c.Note, v.verifier)
	if err != nil {
		return v.broken(0, "the checkpoint over %d entries does not hold: %v", c.Size, err)
	}
	if o.size != c.Size || o.size <= v.report.Size {
		return v.broken(0, "the checkpoint over %d entries was put in the place of another", o.size)
	}
	v.next, v.nextNote = &o, c.Note
	return nil
}

// checkRemembered compares the tree with what the caller remembers, once it has that size.
func (v *verification) checkRemembered() error {
	if v.remembered == nil || v.remembered.size != v.tree.size || v.remembered.root == v.tree.root() {
		return nil
	}
	if v.suspect != 0 {
		return v.blame()
	}
	return v.broken(0, "the log was rewritten: its first %d entries are not those that you saw before", v.tree.size)
}

// finish looks for what is missing or too much at the end.
func (v *verification) finish() error {
	size := v.tree.size
	switch {
	case v.next != nil:
		return v.broken(size+1, "entry %d was removed: a checkpoint covers %d entries, %d are there", size+1, v.next.size, size)
	case v.report.Size < size:
		first := v.report.Size + 1
		return v.broken(first, "entry %d was inserted: no checkpoint covers it", first)
	case v.remembered != nil && v.remembered.size > size:
		return v.broken(size+1, "entry %d was removed: the log had %d entries when you looked before, now it has %d", size+1, v.remembered.size, size)
	}
	if v.nodes == nil {
		return nil
	}
	_, err, ok := v.nodes()
	if err != nil {
		return fmt.Errorf("reading the hashes of the audit log: %w", err)
	}
	if ok {
		return v.broken(0, "there are hashes of more than the %d entries of the log", size)
	}
	return nil
}

func (v *verification) broken(seq int64, format string, args ...any) error {
	v.report.Broken = seq
	return fault.New(fault.Refused, "audit log %s: %s", v.verifier.Name(), fmt.Sprintf(format, args...)).
		WithHint("somebody changed the database beside the server: compare it with a backup or an export")
}
