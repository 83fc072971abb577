package bridge

import (
	"sync"
	"time"
)

// looksPerHost is how many looks at one host are under way at once.
const looksPerHost = 2

// Budget keeps one host's subscriptions from taking the workers of all others: few looks
// at a host are under way at once, and none while it asked to be left alone. It lives in
// memory: a server that starts anew asks again. It is safe for concurrent use.
type Budget struct {
	mu    sync.Mutex
	hosts map[string]*hostBudget
}

type hostBudget struct {
	busy  int
	until time.Time // asked to be left alone
}

// Take takes a place at host; the caller calls release when the look has ended. Without a
// place release is nil and wait says when to come again.
func (b *Budget) Take(host string, now time.Time) (release func(), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.host(host)
	if now.Before(h.until) {
		return nil, h.until.Sub(now)
	}
	if h.busy >= looksPerHost {
		return nil, 2 * time.Second
	}
	h.busy++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		h.busy--
	}), 0
}

// Throttle leaves host alone until a time.
func (b *Budget) Throttle(host string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.host(host); until.After(h.until) {
		h.until = until
	}
}

func (b *Budget) host(name string) *hostBudget {
	if b.hosts == nil {
		b.hosts = map[string]*hostBudget{}
	}
	h := b.hosts[name]
	if h == nil {
		h = &hostBudget{}
		b.hosts[name] = h
	}
	return h
}
