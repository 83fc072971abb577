package process

import (
	"sync"
	"time"
)

// balance picks the version that answers a request by smooth weighted round robin: of
// every 100 requests a version with weight 10 gets exactly 10, spread evenly.
type balance struct {
	mu    sync.Mutex
	lanes []lane
}

// lane is a version with its share of the traffic.
type lane struct {
	version *version
	weight  int // above 0
	credit  int
}

// set replaces all lanes at once. No request picks a version that is not in lanes once
// set has returned.
func (b *balance) set(lanes []lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lanes = lanes
}

// pick gives the version for the next request and counts the request as in flight there:
// the caller calls inflight.leave. It gives nil when no version gets traffic.
func (b *balance) pick() *version {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	var best *lane
	for i := range b.lanes {
		l := &b.lanes[i]
		l.credit += l.weight
		total += l.weight
		if best == nil || l.credit > best.credit {
			best = l
		}
	}
	if best == nil {
		return nil
	}
	best.credit -= total
	best.version.inflight.enter()
	return best.version
}

// inflight counts the requests that a version is answering.
type inflight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil when nobody waits
}

func (f *inflight) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *inflight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.n == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// none is closed once no request is in flight.
func (f *inflight) none() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle != nil {
		return f.idle
	}
	c := make(chan struct{})
	if f.n == 0 {
		close(c)
	} else {
		f.idle = c
	}
	return c
}

// backoff is the pause before start n+1 of a version that keeps ending, n counted from 0:
// 100 ms, doubled each time, at most 30 s.
func backoff(n int) time.Duration {
	const first, most = 100 * time.Millisecond, 30 * time.Second
	if n > 8 {
		return most
	}
	return min(first<<n, most)
}
