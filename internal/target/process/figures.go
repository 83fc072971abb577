package process

import (
	"sync/atomic"
	"time"

	"drawbridge/internal/cd"
)

// latencyLimits are the upper limits of the latency histogram.
var latencyLimits = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// figures count what a version answered. It is safe for concurrent use.
type figures struct {
	requests, errors atomic.Int64
	latency          [len(latencyLimits)]atomic.Int64 // each alone, not cumulative
}

// answered counts a request whose answer began after took.
func (f *figures) answered(took time.Duration, failed bool) {
	f.requests.Add(1)
	for i, limit := range latencyLimits {
		if took <= limit {
			f.latency[i].Add(1)
			break
		}
	}
	if failed {
		f.errors.Add(1)
	}
}

// broke counts an answer that was counted as good and then broke off.
func (f *figures) broke() { f.errors.Add(1) }

// snapshot reads the errors before the requests, so that a share is never above 1.
func (f *figures) snapshot() cd.Figures {
	out := cd.Figures{Errors: f.errors.Load()}
	var sum int64
	for i := range latencyLimits {
		sum += f.latency[i].Load()
		out.Latency = append(out.Latency, cd.LatencyBucket{Limit: latencyLimits[i], Count: sum})
	}
	out.Requests = f.requests.Load()
	return out
}
