package demo

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// between is the time between two requests of one visitor.
const between = 20 * time.Millisecond

// traffic is what visitors do: requests to production, one after the other, for as long
// as the story lasts.
type traffic struct {
	mu     sync.Mutex
	target string
	cancel context.CancelFunc
	done   sync.WaitGroup
	sent   int
	failed int // answers of 500 and above, and none at all
}

func newTraffic() *traffic { return &traffic{} }

// start sends visitors to an address, in place of the one before.
func (t *traffic) start(address string) {
	t.stop()
	ctx, cancel := context.WithCancel(context.Background())
	t.mu.Lock()
	t.target, t.cancel = address, cancel
	t.mu.Unlock()
	for range 4 {
		t.done.Go(func() { t.visit(ctx, address) })
	}
}

func (t *traffic) visit(ctx context.Context, address string) {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		status := get(ctx, address)
		if ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		t.sent++
		if status == 0 || status >= 500 {
			t.failed++
		}
		t.mu.Unlock()
	}
}

// get asks for / and returns the status; 0 when there was no answer.
func get(ctx context.Context, address string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()               //nolint:errcheck // read to its end
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.StatusCode
}

// stop ends the visits and waits for the last ones.
func (t *traffic) stop() {
	t.mu.Lock()
	cancel := t.cancel
	t.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	t.done.Wait()
}

// counts is what was sent and what failed since the last call.
func (t *traffic) counts() (sent, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sent, failed = t.sent, t.failed
	t.sent, t.failed = 0, 0
	return sent, failed
}

func (t *traffic) address() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.target
}
