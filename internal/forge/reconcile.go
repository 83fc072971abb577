package forge

import (
	"context"
	"maps"

	"drawbridge/internal/ci"
)

// unknownPusher stands where nobody knows any more who pushed: the reflog lost it.
const unknownPusher = "unknown"

// Reconcile hands on what was pushed and never recorded: the server died between a push and
// its record, or git outlived the server. The next push does the same before it is taken, so
// that no push ever hides the one before it. NotFound when there is no such repository.
func (f *Forge) Reconcile(ctx context.Context, repository string) error {
	if err := f.find(repository); err != nil {
		return err
	}
	unlock, err := f.lock(ctx, repository)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = f.reconcile(ctx, repository)
	return err
}

// reconcile hands on the difference between what is recorded and what the refs name, and
// returns the refs. The caller holds the lock: without it a push under way would be taken
// for one that was lost, and the state before it for one after it.
func (f *Forge) reconcile(ctx context.Context, repository string) (map[string]string, error) {
	refs, err := f.Refs(ctx, repository)
	if err != nil {
		return nil, err
	}
	known, err := f.cfg.Known(ctx, repository)
	if err != nil || maps.Equal(refs, known) {
		return refs, err
	}
	log, err := f.log(ctx, repository, refs)
	if err != nil {
		return nil, err
	}
	missed := missed(known, log)
	after := maps.Clone(known)
	for _, m := range missed {
		after[m.Ref] = m.New
	}
	missed = append(missed, changed(after, refs, unknownPusher, f.cfg.Now().UTC())...)
	return refs, f.cfg.Pushed(ctx, repository, missed)
}

// missed are the moves of a log that come after what is known of each ref.
func missed(known map[string]string, log []ci.RefChange) []ci.RefChange {
	last := map[string]int{}
	for i, m := range log {
		if m.New == known[m.Ref] {
			last[m.Ref] = i
		}
	}
	var out []ci.RefChange
	for i, m := range log {
		if at, ok := last[m.Ref]; !ok || i > at {
			out = append(out, m)
		}
	}
	return out
}
