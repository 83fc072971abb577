package bridge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"drawbridge/internal/fault"
)

// ClockKind is what happens when a clock rings.
type ClockKind string

// The kinds of clocks.
const (
	ClockSchedule ClockKind = "schedule" // a schedule trigger fires
	ClockRegistry ClockKind = "registry" // a registry is looked at for new tags
	ClockGit      ClockKind = "git"      // a Git repository is looked at for new commits and tags
)

// Clock is when something of an application is due next, and what is known of it. It is a
// row: nothing sleeps, and a time that passes while no server runs is seen afterwards.
type Clock struct {
	ID          int64           `json:"id"`
	Application string          `json:"application"`
	Name        string          `json:"name"` // the trigger's; the artifact's where a registry is looked at
	Kind        ClockKind       `json:"kind"`
	Spec        string          `json:"spec"` // what it was set by: a change sets it anew
	Next        time.Time       `json:"next"`
	Last        time.Time       `json:"last,omitzero"`    // when it rang last
	Failures    int             `json:"failures"`         // in a row
	Reason      string          `json:"reason,omitempty"` // of the last ring: what was found, or why it failed
	State       json.RawMessage `json:"state,omitempty"`  // what was seen before
	Version     int64           `json:"version"`          // fence
}

// Clocks keeps clocks.
type Clocks interface {
	// Clock returns one clock; NotFound when there is none.
	Clock(ctx context.Context, id int64) (Clock, error)
	// Tick moves a clock on and keeps what it brought, in one transaction. A clock that has moved
	// on gives a fault of kind Conflict and changes nothing.
	Tick(ctx context.Context, was, now Clock, brought []Message) error
}

// Clocks are the clocks that the application needs, not set yet: Next is when the first one
// rings if it is new.
func (a Application) Clocks(now time.Time) []Clock {
	var out []Clock
	for _, r := range a.Artifacts {
		if r.Poll > 0 {
			out = append(out, Clock{Application: a.Name, Name: r.Name, Kind: ClockRegistry, Spec: fmt.Sprintf("%s every %s", r.Image.Name(), r.Poll), Next: now})
		}
	}
	for _, t := range a.Triggers {
		switch {
		case t.On == OnSchedule:
			c := Clock{Application: a.Name, Name: t.Name, Kind: ClockSchedule, Spec: t.Cron + " " + t.Timezone}
			if s, err := ParseSchedule(t.Cron, t.Timezone); err == nil {
				c.Next = s.Next(now)
			}
			out = append(out, c)
		case t.Poll > 0 && t.Repository != "":
			out = append(out, Clock{Application: a.Name, Name: t.Name, Kind: ClockGit, Spec: fmt.Sprintf("%s every %s", t.Repository, t.Poll), Next: now})
		}
	}
	return out
}

// Clockwork rings clocks. Its fields are set once, before use.
type Clockwork struct {
	Clocks  Clocks
	Ledger  Ledger
	Images  Images
	Sources Sources
	Tags    Evidence // resolves tags
	Budget  *Budget
	Now     func() time.Time
}

// onTime is how late a schedule may fire and still count as on time.
const onTime = 5 * time.Minute

// Ring does what is due at a clock. A source that does not answer is no error: it is kept
// with its reason, and looked at again later and later.
func (w *Clockwork) Ring(ctx context.Context, id, version int64) error {
	c, err := w.Clocks.Clock(ctx, id)
	if fault.Is(err, fault.NotFound) || err == nil && c.Version != version {
		return nil // it was set anew, or its delivery has it no more
	}
	if err != nil {
		return err
	}
	apps, err := w.Ledger.Concerned(ctx, []string{applicationKey(c.Application)})
	if err != nil || len(apps) == 0 {
		return err
	}
	now := w.Now().UTC().Truncate(time.Millisecond)
	next, brought, err := w.ring(ctx, c, apps[0], now)
	if err != nil {
		return err
	}
	next.Version++
	err = w.Clocks.Tick(ctx, c, next, brought)
	if fault.Is(err, fault.Conflict) {
		return nil // another worker was first
	}
	return err
}

func (w *Clockwork) ring(ctx context.Context, c Clock, app Application, now time.Time) (Clock, []Message, error) {
	if c.Kind == ClockSchedule {
		t, ok := app.Trigger(c.Name)
		if !ok {
			return c, nil, nil
		}
		return fire(c, t, now)
	}
	return w.poll(ctx, c, app, now)
}

// fire is a schedule whose time has come. What was missed while no server ran is made up
// for once, or skipped, as the trigger says.
func fire(c Clock, t Trigger, now time.Time) (Clock, []Message, error) {
	s, err := ParseSchedule(t.Cron, t.Timezone)
	if err != nil {
		return c, nil, fmt.Errorf("read the schedule of %s/%s: %w", c.Application, c.Name, err)
	}
	latest, n := s.Missed(c.Next.Add(-time.Millisecond), now)
	was := c
	c.Next = s.Next(now)
	if n == 0 {
		return c, nil, nil // rung too early
	}
	c.Last, c.Reason = now, "fired for "+latest.UTC().Format(time.RFC3339)
	if now.Sub(latest) > onTime && !t.CatchUp {
		c.Reason = fmt.Sprintf("skipped %d since %s: no server ran", n, was.Next.Format(time.RFC3339))
		return c, nil, nil
	}
	if n > 1 {
		c.Reason += fmt.Sprintf("; missed before it: %d", n-1)
	}
	return c, []Message{clockMessage(c, "schedule", latest, latest.UTC().Format(time.RFC3339))}, nil
}

// clockMessage tells one trigger that something of its own is due.
func clockMessage(c Clock, kind string, at time.Time, key string) Message {
	return Message{
		Receiver: DoorClock, Sender: DoorClock, Key: fmt.Sprintf("%s/%s/%s/%s", kind, c.Application, c.Name, key),
		Applications: []string{c.Application},
		Facts: []Fact{{
			Kind: KindClock, Type: kind, Subject: c.Application + "/" + c.Name, At: at,
			Trigger: &TriggerRef{Application: c.Application, Trigger: c.Name},
		}},
	}
}

// Repair asks again for what drifted, at git triggers that say so. Each drift is asked for
// once: what is undone or stopped afterwards stays as a person or the figures left it.
func (s *Service) Repair(ctx context.Context, application string) error {
	apps, err := s.Ledger.Concerned(ctx, []string{applicationKey(application)})
	if err != nil || len(apps) == 0 {
		return err
	}
	drifts, err := s.Drifts(ctx, application)
	if err != nil {
		return err
	}
	for _, d := range drifts {
		if t, ok := apps[0].Trigger(d.Trigger); !ok || !t.Repair {
			continue
		}
		key := fmt.Sprintf("%s/%s/%s", d.Environment, d.Commit, orElse(d.Runs, "nothing"))
		m := clockMessage(Clock{Application: application, Name: d.Trigger}, "drift", s.now(), key)
		if _, _, err := s.Ledger.Receive(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// jitter spreads what is due every d: a tenth more or less, the same for one clock at one version.
func jitter(c Clock, d time.Duration) time.Duration {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(c.ID))      //nolint:gosec // only spread
	binary.LittleEndian.PutUint64(b[8:], uint64(c.Version)) //nolint:gosec // only spread
	_, _ = h.Write(b[:])
	part := float64(h.Sum64()%2001)/1000 - 1 // -1 … 1
	return d + time.Duration(part*float64(d)/10)
}
