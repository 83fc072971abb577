package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// FreezeFilter picks freezes; zero fields pick all that hold.
type FreezeFilter struct {
	Application string
	Past        bool  // those that hold no more too
	Before      int64 // those with a smaller id
	Limit       int   // 0 means 50
}

// Frozen is bridge.FreezeRecord's.
func (s *Store) Frozen(ctx context.Context, application, trigger, alert string) (bridge.Freeze, error) {
	row, err := newestFreeze(ctx, s.read(), application, trigger, alert)
	if err != nil || row.ID == 0 {
		return bridge.Freeze{}, store.Fault(err)
	}
	return freeze(row)
}

// Freezes is cd.FreezeReader's.
func (s *Store) Freezes(ctx context.Context, application string, now time.Time) ([]bridge.Freeze, error) {
	return freezes(s.read().HoldingFreezes(ctx, sqlc.HoldingFreezesParams{Application: application, NowMs: store.Millis(now)}))
}

// FreezeList lists freezes, newest first.
func (s *Store) FreezeList(ctx context.Context, f FreezeFilter) ([]bridge.Freeze, error) {
	return freezes(s.read().Freezes(ctx, sqlc.FreezesParams{
		Before: before(f.Before), Application: f.Application, Past: bit(f.Past), NowMs: store.Millis(s.db.Now()), Page: page(f.Limit),
	}))
}

// Freeze returns one freeze; NotFound when there is none.
func (s *Store) Freeze(ctx context.Context, id int64) (bridge.Freeze, error) {
	row, err := s.read().Freeze(ctx, id)
	if err != nil {
		return bridge.Freeze{}, noFreeze(err, id)
	}
	return freeze(row)
}

func noFreeze(err error, id int64) error {
	return found(err, "drawbridge freeze list", "there is no freeze %d", id)
}

// SetFreeze is cd.FreezeWriter's.
func (s *Store) SetFreeze(ctx context.Context, f bridge.Freeze) (bridge.Freeze, error) {
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) (err error) {
		f, err = s.setFreeze(ctx, tx, q, f)
		return err
	})
	return f, err
}

// setFreeze inserts f. The alert of another one that held meanwhile, or whose end came
// meanwhile, gives a fault of kind Conflict: the event must be judged again.
func (s *Store) setFreeze(ctx context.Context, tx *store.Tx, q *sqlc.Queries, f bridge.Freeze) (bridge.Freeze, error) {
	if f.Trigger != "" {
		if _, err := inTurn(ctx, tx); err != nil {
			return f, err
		}
		if err := makeWay(ctx, q, f); err != nil {
			return f, err
		}
	}
	id, err := tx.Next(ctx, "freeze")
	if err != nil {
		return f, err
	}
	f.ID = id
	if err := insertFreeze(ctx, q, f, true); err != nil {
		return f, err
	}
	return f, tx.Record(ctx, frozen(f.By, "freeze.set", f, f.Reason))
}

// inTurn lets one transaction at a time judge what alerts froze: on PostgreSQL another one
// waits here, and then sees what the first one wrote. It returns a number of its own.
func inTurn(ctx context.Context, tx *store.Tx) (int64, error) { return tx.Next(ctx, "freeze.turn") }

// makeWay closes the freeze of the same alert that ended by itself.
func makeWay(ctx context.Context, q *sqlc.Queries, f bridge.Freeze) error {
	row, err := newestFreeze(ctx, q, f.Application, f.Trigger, f.Key)
	if err != nil || row.ID == 0 {
		return err
	}
	since := millis(f.Since)
	if row.Open == 1 && row.UntilMs > store.Millis(f.At) || since != 0 && since <= row.EndedMs {
		return judgedBefore(f)
	}
	if row.Open == 0 {
		return nil
	}
	return endFreeze(ctx, q, row, row.LiftedMs, "", "", row.EndedMs)
}

// judgedBefore says that another event of the same alert was judged in the same instant.
func judgedBefore(f bridge.Freeze) error {
	return fault.New(fault.Conflict, "another event of the same alert came first at trigger %s of %s", f.Trigger, f.Application).
		WithHint("drawbridge freeze list --all")
}

func insertFreeze(ctx context.Context, q *sqlc.Queries, f bridge.Freeze, open bool) error {
	n, err := q.InsertFreeze(ctx, sqlc.InsertFreezeParams{
		ID: f.ID, Application: f.Application, Environments: marshal(f.Environments), TriggerBy: f.Trigger, AlertKey: key(f.Key),
		Reason: clip(f.Reason), SetBy: clip(f.By), SinceMs: millis(f.Since), SetMs: store.Millis(f.At), UntilMs: store.Millis(f.Until),
		Open: bit(open), EndedMs: millis(f.Ended),
	})
	if err != nil {
		return fmt.Errorf("insert freeze %d: %w", f.ID, err)
	}
	if n == 0 {
		return judgedBefore(f)
	}
	return nil
}

func endFreeze(ctx context.Context, q *sqlc.Queries, row sqlc.Frozen, lifted int64, by, reason string, ended int64) error {
	n, err := q.EndFreeze(ctx, sqlc.EndFreezeParams{
		LiftedMs: lifted, LiftedBy: clip(by), LiftReason: clip(reason), EndedMs: ended, ID: row.ID, Was: row.Open,
	})
	if err != nil {
		return fmt.Errorf("end freeze %d: %w", row.ID, err)
	}
	return store.Swapped(n, "freeze", row.ID)
}

// LiftFreeze is cd.FreezeWriter's.
func (s *Store) LiftFreeze(ctx context.Context, actor string, id int64, reason string) (bridge.Freeze, error) {
	var out bridge.Freeze
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		row, err := q.Freeze(ctx, id)
		if err != nil {
			return noFreeze(err, id)
		}
		now := s.db.Now()
		if row.Open == 0 || row.UntilMs <= store.Millis(now) {
			return fault.New(fault.Conflict, "freeze %d holds no more", id).WithHint("drawbridge freeze list --all")
		}
		out, err = s.lift(ctx, tx, q, row, bridge.Lift{By: actor, Reason: reason, At: now})
		return err
	})
	return out, err
}

// lift ends a freeze that holds, and has looked at again what it kept waiting.
func (s *Store) lift(ctx context.Context, tx *store.Tx, q *sqlc.Queries, row sqlc.Frozen, l bridge.Lift) (bridge.Freeze, error) {
	f, err := freeze(row)
	if err != nil {
		return f, err
	}
	f.Lifted, f.LiftedBy, f.LiftReason, f.Ended = l.At, clip(l.By), clip(l.Reason), l.Ended
	if err := endFreeze(ctx, q, row, store.Millis(l.At), l.By, l.Reason, millis(l.Ended)); err != nil {
		return f, err
	}
	if err := tx.Record(ctx, frozen(l.By, "freeze.lift", f, l.Reason)); err != nil {
		return f, err
	}
	moving, err := q.MovingTo(ctx, f.Application)
	if err != nil {
		return f, fmt.Errorf("look for what freeze %d kept waiting: %w", f.ID, err)
	}
	var tasks []store.Task
	for _, p := range moving {
		if f.Covers(p.Environment) {
			tasks = append(tasks, task(cd.PromotionID(p.ID), p.Version))
		}
	}
	return f, tx.EnqueueAll(ctx, tasks)
}

// freezeAndLift writes what an outcome says about freezes.
func (s *Store) freezeAndLift(ctx context.Context, tx *store.Tx, q *sqlc.Queries, o bridge.Outcome) error {
	for _, f := range o.Freezes {
		if _, err := s.setFreeze(ctx, tx, q, f); err != nil {
			return err
		}
	}
	for _, l := range o.Lifts {
		if err := s.alertEnded(ctx, tx, q, l); err != nil {
			return err
		}
	}
	return nil
}

// alertEnded keeps the end of an alert and lifts what it froze.
func (s *Store) alertEnded(ctx context.Context, tx *store.Tx, q *sqlc.Queries, l bridge.Lift) error {
	turn, err := inTurn(ctx, tx)
	if err != nil {
		return err
	}
	row, err := newestFreeze(ctx, q, l.Application, l.Trigger, l.Key)
	switch {
	case err != nil:
		return err
	case row.ID == 0: // the beginning is to come, or came before the trigger was there
		// The row is no freeze that people see: its id is below all of theirs.
		return insertFreeze(ctx, q, bridge.Freeze{
			ID: -turn, Application: l.Application, Trigger: l.Trigger, Key: l.Key, Environments: []string{}, Reason: l.Reason, By: l.By,
			At: l.At, Until: l.At, Ended: l.Ended,
		}, false)
	case row.Open == 1 && row.UntilMs > store.Millis(l.At):
		_, err = s.lift(ctx, tx, q, row, l)
		return err
	}
	return endFreeze(ctx, q, row, row.LiftedMs, row.LiftedBy, row.LiftReason, max(row.EndedMs, millis(l.Ended)))
}

// newestFreeze is the newest row of an alert; the zero row when there is none.
func newestFreeze(ctx context.Context, q *sqlc.Queries, application, trigger, alert string) (sqlc.Frozen, error) {
	row, err := q.NewestFreeze(ctx, sqlc.NewestFreezeParams{Application: application, TriggerBy: trigger, AlertKey: key(alert)})
	if errors.Is(err, sql.ErrNoRows) {
		return sqlc.Frozen{}, nil
	}
	if err != nil {
		return row, fmt.Errorf("look for a freeze by trigger %s of %s: %w", trigger, application, err)
	}
	return row, nil
}

func freezes(rows []sqlc.Frozen, err error) ([]bridge.Freeze, error) {
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]bridge.Freeze, 0, len(rows))
	for _, row := range rows {
		f, err := freeze(row)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func freeze(row sqlc.Frozen) (bridge.Freeze, error) {
	environments, err := unmarshal[[]string](row.Environments, "freeze")
	return bridge.Freeze{
		ID: row.ID, Application: row.Application, Environments: environments, Trigger: row.TriggerBy, Key: row.AlertKey,
		Reason: row.Reason, By: row.SetBy, Since: moment(row.SinceMs), At: store.Time(row.SetMs), Until: store.Time(row.UntilMs),
		Lifted: moment(row.LiftedMs), LiftedBy: row.LiftedBy, LiftReason: row.LiftReason, Ended: moment(row.EndedMs),
	}, err
}

// frozen is the audit entry about a freeze.
func frozen(actor, action string, f bridge.Freeze, reason string) audit.Entry {
	a := entry(orDrawbridge(clip(actor)), action, "freeze/"+strconv.FormatInt(f.ID, 10))
	a.Application = f.Application
	if len(f.Environments) == 1 && f.Environments[0] != bridge.Everywhere {
		a.Environment = f.Environments[0]
	}
	a.Detail = map[string]string{
		"environments": clip(strings.Join(f.Environments, " ")), "reason": clip(reason), "until": f.Until.UTC().Format(time.RFC3339),
	}
	if f.Trigger != "" {
		a.Detail["trigger"], a.Detail["key"] = f.Trigger, clip(f.Key)
	}
	return a
}
