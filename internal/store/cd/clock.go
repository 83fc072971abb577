package cd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

var _ bridge.Clocks = (*Store)(nil)

// Clock is bridge.Clocks'.
func (s *Store) Clock(ctx context.Context, id int64) (bridge.Clock, error) {
	row, err := s.read().Clock(ctx, id)
	if err != nil {
		return bridge.Clock{}, found(err, "drawbridge trigger list", "there is no clock %d", id)
	}
	return clock(row), nil
}

// Clocks lists an application's clocks, sorted by kind and name.
func (s *Store) Clocks(ctx context.Context, application string) ([]bridge.Clock, error) {
	rows, err := s.read().Clocks(ctx, application)
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Clock, 0, len(rows))
	for _, row := range rows {
		out = append(out, clock(row))
	}
	return out, nil
}

// Tick is bridge.Clocks'.
func (s *Store) Tick(ctx context.Context, was, now bridge.Clock, brought []bridge.Message) error {
	letters := make([]*letter, 0, len(brought))
	for _, m := range brought {
		if l := newLetter(m, s.db.Now()); len(l.events) > 0 {
			letters = append(letters, l)
		}
	}
	now.ID = was.ID
	err := s.inAlone(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		if err := moveClock(ctx, tx, q, was.Version, now); err != nil || len(letters) == 0 {
			return err
		}
		return s.keep(ctx, tx, letters)
	})
	if err == nil {
		s.arrivals.add(letters)
	}
	return err
}

// moveClock is the compare-and-set, with the timer that follows.
func moveClock(ctx context.Context, tx *store.Tx, q *sqlc.Queries, was int64, c bridge.Clock) error {
	n, err := q.MoveClock(ctx, sqlc.MoveClockParams{
		Spec: clean(c.Spec), NextMs: millis(c.Next), LastMs: millis(c.Last), Failures: int64(c.Failures), Reason: clip(c.Reason),
		State: clean(string(c.State)), Version: c.Version, ID: c.ID, Was: was,
	})
	if err != nil {
		return fmt.Errorf("move clock %d: %w", c.ID, err)
	}
	if err := store.Swapped(n, "clock", c.ID); err != nil {
		return err
	}
	return wind(ctx, tx, c)
}

// wind sets the timer of a clock, or removes it when it rings no more.
func wind(ctx context.Context, tx *store.Tx, c bridge.Clock) error {
	if c.Next.IsZero() {
		return tx.CancelWake(ctx, TaskClock, c.ID)
	}
	return tx.WakeAt(ctx, store.Task{Name: TaskClock, ID: c.ID, Version: c.Version}, c.Next)
}

// clockName is by what an application's clocks are told apart.
type clockName struct {
	kind bridge.ClockKind
	name string
}

// setClocks makes an application's clocks those that its delivery wants: what is wanted as
// before goes on as it goes.
func setClocks(ctx context.Context, tx *store.Tx, q *sqlc.Queries, application string, wanted []bridge.Clock) error {
	rows, err := q.Clocks(ctx, application)
	if err != nil {
		return fmt.Errorf("read the clocks of %s: %w", application, err)
	}
	there := map[clockName]bridge.Clock{}
	for _, row := range rows {
		c := clock(row)
		there[clockName{c.Kind, c.Name}] = c
	}
	for _, c := range wanted {
		name := clockName{c.Kind, c.Name}
		was, ok := there[name]
		delete(there, name)
		switch {
		case !ok:
			err = addClock(ctx, tx, q, c)
		case was.Spec != c.Spec:
			err = moveClock(ctx, tx, q, was.Version, anew(was, c))
		}
		if err != nil {
			return err
		}
	}
	for _, c := range there {
		if err := q.DropClock(ctx, c.ID); err != nil {
			return fmt.Errorf("drop clock %d of %s: %w", c.ID, application, err)
		}
		if err := tx.CancelWake(ctx, TaskClock, c.ID); err != nil {
			return err
		}
	}
	return nil
}

func addClock(ctx context.Context, tx *store.Tx, q *sqlc.Queries, c bridge.Clock) error {
	id, err := tx.Next(ctx, "clock")
	if err != nil {
		return err
	}
	c.ID, c.Version = id, 1
	err = q.InsertClock(ctx, sqlc.InsertClockParams{
		ID: id, Application: c.Application, Name: c.Name, Kind: string(c.Kind), Spec: clean(c.Spec), NextMs: millis(c.Next),
	})
	if err != nil {
		return fmt.Errorf("insert clock %s of %s: %w", c.Name, c.Application, err)
	}
	return wind(ctx, tx, c)
}

// anew is a clock that is set by another spec. What was seen before counts on where the same
// image or repository is looked at, only at another interval.
func anew(was, c bridge.Clock) bridge.Clock {
	c.ID, c.Version, c.Last = was.ID, was.Version+1, was.Last
	before, _, _ := strings.Cut(was.Spec, " every ")
	now, _, ok := strings.Cut(c.Spec, " every ")
	if ok && before == now {
		c.State = was.State
	}
	return c
}

func clock(row sqlc.Clock) bridge.Clock {
	c := bridge.Clock{
		ID: row.ID, Application: row.Application, Name: row.Name, Kind: bridge.ClockKind(row.Kind), Spec: row.Spec,
		Next: moment(row.NextMs), Last: moment(row.LastMs), Failures: int(row.Failures), Reason: row.Reason, Version: row.Version,
	}
	if row.State != "" {
		c.State = json.RawMessage(row.State)
	}
	return c
}

// millis is a time as a column keeps it in which 0 stands for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return store.Millis(t)
}

// moment is what millis made of a time.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return store.Time(ms)
}
