package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// redriven ends the key of an event that was made again from a processed one.
var redriven = regexp.MustCompile(` redrive [0-9]{1,9}$`)

// maxRedrives is how often one event is processed again.
const maxRedrives = 1000

// Redrive is bridge.Inbox's. An event that is received still is tried at once.
func (s *Store) Redrive(ctx context.Context, actor string, e bridge.Event, facts []bridge.Fact) (bridge.Event, error) {
	var out bridge.Event
	err := s.inAlone(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		was, err := eventIn(ctx, q, e.ID)
		if err != nil {
			return err
		}
		now := was
		if now.Part < len(facts) {
			now.Fact = facts[now.Part]
		}
		now.State, now.Reason, now.Attempts = bridge.EventReceived, "", 0
		now, text := readable(now)
		if now.Fact.Kind == "" || now.State == bridge.EventDead {
			return fault.New(fault.Invalid, "nothing can be read in event %d: %s", e.ID, firstOf(now.Reason, was.Reason)).
				WithHint("correct the receiver, or have the sender send it again")
		}
		if was.State == bridge.EventProcessed {
			out, err = s.repeat(ctx, tx, q, now, text)
		} else {
			out = now
			out.Reason = was.Reason // until it is processed
			err = revive(ctx, tx, q, was, text)
		}
		if err != nil {
			return err
		}
		if err := s.further(ctx, tx, q, was, facts); err != nil {
			return err
		}
		a := entry(actor, "event.redrive", eventSubject(e.ID))
		a.Chain = clip(was.Fact.Chain)
		a.Detail = map[string]string{"receiver": was.Receiver, "key": was.Key, "was": string(was.State), "processed": strconv.FormatInt(out.ID, 10)}
		return tx.Record(ctx, a)
	})
	return out, err
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// revive makes a dead event, or one that waits for its next try, be processed now.
func revive(ctx context.Context, tx *store.Tx, q *sqlc.Queries, was bridge.Event, text string) error {
	fact, err := unmarshal[bridge.Fact](text, "event")
	if err != nil {
		return err
	}
	image := ""
	if fact.Kind == bridge.KindArtifact {
		image = fact.Artifact.Name()
	}
	n, err := q.ReviveEvent(ctx, sqlc.ReviveEventParams{Body: text, Image: image, ID: was.ID, Was: string(was.State)})
	if err != nil {
		return fmt.Errorf("revive event %d: %w", was.ID, err)
	}
	if err := store.Swapped(n, "event", was.ID); err != nil {
		return err
	}
	if err := tx.CancelWake(ctx, TaskEvent, was.ID); err != nil {
		return err
	}
	return tx.Enqueue(ctx, store.Task{Name: TaskEvent, ID: was.ID})
}

// repeat makes a new event of a processed one, with a copy of its delivery.
func (s *Store) repeat(ctx context.Context, tx *store.Tx, q *sqlc.Queries, e bridge.Event, text string) (bridge.Event, error) {
	raw, err := q.Raw(ctx, e.ID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return e, fmt.Errorf("read the delivery of event %d: %w", e.ID, err)
	}
	base := redriven.ReplaceAllString(e.Key, "")
	for n := 1; n <= maxRedrives; n++ {
		name := key(fmt.Sprintf("%s redrive %d", base, n))
		parts, err := q.EventParts(ctx, sqlc.EventPartsParams{Receiver: e.Receiver, Sender: e.Sender, EventKey: name})
		if err != nil {
			return e, fmt.Errorf("look for %s: %w", name, err)
		}
		if len(parts) > 0 {
			continue
		}
		e.Key, e.Received = name, s.db.Now()
		l := &letter{from: source{e.Receiver, e.Sender, name}, events: []bridge.Event{e}, bodies: []string{text}, headers: raw.Headers, raw: raw.Body}
		if err := s.insertWithTasks(ctx, tx, l); err != nil {
			return e, err
		}
		return l.kept[0], nil
	}
	return e, fault.New(fault.Refused, "event %d was processed again %d times", e.ID, maxRedrives)
}

// further keeps the facts of a delivery that were not read in it before, as further parts.
func (s *Store) further(ctx context.Context, tx *store.Tx, q *sqlc.Queries, was bridge.Event, facts []bridge.Fact) error {
	if redriven.MatchString(was.Key) {
		return nil // it stands for one part alone
	}
	rows, err := q.EventParts(ctx, sqlc.EventPartsParams{Receiver: was.Receiver, Sender: was.Sender, EventKey: was.Key})
	if err != nil {
		return fmt.Errorf("look for the parts of event %d: %w", was.ID, err)
	}
	there := map[int64]bool{}
	for _, r := range rows {
		there[r.Part] = true
	}
	l := &letter{from: source{was.Receiver, was.Sender, was.Key}}
	for i, f := range facts {
		if there[int64(i)] {
			continue
		}
		l.add(bridge.Event{
			Receiver: was.Receiver, Sender: was.Sender, Key: was.Key, Part: i, Applications: was.Applications, Fact: f,
			State: bridge.EventReceived, Received: s.db.Now(),
		})
	}
	return s.insertWithTasks(ctx, tx, l)
}
