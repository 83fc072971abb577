package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

var _ bridge.Ledger = (*Store)(nil)

// Event is bridge.EventRecord's.
func (s *Store) Event(ctx context.Context, id int64) (bridge.Event, error) {
	row, err := s.read().Event(ctx, id)
	if err != nil {
		return bridge.Event{}, found(err, "drawbridge event list", "there is no event %d", id)
	}
	return event(row)
}

// EventFilter picks events; zero fields pick all.
type EventFilter struct {
	State       bridge.EventState
	Receiver    string
	Application string // those that have a handoff at it
	Before      int64  // those with a smaller id
	Limit       int    // 0 means 50
}

// Events returns those that f asks for, newest first.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]bridge.Event, error) {
	if f.State != "" && f.State != bridge.EventProcessed { // few, by their own index
		rows, err := s.read().EventsWaiting(ctx, sqlc.EventsWaitingParams{
			Before: before(f.Before), State: string(f.State), Receiver: f.Receiver, Application: f.Application, Page: page(f.Limit),
		})
		return events(rows, err)
	}
	rows, err := s.read().Events(ctx, sqlc.EventsParams{
		Before: before(f.Before), State: string(f.State), Receiver: f.Receiver, Application: f.Application, Page: page(f.Limit),
	})
	return events(rows, err)
}

// Raw is bridge.EventRecord's.
func (s *Store) Raw(ctx context.Context, id int64) (bridge.Raw, error) {
	row, err := s.read().Raw(ctx, id)
	if err != nil {
		return bridge.Raw{}, found(err, "deliveries are kept for a week", "the delivery of event %d is not kept", id)
	}
	headers, err := unmarshal[map[string]string](row.Headers, "headers")
	return bridge.Raw{Headers: headers, Body: row.Body}, err
}

// Published is bridge.EventRecord's.
func (s *Store) Published(ctx context.Context, image artifact.Reference, limit int) ([]bridge.Event, error) {
	rows, err := s.read().Published(ctx, sqlc.PublishedParams{Image: image.Name(), Page: page(limit)})
	return events(rows, err)
}

// Failed is bridge.Inbox's.
func (s *Store) Failed(ctx context.Context, e bridge.Event, again time.Time) error {
	e.Reason = clip(e.Reason)
	e.State = bridge.EventReceived
	if again.IsZero() {
		e.State = bridge.EventDead
	}
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		n, err := q.FailEvent(ctx, sqlc.FailEventParams{State: string(e.State), Reason: e.Reason, Attempts: int64(e.Attempts), ID: e.ID})
		if err != nil || n == 0 {
			return err // somebody was first
		}
		if e.State == bridge.EventReceived {
			return tx.WakeAt(ctx, store.Task{Name: TaskEvent, ID: e.ID}, again)
		}
		a := arrived(e)
		a.Actor = actorBridge
		if err := tx.Record(ctx, a); err != nil {
			return err
		}
		return tx.CancelWake(ctx, TaskEvent, e.ID)
	})
}

// events reads the rows of a listing.
func events[R sqlc.EventsRow | sqlc.EventsWaitingRow | sqlc.PublishedRow | sqlc.EventPartsRow](rows []R, err error) ([]bridge.Event, error) {
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Event, 0, len(rows))
	for _, row := range rows {
		e, err := event(sqlc.EventRow(row))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func event(row sqlc.EventRow) (bridge.Event, error) {
	e := bridge.Event{
		ID: row.ID, Receiver: row.Receiver, Sender: row.Sender, Key: row.EventKey, Part: int(row.Part),
		State: bridge.EventState(row.State), Reason: row.Reason, Attempts: int(row.Attempts), Received: store.Time(row.ReceivedMs),
	}
	var err error
	if row.Applications != "" {
		if e.Applications, err = unmarshal[[]string](row.Applications, "event"); err != nil {
			return e, err
		}
	}
	e.Fact, err = unmarshal[bridge.Fact](row.Body, "event")
	return e, err
}

// eventIn reads one event within a transaction.
func eventIn(ctx context.Context, q *sqlc.Queries, id int64) (bridge.Event, error) {
	row, err := q.Event(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return bridge.Event{}, found(err, "drawbridge event list", "there is no event %d", id)
	}
	if err != nil {
		return bridge.Event{}, fmt.Errorf("read event %d: %w", id, err)
	}
	return event(row)
}
