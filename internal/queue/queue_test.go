package queue_test

import (
	"context"
	"testing"
	"time"

	"drawbridge/internal/queue"
	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

func TestWorks(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "ci", nil))
	q := queue.New(db, queue.Config{})
	got := make(chan store.Task, 10)
	q.Handle("x", func(_ context.Context, task store.Task) error { got <- task; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	for i := range 20 {
		start := time.Now()
		err := db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			return tx.Enqueue(ctx, store.Task{Name: "x", ID: 7, Version: int64(i)})
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(<-got, time.Since(start))
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
