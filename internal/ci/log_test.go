package ci_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/ci"
)

// newSweeper is a Service over w an hour later.
func newSweeper(t *testing.T, w *world) *ci.Service {
	t.Helper()
	cfg := w.Config
	cfg.Now = func() time.Time { return now.Add(time.Hour) }
	s, err := ci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLogMasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob(`- run: |
    echo "::add-mask::hunter2%0Asecond line"
    printf hun; printf 'ter2 in two writes\n'
    echo "this is the second line"; echo hunter2 >&2
    echo "::add-mask::told on stderr" >&2; echo "told on stderr"; echo "it was told on stderr" >&2
    echo "::stop-commands::token"; echo "::add-mask::visible"; echo "::token::"
    printf 'a%.0s' $(seq 1 70000); printf 'hunter2'; printf 'b%.0s' $(seq 1 70000); echo
    printf 'no end hunter2'
- run: echo hunter2 again`))
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunSucceeded, "")
	log := w.logs.Text(1)
	for _, secret := range []string{"hunter2", "second line", "told on stderr"} {
		if strings.Contains(strings.ReplaceAll(log, "::add-mask::visible", ""), secret) {
			// The script's own first line names the step; it must be masked only after the mask is known.
			for line := range strings.Lines(log) {
				if strings.Contains(line, secret) && !strings.Contains(line, "##[") {
					t.Errorf("the log holds %q: %.100q", secret, line)
				}
			}
		}
	}
	w.wantLog(t, 1, "*** in two writes", "this is the ***", "::add-mask::visible", "it was ***", "no end ***", "*** again")
	if n := strings.Count(log, "a") + strings.Count(log, "b"); n < 140000 {
		t.Errorf("the long line has %d bytes, want all 140000", n)
	}
}

func TestLogIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: yes | head -n 100000"), func(c *ci.Config) { c.LogLimit = 10000 })
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunSucceeded, "")
	w.wantLog(t, 1, "limit of 10000 bytes")
	if n := len(w.logs.Text(1)); n > 10200 {
		t.Errorf("the log has %d bytes, want about 10000", n)
	}
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- name: \"two\\nlines\"\n  run: printf 'a\\xff\\0b\\n'; seq 1 20000"))
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunSucceeded, "")
	next := 1
	for line := range strings.Lines(w.logs.Text(1)) {
		stamp, text, ok := strings.Cut(line, " ")
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil || !ok {
			t.Fatalf("a line without time: %q", line)
		}
		if text == fmt.Sprintf("%d\n", next) {
			next++
		}
	}
	if next != 20001 {
		t.Errorf("the log holds the numbers up to %d in order, want 20000", next-1)
	}
}

// A follower sees all, from any offset, and ends with the job.
func TestFollowLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob("- run: |\n    echo one\n    while ! test -e \"$DRAWBRIDGE_GO\"; do sleep 0.01; done\n    echo two"))
	r, out := io.Pipe()
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := w.CopyLog(t.Context(), out, 1, 0, true)
		_ = out.CloseWithError(err)
		done <- err
	}()
	if err := w.Work(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = w.WorkJob(ctx, 1, 2) }()
	var seen bytes.Buffer
	buf := make([]byte, 1000)
	for !strings.Contains(seen.String(), "Z one\n") {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buf[:n])
	}
	if err := w.Cancel(t.Context(), 1, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&seen, r); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if seen.String() != w.logs.Text(1) {
		t.Errorf("the follower saw %q, the log is %q", seen.String(), w.logs.Text(1))
	}
	var rest bytes.Buffer
	if err := w.CopyLog(t.Context(), &rest, 1, 10, false); err != nil || rest.String() != seen.String()[10:] {
		t.Errorf("from offset 10: %q, %v", rest.String(), err)
	}
}
