package process

import (
	"strings"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	want := []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}
	for n, ms := range want {
		if got := backoff(n); got != ms*time.Millisecond {
			t.Errorf("backoff(%d) = %v, want %v", n, got, ms*time.Millisecond)
		}
	}
	if got := backoff(1 << 30); got != 30*time.Second {
		t.Errorf("backoff after a billion crashes = %v, want 30s", got)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	rows := map[string]struct{ in, want string }{
		"nothing":           {"", ""},
		"lines":             {"one\n\n two \r\nthree", "one | two | three"},
		"what colours text": {"\x1b[31mred\x1b[0m\n", "[31mred [0m"},
		"broken text":       {"a\xff\n", "a\uFFFD"},
		"too many lines":    {strings.Repeat("x\n", 20) + "end\n", strings.Repeat("x | ", 7) + "end"},
	}
	for name, row := range rows {
		var tail tail
		for _, b := range []byte(row.in) { // however it is cut
			if n, err := tail.Write([]byte{b}); n != 1 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if got := tail.String(); got != row.want {
			t.Errorf("%s: the tail is %q, want %q", name, got, row.want)
		}
	}
	var long tail
	_, _ = long.Write([]byte(strings.Repeat("a", 10*tailBytes) + "b"))
	if got := long.String(); len(got) != tailBytes || !strings.HasSuffix(got, "ab") {
		t.Errorf("the tail of a huge write has %d bytes", len(got))
	}
}

func TestBalanceIsExactAndEven(t *testing.T) {
	t.Parallel()
	for weight := range 101 {
		one, two := new(version), new(version)
		var b balance
		b.set([]lane{{version: one, weight: 100 - weight}, {version: two, weight: weight}})
		got, last, gap := 0, 0, 0
		for i := 1; i <= 100; i++ {
			v := b.pick()
			v.inflight.leave()
			if v == two {
				got++
				gap = max(gap, i-last)
				last = i
			}
		}
		if got != weight {
			t.Errorf("of 100 requests %d went to weight %d", got, weight)
		}
		if weight > 0 && gap > 100/weight+1 {
			t.Errorf("at weight %d there were %d requests without one", weight, gap)
		}
	}
	if new(balance).pick() != nil {
		t.Error("a balance without versions picks one")
	}
}

func TestLatencyIsCumulative(t *testing.T) {
	t.Parallel()
	var f figures
	for _, took := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Second, time.Hour} {
		f.answered(took, false)
	}
	got := map[time.Duration]int64{}
	for _, b := range f.snapshot().Latency {
		got[b.Limit] = b.Count
	}
	for limit, want := range map[time.Duration]int64{time.Millisecond: 2, 2500 * time.Microsecond: 3, 500 * time.Millisecond: 3, time.Second: 4, 10 * time.Second: 4} {
		if got[limit] != want {
			t.Errorf("%d requests within %v, want %d", got[limit], limit, want)
		}
	}
	if n := f.snapshot().Requests; n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
}

func TestPortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	p, seen := newPorts(), map[int]bool{}
	for range 200 {
		port, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was given twice", port)
		}
		seen[port] = true
	}
}

func TestRises(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]int{"a": 0, "..": 1, "../..": 2, "a/..": 0, "a/../..": 1, "../a/../..": 2, "./a//b": 0} {
		if got := rises(target); got != want {
			t.Errorf("rises(%q) = %d, want %d", target, got, want)
		}
	}
}
