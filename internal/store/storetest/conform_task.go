package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
)

func verify(t *testing.T, db *store.DB, remembered []byte) (r audit.Report, err error) {
	t.Helper()
	err = db.ReadAudit(t.Context(), func(ctx context.Context, log audit.Source) (err error) {
		r, err = audit.Verify(ctx, log, db.AuditVerifier(), remembered)
		return err
	})
	return r, err
}

func record(t *testing.T, db *store.DB, subject string) {
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.Record(ctx, audit.Entry{Actor: "alice", Action: "x.y", Subject: subject}, audit.Entry{Actor: "bob", Action: "x.z"})
	})
	if err != nil {
		t.Error(err)
	}
}

func auditHolds(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	r, err := verify(t, db, nil)
	if err != nil || r.Size != 0 {
		t.Fatalf("the empty log: %+v, %v", r, err)
	}
	record(t, db, "first")
	early, err := verify(t, db, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 40 { // more than a page in all
				record(t, db, fmt.Sprint(w, "/", i))
			}
		})
	}
	wg.Wait()
	if r, err = verify(t, db, early.Checkpoint); err != nil || r.Size != 642 {
		t.Errorf("after 321 transactions: %+v, %v", r, err)
	}
	es, err := db.AuditEntries(t.Context(), 1, 3)
	if err != nil || len(es) != 3 || es[0].Seq != 2 || es[0].Actor != "bob" || es[0].At.IsZero() {
		t.Errorf("AuditEntries = %+v, %v", es, err)
	}
}

var auditTables = []string{"audit_entry", "audit_node", "audit_checkpoint"}

func auditAltered(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	exec := func(query string, args ...any) {
		t.Helper()
		err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.SQL.ExecContext(ctx, query, args...)
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	for i := range 5 {
		record(t, db, fmt.Sprint(i))
	}
	for _, table := range auditTables {
		exec("CREATE TABLE kept_" + table + " AS SELECT * FROM " + table)
	}
	for attack, seq := range map[string]int64{
		`UPDATE audit_entry SET body = $1 WHERE seq = 3`:                            3,
		`DELETE FROM audit_entry WHERE seq = 5 AND CAST($1 AS bytea) <> ''`:         5,
		`INSERT INTO audit_entry (seq, body) VALUES (11, $1)`:                       11,
		`UPDATE audit_node SET hash = $1 WHERE id = 4`:                              4, // the fourth leaf's own hash
		`DELETE FROM audit_checkpoint WHERE size = 10 AND CAST($1 AS bytea) <> ''`:  9,
		`UPDATE audit_checkpoint SET note = $1 WHERE size = 6`:                      0,
		`UPDATE audit_entry SET seq = 99 WHERE seq = 2 AND CAST($1 AS bytea) <> ''`: 2,
	} {
		exec(attack, []byte(`{"seq":3,"actor":"eve"}`))
		if r, err := verify(t, db, nil); !fault.Is(err, fault.Refused) || r.Broken != seq {
			t.Errorf("%s: Verify = entry %d, %v; want entry %d", attack, r.Broken, err, seq)
		}
		for _, table := range auditTables {
			exec("DELETE FROM " + table)
			exec("INSERT INTO " + table + " SELECT * FROM kept_" + table)
		}
	}
	if r, err := verify(t, db, nil); err != nil || r.Size != 10 {
		t.Errorf("put right again: %+v, %v", r, err)
	}
}

// tasks lists what waits to be worked, in the order of insertion: "name id version".
func tasks(t *testing.T, db *store.DB) string {
	t.Helper()
	rows, err := db.Reader().QueryContext(t.Context(), `SELECT args ->> 'n', CAST(args ->> 'i' AS bigint), CAST(args ->> 'v' AS bigint), queue FROM river_job ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []string
	for rows.Next() {
		var name, queue string
		var id, version int64
		if err := rows.Scan(&name, &id, &version, &queue); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %d %d %s", name, id, version, queue))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

func timers(t *testing.T, cfg store.Config) {
	now := time.UnixMilli(1_700_000_000_000).UTC()
	cfg.Now = func() time.Time { return now }
	db := Open(t, cfg)
	ring := func(want time.Duration, wantTasks string) {
		t.Helper()
		next, err := db.RingTimers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Sub(time.UnixMilli(1_700_000_000_000)); got != want && (want >= 0 || !next.IsZero()) {
			t.Errorf("next timer in %v, want %v", got, want)
		}
		if got := tasks(t, db); got != wantTasks {
			t.Errorf("tasks: %q, want %q", got, wantTasks)
		}
	}
	ring(-1, "")
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for i, after := range []time.Duration{30, 10, 20, 20} {
			if err := tx.WakeAt(ctx, store.Task{Name: "a", ID: int64(i), Version: 1}, now.Add(after*time.Second)); err != nil {
				return err
			}
		}
		if err := tx.WakeAt(ctx, store.Task{Name: "b", ID: 1, Queue: store.JobQueue}, now.Add(5*time.Second+time.Microsecond)); err != nil {
			return err
		}
		if err := tx.CancelWake(ctx, "a", 3); err != nil {
			return err
		}
		if err := tx.CancelWake(ctx, "a", 99); err != nil { // none: no error
			return err
		}
		return tx.WakeAt(ctx, store.Task{Name: "a", ID: 0, Version: 2}, now.Add(15*time.Second)) // replaces
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-db.TimerSet():
	default:
		t.Error("nobody was told that timers were set")
	}
	ring(5*time.Second+time.Millisecond, "")
	now = now.Add(5 * time.Second)
	ring(5*time.Second+time.Millisecond, "") // never early
	now = now.Add(time.Millisecond)
	ring(10*time.Second, "b 1 0 job")
	now = now.Add(time.Minute)
	ring(-1, "b 1 0 job, a 1 1 default, a 0 2 default, a 2 1 default")
	ring(-1, "b 1 0 job, a 1 1 default, a 0 2 default, a 2 1 default") // each rings once
}

func timersSurvive(t *testing.T, cfg store.Config) {
	db, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.WakeAt(ctx, store.Task{Name: "a", ID: 1}, db.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = Open(t, cfg)
	if _, err := db.RingTimers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tasks(t, db); got != "a 1 0 default" {
		t.Errorf("tasks: %q", got)
	}
}

func ensure(t *testing.T, cfg store.Config) {
	db := Open(t, cfg)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, task := range []store.Task{
			{Name: "a", ID: 1, Version: 1},
			{Name: "a", ID: 1, Version: 1}, // live already
			{Name: "a", ID: 1, Version: 2},
			{Name: "a", ID: 2, Version: 1},
			{Name: "b", ID: 1, Version: 1},
		} {
			if err := tx.Ensure(ctx, task); err != nil {
				return err
			}
		}
		if err := tx.WakeAt(ctx, store.Task{Name: "c", ID: 1, Version: 1}, db.Now().Add(time.Hour)); err != nil {
			return err
		}
		return tx.Ensure(ctx, store.Task{Name: "c", ID: 1, Version: 1}) // its timer is live
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tasks(t, db), "a 1 1 default, a 1 2 default, a 2 1 default, b 1 1 default"; got != want {
		t.Errorf("tasks: %q, want %q", got, want)
	}
}
