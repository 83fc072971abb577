package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/riverqueue/river/riverdriver"
)

// silent is a listener whose poll finds nothing, or one notification.
type silent struct {
	riverdriver.Listener
	found chan *riverdriver.Notification
}

// WaitForNotification waits for what the test puts into found.
func (s silent) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case n := <-s.found:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestWakeUpOfEveryQueue(t *testing.T) {
	d := newWakeDriver(nil)
	found := make(chan *riverdriver.Notification, 1)
	l := &wakeListener{Listener: silent{found: found}, driver: d}
	for range 3 {
		d.wakeUp("job") // three times is one wake-up
		d.wakeUp("default")
	}
	var got []string
	for range 2 {
		n, err := l.WaitForNotification(t.Context())
		if err != nil || n.Topic != "river_insert" {
			t.Fatalf("%+v, %v", n, err)
		}
		got = append(got, n.Payload)
	}
	if all := strings.Join(got, " "); !strings.Contains(all, `{"queue":"job"}`) || !strings.Contains(all, `{"queue":"default"}`) {
		t.Errorf("woken: %s", all)
	}
	polled := &riverdriver.Notification{Topic: "river_control"}
	found <- polled
	if n, err := l.WaitForNotification(t.Context()); err != nil || n != polled {
		t.Errorf("what the poll found: %+v, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.WaitForNotification(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: %v", err)
	}
}
