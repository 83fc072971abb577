package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

func TestOneProcessPerFile(t *testing.T) {
	cfg := storetest.SQLite(t, "ci", nil)
	db := storetest.Open(t, cfg)
	_, err := store.Open(t.Context(), cfg)
	if f := fault.As(err); f == nil || f.Kind != fault.Conflict || f.Hint == "" {
		t.Fatalf("a second Open = %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := store.Open(t.Context(), cfg); err != nil || again.Close() != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, kind := range map[string]fault.Kind{
		"":               fault.Invalid,
		"sqlite:":        fault.Invalid,
		"mysql://x":      fault.Invalid,
		"postgres://%zz": fault.Invalid,
		"postgres://u:secret@/d?host=/nonexistent":             fault.Unavailable,
		"sqlite:" + filepath.Join(dir, "no", "such", "dir.db"): fault.Unavailable,
		"sqlite:" + garbage: fault.Unavailable,
	} {
		_, err := store.Open(t.Context(), store.Config{URL: url, Plane: "ci", AuditKey: storetest.Key(t, "ci")})
		if f := fault.As(err); f == nil || f.Kind != kind || f.Hint == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) = %v, want %s", url, err, kind)
		}
	}
}

func TestPathsAreTakenAsTheyAre(t *testing.T) {
	for _, name := range []string{"a b.db", "100%.db", "what?.db", "x#y.db", "é;&=.db"} {
		cfg := storetest.SQLite(t, "ci", nil)
		path := filepath.Join(t.TempDir(), name)
		cfg.URL = "sqlite:" + path
		storetest.Open(t, cfg)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A full database refuses what it cannot keep, keeps what it has accepted, and goes on
// once there is room.
func TestFullDatabase(t *testing.T) {
	cfg := storetest.SQLite(t, "ci", storetest.Facts())
	storetest.Open(t, cfg).Close() //nolint:errcheck // closed again below
	cfg.MaxPages = 150
	db := storetest.Open(t, cfg)
	const n = 400
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				body := "small"
				if i%3 == 0 {
					body = strings.Repeat("x", 20_000)
				}
				return errors.Join(storetest.Put(ctx, tx, int64(i), body), tx.Enqueue(ctx, store.Task{Name: "n", ID: int64(i)}))
			})
		})
	}
	wg.Wait()
	refused := 0
	for i, err := range errs {
		facts := storetest.Count(t, db, "SELECT count(*) FROM fact WHERE id = $1", i)
		tasks := storetest.Count(t, db, "SELECT count(*) FROM river_job WHERE CAST(args ->> 'i' AS bigint) = $1", i)
		if err == nil && (facts != 1 || tasks != 1) {
			t.Errorf("%d was accepted, but there are %d facts and %d tasks", i, facts, tasks)
		}
		if err != nil && (facts != 0 || tasks != 0) {
			t.Errorf("%d was refused (%v), but there are %d facts and %d tasks", i, err, facts, tasks)
		}
		if err != nil && (!fault.Is(err, fault.Full) || fault.As(err).Hint == "") {
			t.Errorf("%d: %v, want Full", i, err)
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 || refused == n {
		t.Errorf("%d of %d were refused", refused, n)
	}
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SQL.ExecContext(ctx, "DELETE FROM fact")
		return err
	})
	if err != nil {
		t.Fatalf("making room: %v", err)
	}
	err = db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return storetest.Put(ctx, tx, 1, "again") })
	if err != nil {
		t.Errorf("after making room: %v", err)
	}
}

// On SQLite a transaction that has started ends, whether its caller waits or not.
func TestCancelledInTheMiddle(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", storetest.Facts()))
	ctx, cancel := context.WithCancel(t.Context())
	err := db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cancel()
		return storetest.Put(ctx, tx, 1, "x")
	})
	if n := storetest.Count(t, db, "SELECT count(*) FROM fact"); err != nil || n != 1 {
		t.Errorf("InTx = %v, %d facts", err, n)
	}
}

// The waiting transactions share a commit: 64 writers are much faster than one.
func BenchmarkInTx(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := storetest.Open(b, storetest.SQLite(b, "ci", storetest.Facts()))
			next := make(chan int64, writers)
			go func() {
				defer close(next)
				for i := range int64(b.N) {
					next <- i
				}
			}()
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for i := range next {
						if err := db.InTx(b.Context(), func(ctx context.Context, tx *store.Tx) error {
							return storetest.Put(ctx, tx, i, "some text")
						}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
