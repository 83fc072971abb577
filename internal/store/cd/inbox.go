package cd

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"drawbridge/internal/bridge"
)

// Bounds of one batch of deliveries that are kept in one transaction.
const (
	batchLetters = 128
	batchFacts   = 1000
	batchBytes   = 8 << 20 // of bodies
)

// inbox gathers the deliveries that arrive while a transaction is under way, so that the
// next one keeps all of them: many senders share its statements and its commit. The first
// one that waits does the work for all; there is no goroutine of its own.
type inbox struct {
	mu      sync.Mutex
	waiting []*letter
	busy    bool // somebody works, or was told to
}

// letter is one delivery on its way into the ledger.
type letter struct {
	from    source
	events  []bridge.Event // without ids until they are kept
	bodies  []string       // of the events' facts
	headers string
	raw     []byte

	kept  []bridge.Event
	fresh bool
	err   error
	turn  chan bool // true: work now; false: it is done
}

// source is by what a delivery is kept once.
type source struct{ receiver, sender, key string }

// post returns once l is kept or has failed; keep does that for a batch. A context that
// ends takes back a letter that nobody has begun with.
func (b *inbox) post(ctx context.Context, l *letter, keep func(ctx context.Context, batch []*letter)) error {
	l.turn = make(chan bool, 1)
	b.mu.Lock()
	b.waiting = append(b.waiting, l)
	lead := !b.busy
	b.busy = true
	b.mu.Unlock()
	if !lead {
		select {
		case lead = <-l.turn:
		case <-ctx.Done():
			if b.takeBack(l) {
				return ctx.Err()
			}
			lead = <-l.turn
		}
	}
	if lead {
		b.work(context.WithoutCancel(ctx), keep) // it is no longer for one sender alone
	}
	return l.err
}

// takeBack removes a letter that still waits and has no turn.
func (b *inbox) takeBack(l *letter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, l)
	if i < 0 || len(l.turn) > 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}

var errGivenUp = errors.New("keeping deliveries: the work was given up")

// work keeps one batch, the worker's own letter among it, and hands the rest on.
func (b *inbox) work(ctx context.Context, keep func(ctx context.Context, batch []*letter)) {
	// Those whose deliveries were kept just now may bring their next ones: else two crowds of
	// senders take turns, each with a commit of its own.
	runtime.Gosched()
	b.mu.Lock()
	batch := b.take()
	b.mu.Unlock()
	for _, l := range batch {
		l.err = errGivenUp // stays when keep does not return
	}
	defer func() {
		for _, l := range batch[1:] {
			l.turn <- false
		}
		b.mu.Lock()
		if b.busy = len(b.waiting) > 0; b.busy {
			b.waiting[0].turn <- true
		}
		b.mu.Unlock()
	}()
	keep(ctx, batch)
}

// take takes the first letters, as many as one transaction holds. It needs the lock.
func (b *inbox) take() []*letter {
	n, facts, bytes := 0, 0, 0
	for _, l := range b.waiting {
		facts += len(l.events)
		bytes += len(l.raw)
		if n > 0 && (n == batchLetters || facts > batchFacts || bytes > batchBytes) {
			break
		}
		n++
	}
	batch := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	return batch
}
