package bridge

import (
	"context"

	"drawbridge/internal/fault"
)

// Rereader reads kept deliveries anew.
type Rereader interface {
	// Reread returns the facts in a delivery that arrived at a receiver; nil for what came
	// through one of the server's own doors.
	Reread(ctx context.Context, receiver string, raw Raw) ([]Fact, error)
}

// Redrive has an event processed again, because a person asked: the delivery is read anew
// where it is kept, so that what could not be read when it arrived is read by what reads it
// now. A processed event's handoffs stand; a new event is made of it. It returns the event
// that is processed now.
func (s *Service) Redrive(ctx context.Context, actor string, id int64) (Event, error) {
	ev, err := s.Ledger.Event(ctx, id)
	if err != nil {
		return Event{}, err
	}
	if ev.State == EventReceived {
		return Event{}, fault.New(fault.Conflict, "event %d is being processed", id).WithHint("drawbridge event show %d", id)
	}
	facts, err := s.reread(ctx, ev)
	if err != nil {
		return Event{}, err
	}
	if ev.Fact.Kind == "" && len(facts) == 0 {
		return Event{}, fault.New(fault.Blocked, "the delivery of event %d still tells of nothing", id).WithHint("drawbridge event show %d --raw", id)
	}
	return s.Ledger.Redrive(ctx, actor, ev, facts)
}

// reread is what a dead letter, of which nothing could be read, tells now.
func (s *Service) reread(ctx context.Context, ev Event) ([]Fact, error) {
	if ev.Fact.Kind != "" || s.Rereader == nil {
		return nil, nil
	}
	raw, err := s.Ledger.Raw(ctx, ev.ID)
	if err != nil {
		return nil, err
	}
	facts, err := s.Rereader.Reread(ctx, ev.Receiver, raw)
	if f := fault.As(err); f != nil && f.Kind != fault.Unavailable {
		return nil, fault.New(fault.Blocked, "the delivery of event %d still cannot be read: %s", ev.ID, f.Error()).WithHint("drawbridge event show %d --raw", ev.ID)
	}
	return facts, err
}
