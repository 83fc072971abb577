package queue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"drawbridge/internal/queue"
	"drawbridge/internal/store/storetest"
)

func TestFollow(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "cd", nil))
	q := queue.New(db, queue.Config{})
	signal := make(chan struct{}, 1)
	ran := make(chan int32, 10)
	var n atomic.Int32
	q.Follow("rows", signal, func(context.Context) error {
		now := n.Add(1)
		ran <- now
		switch now {
		case 1:
			return errors.New("the database is away")
		case 2:
			panic("a mistake")
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	signal <- struct{}{}
	for want := int32(1); want <= 3; want++ { // one signal: it runs until it goes well
		if got := <-ran; got != want {
			t.Errorf("run %d, want %d", got, want)
		}
	}
	signal <- struct{}{}
	if got := <-ran; got != 4 {
		t.Errorf("after another signal: run %d", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n.Load() != 4 {
		t.Errorf("it ran %d times without a signal", n.Load()-4)
	}
}
