package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

var _ bridge.Ledger = (*Store)(nil)

// Receive is bridge.Ledger's.
func (s *Store) Receive(ctx context.Context, e bridge.Event) (bridge.Event, bool, error) {
	var kept bridge.Event
	fresh := false
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		fresh = false
		row, err := q.EventBySource(ctx, sqlc.EventBySourceParams{Source: e.Published.Source, EventID: e.Published.ID})
		if err == nil {
			kept, err = event(sqlc.EventRow(row))
			return err
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("look for event %s: %w", e.Published.ID, err)
		}
		id, err := tx.Next(ctx, "event")
		if err != nil {
			return err
		}
		e.ID = id
		n, err := q.InsertEvent(ctx, sqlc.InsertEventParams{
			ID: id, Source: e.Published.Source, EventID: e.Published.ID, State: string(bridge.EventReceived),
			Sender: e.Sender, Body: marshal(e.Published), ReceivedMs: store.Millis(e.Received),
		})
		if err != nil {
			return fmt.Errorf("insert event %s: %w", e.Published.ID, err)
		}
		if n == 0 { // another replica kept it in this instant: its row is not to be seen in here
			return fault.New(fault.Conflict, "event %s is being kept right now", e.Published.ID).WithHint("send it again")
		}
		kept, fresh = e, true
		return s.received(ctx, tx, e)
	})
	return kept, fresh, err
}

func (s *Store) received(ctx context.Context, tx *store.Tx, e bridge.Event) error {
	a := entry(e.Sender, "event.receive", "event/"+strconv.FormatInt(e.ID, 10))
	a.Chain = e.Published.Chain
	a.Detail = map[string]string{"source": e.Published.Source, "id": e.Published.ID, "artifact": e.Published.Artifact.String()}
	if err := tx.Record(ctx, a); err != nil {
		return err
	}
	return tx.Enqueue(ctx, store.Task{Name: TaskEvent, ID: e.ID})
}

// Event is bridge.Record's.
func (s *Store) Event(ctx context.Context, id int64) (bridge.Event, error) {
	row, err := s.read().Event(ctx, id)
	if err != nil {
		return bridge.Event{}, found(err, "drawbridge handoff list", "there is no event %d", id)
	}
	return event(row)
}

// Events lists up to limit events (50 for 0), newest first, those with ids below after; 0
// means from the newest.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]bridge.Event, error) {
	rows, err := s.read().Events(ctx, sqlc.EventsParams{Before: before(after), Page: page(limit)})
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

// Unprocessed lists events that were received before a time and wait to be processed.
func (s *Store) Unprocessed(ctx context.Context, received time.Time, limit int) ([]int64, error) {
	ids, err := s.read().UnprocessedEvents(ctx, sqlc.UnprocessedEventsParams{Before: store.Millis(received), Page: page(limit)})
	return ids, store.Fault(err)
}

// Accepted is bridge.Record's.
func (s *Store) Accepted(ctx context.Context, application, trigger, release, version string) (bridge.Handoff, bridge.Release, error) {
	var h bridge.Handoff
	row, err := s.read().AcceptedHandoff(ctx, sqlc.AcceptedHandoffParams{Application: application, TriggerBy: trigger, Release: release})
	if err == nil {
		h, err = handoff(row.ID, row.Body)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, bridge.Release{}, store.Fault(err)
	}
	body, err := s.read().ReleaseByVersion(ctx, sqlc.ReleaseByVersionParams{Application: application, Version: version})
	if errors.Is(err, sql.ErrNoRows) {
		return h, bridge.Release{}, nil
	}
	if err != nil {
		return h, bridge.Release{}, store.Fault(err)
	}
	r, err := unmarshal[bridge.Release](body, "release")
	return h, r, err
}

// Cross is bridge.Ledger's.
func (s *Store) Cross(ctx context.Context, c bridge.Crossing) error {
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		n, err := q.ProcessEvent(ctx, c.Event.ID)
		if err != nil {
			return fmt.Errorf("process event %d: %w", c.Event.ID, err)
		}
		if err := store.Swapped(n, "event", c.Event.ID); err != nil {
			return err
		}
		for _, o := range c.Outcomes {
			if err := s.outcome(ctx, tx, q, o); err != nil {
				return fmt.Errorf("write the handoff of event %d at %s/%s: %w", c.Event.ID, o.Handoff.Application, o.Handoff.Trigger, err)
			}
		}
		return nil
	})
}

func (s *Store) outcome(ctx context.Context, tx *store.Tx, q *sqlc.Queries, o bridge.Outcome) error {
	h := o.Handoff
	id, err := tx.Next(ctx, "handoff")
	if err != nil {
		return err
	}
	h.ID = id
	if o.Release != nil {
		r := *o.Release
		if _, err := q.InsertRelease(ctx, sqlc.InsertReleaseParams{ID: r.ID, Application: r.Application, Version: r.Version, Body: marshal(r), AcceptedMs: store.Millis(r.Accepted)}); err != nil {
			return err
		}
	}
	err = q.InsertHandoff(ctx, sqlc.InsertHandoffParams{
		ID: id, Event: h.Event, Application: h.Application, TriggerBy: h.Trigger, State: string(h.State),
		Release: h.Release, Body: marshal(h), AtMs: store.Millis(h.At),
	})
	if err != nil {
		return err
	}
	a := entry("bridge", "handoff."+verb(h.State), "handoff/"+strconv.FormatInt(id, 10))
	a.Application, a.Chain = h.Application, h.Chain
	a.Detail = map[string]string{"trigger": h.Trigger, "image": h.Image.String(), "reason": clip(h.Reason), "release": h.Release, "event": strconv.FormatInt(h.Event, 10)}
	if err := tx.Record(ctx, a); err != nil {
		return err
	}
	for _, st := range o.Starts {
		p, err := cd.OpenStart(st, *o.Release, h)
		if err != nil {
			return err
		}
		p.Causes[0].Note = fmt.Sprintf("%s, handoff %d", p.Causes[0].Note, id)
		if _, _, err := s.open(ctx, tx, q, p); err != nil {
			return err
		}
	}
	return nil
}

// clipped is how many bytes of a text are kept where it is cut.
const clipped = 2000

// clip cuts a text to what a column or an audit detail keeps, and makes it one that the
// database takes: a reason may quote what a program printed.
func clip(s string) string {
	if len(s) > clipped {
		s = strings.ToValidUTF8(s[:clipped], "") + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func verb(s bridge.HandoffState) string {
	switch s {
	case bridge.Accepted:
		return "accept"
	case bridge.Refused:
		return "refuse"
	case bridge.Ignored:
		return "ignore"
	}
	return string(s)
}

// Handoff returns one handoff; NotFound when there is none.
func (s *Store) Handoff(ctx context.Context, id int64) (bridge.Handoff, error) {
	row, err := s.read().Handoff(ctx, id)
	if err != nil {
		return bridge.Handoff{}, found(err, "drawbridge handoff list", "there is no handoff %d", id)
	}
	return handoff(row.ID, row.Body)
}

// HandoffFilter picks handoffs; zero fields pick all.
type HandoffFilter struct {
	Application string
	State       bridge.HandoffState
	Before      int64 // those with a smaller id
	Limit       int   // 0 means 50
}

// Handoffs returns those that f asks for, newest first.
func (s *Store) Handoffs(ctx context.Context, f HandoffFilter) ([]bridge.Handoff, error) {
	rows, err := s.read().Handoffs(ctx, sqlc.HandoffsParams{Before: before(f.Before), Application: f.Application, State: string(f.State), Page: page(f.Limit)})
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Handoff, 0, len(rows))
	for _, row := range rows {
		h, err := handoff(row.ID, row.Body)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func handoff(id int64, body string) (bridge.Handoff, error) {
	h, err := unmarshal[bridge.Handoff](body, "handoff")
	h.ID = id
	return h, err
}

func event(row sqlc.EventRow) (bridge.Event, error) {
	p, err := unmarshal[bridge.Published](row.Body, "event")
	return bridge.Event{ID: row.ID, Published: p, Sender: row.Sender, Received: store.Time(row.ReceivedMs), State: bridge.EventState(row.State)}, err
}
