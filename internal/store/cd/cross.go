package cd

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// actorBridge is the bridge itself in the audit log.
const actorBridge = "bridge"

// signalsMax bounds how many waiting handoffs one outcome has looked at again; the others
// have their timers.
const signalsMax = 100

// Cross is bridge.Outcomes'. What another event of the same instant stands against gives a
// fault of kind Unavailable: the event is judged again and then sees the other.
func (s *Store) Cross(ctx context.Context, c bridge.Crossing) ([]int64, error) {
	var ids []int64
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		event, err := s.crossed(ctx, tx, q, c.Event)
		if err != nil || len(c.Outcomes) == 0 {
			return err
		}
		first, err := tx.NextOf(ctx, "handoff", int64(len(c.Outcomes)))
		if err != nil {
			return err
		}
		ids = make([]int64, len(c.Outcomes))
		for i, o := range c.Outcomes {
			o.Handoff.ID, o.Handoff.Event = first+int64(i), event
			ids[i] = o.Handoff.ID
			if err := s.outcome(ctx, tx, q, o, insertHandoff); err != nil {
				err = fmt.Errorf("write the handoff of event %d at %s/%s: %w", event, o.Handoff.Application, o.Handoff.Trigger, err)
				if c.Event.ID != 0 {
					err = judgeAgain(err)
				}
				return err
			}
		}
		return signal(ctx, tx, q, c.Outcomes, ids)
	})
	return ids, err
}

// crossed marks the event as processed, or keeps one that has no row yet, and returns its id.
func (s *Store) crossed(ctx context.Context, tx *store.Tx, q *sqlc.Queries, e bridge.Event) (int64, error) {
	if e.ID != 0 {
		n, err := q.ProcessEvent(ctx, e.ID)
		if err != nil {
			return 0, fmt.Errorf("process event %d: %w", e.ID, err)
		}
		if err := store.Swapped(n, "event", e.ID); err != nil {
			return 0, err
		}
		if e.Attempts > 0 {
			return e.ID, tx.CancelWake(ctx, TaskEvent, e.ID)
		}
		return e.ID, nil
	}
	id, err := tx.Next(ctx, "event")
	if err != nil {
		return 0, err
	}
	e.ID, e.Receiver, e.Sender, e.Key, e.Reason = id, key(e.Receiver), key(e.Sender), key(e.Key), clip(e.Reason)
	if e.Received.IsZero() {
		e.Received = s.db.Now()
	}
	e, body := readable(e)
	e.State = bridge.EventProcessed
	n, err := store.InsertRows(ctx, tx.SQL, insertEventSQL, eventColumns, eventRow(e, body))
	if err != nil {
		return 0, fmt.Errorf("insert event %d: %w", id, err)
	}
	if n == 0 {
		return 0, fault.New(fault.Conflict, "the same was asked for before").WithHint("drawbridge handoff list")
	}
	return id, tx.Record(ctx, arrived(e))
}

// judgeAgain makes a conflict with what another event brought in the same instant an error
// after which the event is judged again: a conflict would mean that it is dealt with.
func judgeAgain(err error) error {
	if err == nil || !fault.Is(err, fault.Conflict) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "something else came first in the same instant: %v", err).WithHint("it is judged again by itself")
}

// Settle is bridge.Outcomes'.
func (s *Store) Settle(ctx context.Context, o bridge.Outcome) error {
	id := o.Handoff.ID
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		row, err := q.Handoff(ctx, id)
		if err != nil {
			return found(err, "drawbridge handoff list", "there is no handoff %d", id)
		}
		was, err := handoff(row.ID, row.Body)
		if err != nil {
			return err
		}
		if was.State != bridge.Waiting {
			return store.Swapped(0, "handoff", id)
		}
		o.Handoff.Event, o.Handoff.Application, o.Handoff.Trigger = was.Event, was.Application, was.Trigger
		if o.Handoff.State == bridge.Waiting {
			return s.waitOn(ctx, tx, q, was, o.Handoff)
		}
		o.Handoff.Until = was.Until
		if err := s.outcome(ctx, tx, q, o, settleHandoff); err != nil {
			return fmt.Errorf("settle handoff %d: %w", id, err)
		}
		if err := tx.CancelWake(ctx, TaskHandoff, id); err != nil || o.Handoff.State != bridge.Accepted {
			return err
		}
		return signal(ctx, tx, q, []bridge.Outcome{o}, []int64{id})
	})
}

// waitOn keeps that a handoff goes on waiting; the audit log hears of it when it is for
// something else than before.
func (s *Store) waitOn(ctx context.Context, tx *store.Tx, q *sqlc.Queries, was, now bridge.Handoff) error {
	if err := settleHandoff(ctx, q, now); err != nil {
		return err
	}
	if clean(now.Reason) != was.Reason {
		if err := tx.Record(ctx, handedOver(now)); err != nil {
			return err
		}
	}
	return s.lookLater(ctx, tx, now)
}

// lookLater has a waiting handoff looked at when its time comes.
func (s *Store) lookLater(ctx context.Context, tx *store.Tx, h bridge.Handoff) error {
	if h.Look.IsZero() {
		h.Look = s.db.Now()
	}
	return tx.WakeAt(ctx, store.Task{Name: TaskHandoff, ID: h.ID}, h.Look)
}

// outcome writes one outcome; write is for its handoff's row.
func (s *Store) outcome(ctx context.Context, tx *store.Tx, q *sqlc.Queries, o bridge.Outcome, write func(context.Context, *sqlc.Queries, bridge.Handoff) error) error {
	h := o.Handoff
	if o.Release != nil {
		if err := putRelease(ctx, q, *o.Release); err != nil {
			return err
		}
	}
	if err := write(ctx, q, h); err != nil {
		return err
	}
	if err := putExpected(ctx, q, o.Expected); err != nil {
		return err
	}
	if err := s.freezeAndLift(ctx, tx, q, o); err != nil {
		return err
	}
	if err := tx.Record(ctx, handedOver(h)); err != nil {
		return err
	}
	for _, st := range o.Starts {
		p, err := cd.OpenStart(st, h)
		if err != nil {
			return err
		}
		p.Causes[0].Note = strings.TrimPrefix(fmt.Sprintf("%s, handoff %d", p.Causes[0].Note, h.ID), ", ")
		if _, _, err := s.open(ctx, tx, q, p); err != nil {
			return err
		}
	}
	if h.State == bridge.Waiting {
		return s.lookLater(ctx, tx, h)
	}
	return nil
}

func insertHandoff(ctx context.Context, q *sqlc.Queries, h bridge.Handoff) error {
	h.Reason = clean(h.Reason)
	n, err := q.InsertHandoff(ctx, sqlc.InsertHandoffParams{
		ID: h.ID, Event: h.Event, Application: clean(h.Application), TriggerBy: clean(h.Trigger), State: string(h.State),
		Release: h.Release, Once: key(h.Once), Body: marshal(h), AtMs: store.Millis(h.At), LookMs: look(h),
	})
	if err != nil {
		return fmt.Errorf("insert handoff %d: %w", h.ID, err)
	}
	if n == 0 {
		return taken(h)
	}
	return nil
}

func settleHandoff(ctx context.Context, q *sqlc.Queries, h bridge.Handoff) error {
	h.Reason = clean(h.Reason)
	n, err := q.SettleHandoff(ctx, sqlc.SettleHandoffParams{
		State: string(h.State), Release: h.Release, Once: key(h.Once), Body: marshal(h), AtMs: store.Millis(h.At), LookMs: look(h), ID: h.ID,
	})
	if store.Duplicate(err) {
		return judgeAgain(taken(h))
	}
	if err != nil {
		return fmt.Errorf("update handoff %d: %w", h.ID, err)
	}
	return store.Swapped(n, "handoff", h.ID)
}

// taken says that the trigger has accepted under the handoff's key already.
func taken(h bridge.Handoff) error {
	return fault.New(fault.Conflict, "trigger %s of %s accepted the same already", h.Trigger, h.Application).WithHint("drawbridge handoff list")
}

func look(h bridge.Handoff) int64 {
	if h.State != bridge.Waiting {
		return 0
	}
	return millis(h.Look)
}

// putRelease inserts a release unless it is there. One whose version names other digests,
// or which has another version, came in between: the event must be judged again.
func putRelease(ctx context.Context, q *sqlc.Queries, r bridge.Release) error {
	n, err := q.InsertRelease(ctx, sqlc.InsertReleaseParams{
		ID: r.ID, Application: r.Application, Version: clean(r.Version), SourceCommit: clean(r.Commit), Body: marshal(r), AcceptedMs: store.Millis(r.Accepted),
	})
	if err != nil {
		return fmt.Errorf("insert release %s: %w", r.ID, err)
	}
	if n == 1 {
		return nil
	}
	version, err := q.ReleaseVersion(ctx, r.ID)
	if err == nil && version == clean(r.Version) {
		return nil
	}
	return fault.New(fault.Conflict, "version %s of %s names another release meanwhile", r.Version, r.Application).WithHint("drawbridge release list")
}

// putExpected keeps what a repository states, unless a newer statement was kept meanwhile.
func putExpected(ctx context.Context, q *sqlc.Queries, list []bridge.Expectation) error {
	for _, e := range list {
		n, err := q.PutExpectation(ctx, sqlc.PutExpectationParams{
			Application: e.Application, Environment: e.Environment, TriggerBy: e.Trigger, Body: marshal(e), AtMs: store.Millis(e.At),
		})
		if err != nil {
			return fmt.Errorf("keep what is expected of %s/%s: %w", e.Application, e.Environment, err)
		}
		if n == 0 {
			return fault.New(fault.Conflict, "something newer is expected of %s/%s meanwhile", e.Application, e.Environment).WithHint("drawbridge status")
		}
	}
	return nil
}

// handedOver is the audit entry of a handoff.
func handedOver(h bridge.Handoff) audit.Entry {
	a := entry(actorBridge, "handoff."+verb(h.State), "handoff/"+strconv.FormatInt(h.ID, 10))
	a.Application, a.Chain = clip(h.Application), clip(h.Chain)
	a.Detail = map[string]string{
		"trigger": clip(h.Trigger), "image": clip(h.Image.String()), "reason": clip(h.Reason), "release": h.Release,
		"event": strconv.FormatInt(h.Event, 10),
	}
	if h.Actor != "" {
		a.Detail["actor"] = clip(h.Actor)
	}
	return a
}

func verb(s bridge.HandoffState) string {
	switch s {
	case bridge.Waiting:
		return "wait"
	case bridge.Accepted:
		return "accept"
	case bridge.Refused:
		return "refuse"
	case bridge.Ignored:
		return "ignore"
	}
	return string(s)
}

// signal has the other waiting handoffs of the applications looked at that got something
// new: a release, or a part of what belongs together.
func signal(ctx context.Context, tx *store.Tx, q *sqlc.Queries, outcomes []bridge.Outcome, own []int64) error {
	mine := map[int64]bool{}
	for _, id := range own {
		mine[id] = true
	}
	told := map[string]bool{}
	var tasks []store.Task
	for _, o := range outcomes {
		app := o.Handoff.Application
		if told[app] || o.Handoff.State != bridge.Accepted && o.Handoff.State != bridge.Waiting {
			continue
		}
		told[app] = true
		ids, err := q.WaitingHandoffs(ctx, sqlc.WaitingHandoffsParams{Application: app, Page: signalsMax})
		if err != nil {
			return fmt.Errorf("look for waiting handoffs of %s: %w", app, err)
		}
		for _, id := range ids {
			if !mine[id] {
				tasks = append(tasks, store.Task{Name: TaskHandoff, ID: id})
			}
		}
	}
	return tx.EnqueueAll(ctx, tasks)
}
