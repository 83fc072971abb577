package store_test

import (
	"context"
	"testing"

	"drawbridge/internal/audit"
	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

func TestSmoke(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", nil))
	err := db.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Next(ctx, "run")
		if err != nil || n != 1 {
			t.Errorf("Next = %d, %v", n, err)
		}
		if err := tx.Record(ctx, audit.Entry{Actor: "alice", Action: "run.create"}); err != nil {
			return err
		}
		if err := tx.WakeAt(ctx, store.Task{Name: "x", ID: 1}, db.Now()); err != nil {
			return err
		}
		return tx.Ensure(ctx, store.Task{Name: "y", ID: n})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.RingTimers(t.Context()); err != nil {
		t.Fatal(err)
	}
}
