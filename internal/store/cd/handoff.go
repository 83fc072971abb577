package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"drawbridge/internal/bridge"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// Handoff is bridge.HandoffRecord's.
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
	Trigger     string
	Event       int64
	State       bridge.HandoffState
	Before      int64 // those with a smaller id
	Limit       int   // 0 means 50
}

// Handoffs returns those that f asks for, newest first.
func (s *Store) Handoffs(ctx context.Context, f HandoffFilter) ([]bridge.Handoff, error) {
	rows, err := s.read().Handoffs(ctx, sqlc.HandoffsParams{
		Before: before(f.Before), Application: f.Application, TriggerBy: f.Trigger, Event: f.Event, State: string(f.State), Page: page(f.Limit),
	})
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

// Accepted is bridge.HandoffRecord's.
func (s *Store) Accepted(ctx context.Context, application, trigger, once string) (bridge.Handoff, error) {
	var row sqlc.AcceptedOnceRow
	var err error
	if once == "" {
		var last sqlc.AcceptedLastRow
		last, err = s.read().AcceptedLast(ctx, sqlc.AcceptedLastParams{Application: application, TriggerBy: trigger})
		row = sqlc.AcceptedOnceRow(last)
	} else {
		row, err = s.read().AcceptedOnce(ctx, sqlc.AcceptedOnceParams{Application: application, TriggerBy: trigger, Once: key(once)})
	}
	if errors.Is(err, sql.ErrNoRows) {
		return bridge.Handoff{}, nil
	}
	if err != nil {
		return bridge.Handoff{}, store.Fault(err)
	}
	return handoff(row.ID, row.Body)
}

// TriggerFigure says when a trigger last fired, and what came of the newest event there.
type TriggerFigure struct {
	Trigger  string
	Last     bridge.Handoff // the newest, whatever came of it
	Accepted bridge.Handoff // what was accepted last; the zero value when nothing was
}

// TriggerFigures tells of each trigger of an application that has had an event, sorted by
// name. One that is no longer in the delivery is among them; "" is what people asked for
// without a trigger.
func (s *Store) TriggerFigures(ctx context.Context, application string) ([]TriggerFigure, error) {
	rows, err := s.read().NewestHandoffs(ctx, application)
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]TriggerFigure, 0, len(rows))
	for _, row := range rows {
		f := TriggerFigure{Trigger: row.TriggerBy}
		if f.Last, err = handoff(row.ID, row.Body); err != nil {
			return nil, err
		}
		if f.Accepted, err = s.Accepted(ctx, application, row.TriggerBy, ""); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// Paused is bridge.HandoffRecord's.
func (s *Store) Paused(ctx context.Context, application, trigger string) (bridge.Pause, error) {
	row, err := s.read().Pause(ctx, sqlc.PauseParams{Application: application, TriggerBy: trigger})
	if errors.Is(err, sql.ErrNoRows) {
		return bridge.Pause{}, nil
	}
	if err != nil {
		return bridge.Pause{}, store.Fault(err)
	}
	return bridge.Pause{By: row.PausedBy, Reason: row.Reason, At: store.Time(row.AtMs)}, nil
}

// SetPause pauses a trigger, or lets it go on when pause names nobody. A trigger that goes
// on already is left.
func (s *Store) SetPause(ctx context.Context, actor, application, trigger string, pause bridge.Pause) error {
	if pause.At.IsZero() {
		pause.At = s.db.Now()
	}
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		a := entry(actor, "trigger.pause", "trigger/"+clip(application)+"/"+clip(trigger))
		a.Application = clip(application)
		if pause.By == "" {
			n, err := q.DropPause(ctx, sqlc.DropPauseParams{Application: application, TriggerBy: trigger})
			if err != nil || n == 0 {
				return err
			}
			a.Action = "trigger.resume"
			return tx.Record(ctx, a)
		}
		a.Detail = map[string]string{"reason": clip(pause.Reason)}
		err := q.PutPause(ctx, sqlc.PutPauseParams{
			Application: application, TriggerBy: trigger, PausedBy: clip(pause.By), Reason: clip(pause.Reason), AtMs: store.Millis(pause.At),
		})
		if err != nil {
			return fmt.Errorf("pause trigger %s of %s: %w", trigger, application, err)
		}
		return tx.Record(ctx, a)
	})
}

// Expected is bridge.HandoffRecord's.
func (s *Store) Expected(ctx context.Context, application string) ([]bridge.Expectation, error) {
	rows, err := s.read().Expectations(ctx, application)
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Expectation, 0, len(rows))
	for _, body := range rows {
		e, err := unmarshal[bridge.Expectation](body, "expectation")
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func handoff(id int64, body string) (bridge.Handoff, error) {
	h, err := unmarshal[bridge.Handoff](body, "handoff")
	h.ID = id
	return h, err
}
