package ci_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drawbridge/internal/store/ci"
)

func openLogs(t *testing.T, dir string) *ci.LogFiles {
	t.Helper()
	l, err := ci.OpenLogFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func readLog(t *testing.T, l *ci.LogFiles, job, offset int64) string {
	t.Helper()
	r, err := l.Open(t.Context(), job, offset)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLogFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	l := openLogs(t, dir)
	if got := readLog(t, l, 7, 0); got != "" {
		t.Errorf("a log that nobody wrote = %q, want nothing", got)
	}
	for _, text := range []string{"one\n", "two\n"} {
		if err := l.Append(t.Context(), 7, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for offset, want := range map[int64]string{0: "one\ntwo\n", 4: "two\n", 8: "", 100: ""} {
		if got := readLog(t, l, 7, offset); got != want {
			t.Errorf("from %d = %q, want %q", offset, got, want)
		}
	}
	if got := readLog(t, l, 8, 0); got != "" {
		t.Errorf("another job's log = %q, want nothing", got)
	}
	if err := l.Close(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	again := openLogs(t, dir) // the server starts anew
	if err := again.Append(t.Context(), 7, []byte("three\n")); err != nil {
		t.Fatal(err)
	}
	if got := readLog(t, again, 7, 0); got != "one\ntwo\nthree\n" {
		t.Errorf("after a restart = %q, want all three lines", got)
	}
	if err := again.Close(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory = %v, %v, want 0700", info.Mode().Perm(), err)
	}
}

// Readers that follow while another writes see every byte, once and in order.
func TestLogFilesFollow(t *testing.T) {
	t.Parallel()
	l := openLogs(t, t.TempDir())
	const lines = 500
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var got strings.Builder
			for got.Len() < want.Len() {
				if err := l.Wait(t.Context(), 1, int64(got.Len())); err != nil {
					t.Errorf("Wait = %v", err)
					return
				}
				got.WriteString(readLog(t, l, 1, int64(got.Len())))
			}
			if got.String() != want.String() {
				t.Error("a follower saw something else than what was written")
			}
		})
	}
	for line := range strings.Lines(want.String()) {
		if err := l.Append(t.Context(), 1, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := l.Close(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func TestLogFilesWaitEnds(t *testing.T) {
	t.Parallel()
	l := openLogs(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 1, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait when its context ends = %v, want canceled", err)
	}
	woken := make(chan error, 1)
	go func() { woken <- l.Wait(t.Context(), 1, 0) }()
	if err := l.Close(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Errorf("Wait after Close = %v, want nil", err)
	}
}
