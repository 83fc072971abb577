package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
)

func TestSeries(t *testing.T) {
	t.Parallel()
	var hundred series
	for i := range 100 {
		hundred.add(time.Duration(100-i) * time.Millisecond)
	}
	for _, row := range []struct {
		s       series
		p, want float64
	}{
		{nil, 0.5, 0},
		{series{7}, 0.5, 7},
		{series{7}, 0.99, 7},
		{series{3, 1, 2}, 0.5, 2},
		{hundred, 0.5, 51},
		{hundred, 0.99, 100},
		{hundred, 1, 100},
	} {
		if got := row.s.at(row.p); got != row.want {
			t.Errorf("at(%v) of %v = %v, want %v", row.p, row.s, got, row.want)
		}
	}
	if few := (row{}).tail(hundred[:99]); few != "–" {
		t.Errorf("99 measurements have the 99th percentile %s", few)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	r := report{rows: []row{{group: "Start", what: "cold", got: series{30, 10, 20}, plain: "`sh`", baseline: series{2}}}, notes: []string{"A note."}, files: "ext4", load: "0.10"}
	if err := os.WriteFile(path, []byte("# Page\n\nno marks\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.page(path); err == nil {
		t.Error("a page without marks was written")
	}
	if err := os.WriteFile(path, []byte("before\n"+begin+"stale\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 2 { // a second time changes nothing
		if err := r.page(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" && last != string(text) {
			t.Errorf("the second time it is\n%s\nafter\n%s", text, last)
		}
		last = string(text)
	}
	for _, want := range []string{"before\n" + begin, "| cold | 20.0 ms | – | `sh` | 2.00 ms | – | 10 | 3 |\n", "A note.\n", end + "after\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("the page lacks %q:\n%s", want, last)
		}
	}
	if strings.Contains(last, "stale") {
		t.Error("old figures stay")
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Unix(1700000000, 0)
	clock := func() time.Time { return now }
	w, err := watch(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	first, second := artifact.DigestOf([]byte("1")), artifact.DigestOf([]byte("2"))
	for _, name := range []string{"other", "sha256-" + first.Hex() + ".tmp", "sha256-" + second.Hex() + ".tmp"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []artifact.Digest{first, second} {
		at, err := w.wait(t.Context(), d)
		if err != nil || !at.Equal(now) {
			t.Errorf("wait for %s = %v, %v", d.Short(), at, err)
		}
	}
	if _, err := watch(filepath.Join(dir, "nowhere"), clock); err == nil {
		t.Error("a directory that is not there is watched")
	}
}
