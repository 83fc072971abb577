package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
)

// Facts are migrations for the suite and for tests: a table fact(id, body).
func Facts() fstest.MapFS {
	return fstest.MapFS{"00001_fact.sql": {Data: []byte(`-- +goose Up
CREATE TABLE fact (id bigint NOT NULL PRIMARY KEY, body text NOT NULL);
-- +goose Down
DROP TABLE fact;
`)}}
}

// Run is the conformance suite: what every kind of database does. Config gives the
// configuration of a new, empty database with the migrations Facts.
func Run(t *testing.T, config func(t *testing.T) store.Config) {
	for name, test := range map[string]func(t *testing.T, cfg store.Config){
		"an error undoes all":         undo,
		"ids":                         ids,
		"others are not undone":       isolation,
		"a panic is an error":         panics,
		"a cancelled caller":          cancelled,
		"no transaction in another":   nested,
		"hostile text":                hostile,
		"parameters bind by number":   order,
		"the audit log holds":         auditHolds,
		"an altered entry is found":   auditAltered,
		"timers":                      timers,
		"timers survive":              timersSurvive,
		"ensure":                      ensure,
		"a lost compare-and-set":      swap,
		"a database has one plane":    onePlane,
		"a foreign key is refused":    foreignKey,
		"reads see what is committed": reads,
	} {
		t.Run(name, func(t *testing.T) { test(t, config(t)) })
	}
}

// Put inserts a fact; for use within a transaction.
func Put(ctx context.Context, tx *store.Tx, id int64, body string) error {
	_, err := tx.SQL.ExecContext(ctx, `INSERT INTO fact (id, body) VALUES ($1, $2)`, id, body)
	return err
}

// Count is the number of rows of a query that counts.
func Count(t testing.TB, db *store.DB, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := db.Reader().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var errBoom = errors.New("boom")

func undo(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		id, err := tx.Next(ctx, "fact")
		return errors.Join(
			err, Put(ctx, tx, id, "x"),
			tx.Record(ctx, audit.Entry{Actor: "a", Action: "fact.put"}),
			tx.Enqueue(ctx, store.Task{Name: "n", ID: id}),
			tx.WakeAt(ctx, store.Task{Name: "n", ID: id}, db.Now()),
			errBoom,
		)
	})
	if !errors.Is(err, errBoom) {
		t.Fatalf("InTx = %v", err)
	}
	for _, table := range []string{"fact", "counter", "timer", "audit_entry", "audit_node", "audit_checkpoint", "river_job"} {
		if n := Count(t, db, "SELECT count(*) FROM "+table); n != 0 {
			t.Errorf("%d rows stay in %s", n, table)
		}
	}
	// An audit entry that cannot be written undoes what it was about.
	err = db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(Put(ctx, tx, 1, "x"), tx.Record(ctx, audit.Entry{Actor: "a", Action: "x", Subject: strings.Repeat("x", audit.MaxBody)}))
	})
	if n := Count(t, db, "SELECT count(*) FROM fact"); !fault.Is(err, fault.TooLarge) || n != 0 {
		t.Errorf("too large an entry: %v, %d facts", err, n)
	}
}

func ids(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	const workers, each = 4, 15
	var mu sync.Mutex
	var got []int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				var a, b int64
				err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
					nouns := []string{"run", "job"}
					if w%2 == 0 { // in both orders: PostgreSQL finds deadlocks, InTx repeats
						slices.Reverse(nouns)
					}
					if a, err = tx.Next(ctx, nouns[0]); err != nil {
						return err
					}
					if b, err = tx.Next(ctx, nouns[1]); err != nil {
						return err
					}
					if w%2 == 0 {
						a, b = b, a
					}
					if i%5 == 4 {
						return errBoom
					}
					return nil
				})
				if errors.Is(err, errBoom) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				got = append(got, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	for i, n := range got {
		if n != int64(i+1) {
			t.Fatalf("ids have a gap or a double at %d: %v", i, got)
		}
	}
	if want := workers * each * 4 / 5; len(got) != want {
		t.Errorf("%d ids, want %d", len(got), want)
	}
}

func isolation(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	const n = 120
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				if err := Put(ctx, tx, int64(i), "x"); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return errBoom
				case 2: // a statement that fails
					_, err := tx.SQL.ExecContext(ctx, `INSERT INTO fact (id, body) VALUES ($1, 'again')`, i)
					return err
				case 3:
					panic("boom")
				}
				return nil
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		there := Count(t, db, "SELECT count(*) FROM fact WHERE id = $1", i) == 1
		if there != (err == nil) || (err == nil) != (i%4 == 0) {
			t.Errorf("transaction %d: %v, but is there: %v", i, err, there)
		}
	}
}

func panics(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	err := db.InTx(t.Context(), func(context.Context, *store.Tx) error { panic("oh") })
	if err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("InTx = %v", err)
	}
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return Put(ctx, tx, 1, "x") }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func cancelled(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error { return Put(ctx, tx, 1, "x") })
	if n := Count(t, db, "SELECT count(*) FROM fact"); !errors.Is(err, context.Canceled) || n != 0 {
		t.Errorf("InTx = %v, %d facts", err, n)
	}
	// Cancelled in the middle, it ends one way or the other, and the answer is true.
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if i%2 == 0 {
					cancel()
				}
				return Put(ctx, tx, int64(i), "x")
			})
			if there := Count(t, db, "SELECT count(*) FROM fact WHERE id = $1", i) == 1; there != (err == nil) || (err != nil && i%2 == 1) {
				t.Errorf("transaction %d: %v, but is there: %v", i, err, there)
			}
		})
	}
	wg.Wait()
}

func nested(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	err := db.InTx(t.Context(), func(ctx context.Context, _ *store.Tx) error {
		return db.InTx(ctx, func(context.Context, *store.Tx) error { return nil })
	})
	if err == nil {
		t.Error("a transaction within another was let in")
	}
}

func hostile(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	for i, s := range []string{
		`it's ? $1 \' \\ "x"`, "a\nb\tc\r", "'; DROP TABLE fact; --", "é漢😀\u202e", `\x00`, `E'\''`, "", strings.Repeat("x", 1<<20),
	} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(Put(ctx, tx, int64(i), s), tx.Record(ctx, audit.Entry{Actor: "a", Action: "x", Subject: s[:min(len(s), 100)]}))
		})
		var back string
		if e := db.Reader().QueryRowContext(t.Context(), `SELECT body FROM fact WHERE id = $1`, i).Scan(&back); err != nil || e != nil || back != s {
			t.Errorf("%.40q came back as %.40q, %v, %v", s, back, err, e)
		}
	}
	for i, s := range []string{"a\x00b", "\x00", "\xff\xfe", "a\xc3"} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return Put(ctx, tx, int64(100+i), s) })
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want Invalid", s, err)
		}
	}
	if n := Count(t, db, "SELECT count(*) FROM fact WHERE id >= 100"); n != 0 {
		t.Errorf("%d texts that no database takes were stored", n)
	}
}

func order(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	var a, b string
	err := db.Reader().QueryRowContext(t.Context(), `SELECT CAST($2 AS text), CAST($1 AS text)`, "one", "two").Scan(&a, &b)
	if err != nil || a != "two" || b != "one" {
		t.Errorf("$2, $1 = %q, %q, %v", a, b, err)
	}
}

func swap(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := Put(ctx, tx, 7, "x"); err != nil {
			return err
		}
		res, err := tx.SQL.ExecContext(ctx, `UPDATE fact SET body = 'y' WHERE id = $1 AND body = $2`, 7, "x")
		if err := store.SwappedResult(res, err, "fact", 7); err != nil {
			return fmt.Errorf("the first: %w", err)
		}
		res, err = tx.SQL.ExecContext(ctx, `UPDATE fact SET body = 'y' WHERE id = $1 AND body = $2`, 7, "x")
		return store.SwappedResult(res, err, "fact", 7)
	})
	if !fault.Is(err, fault.Conflict) || err.Error() != "fact 7 has changed meanwhile" {
		t.Errorf("a lost compare-and-set: %v", err)
	}
}

func onePlane(t *testing.T, cfg store.Config) {
	for range 2 { // opening again changes nothing
		db, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	other := "cd"
	if cfg.Plane == other {
		other = "ci"
	}
	cfg.Plane, cfg.AuditKey = other, Key(t, other)
	if _, err := store.Open(t.Context(), cfg); !fault.Is(err, fault.Conflict) {
		t.Errorf("opening it for the other plane: %v", err)
	}
}

func foreignKey(t *testing.T, cfg store.Config) {
	cfg.AuditKey = audit.Key{}
	if _, err := store.Open(t.Context(), cfg); err == nil {
		t.Error("opened without an audit key")
	}
}

func reads(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	for i := range int64(20) {
		if err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return Put(ctx, tx, i, "x") }); err != nil {
			t.Fatal(err)
		}
		if n := Count(t, db, "SELECT count(*) FROM fact"); n != i+1 {
			t.Fatalf("%d facts, want %d", n, i+1)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	err := db.InTx(t.Context(), func(context.Context, *store.Tx) error { return nil })
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
}
