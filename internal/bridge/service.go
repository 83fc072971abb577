package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// Service receives events and judges them. Its fields are set once, before use; its
// methods are safe for concurrent use.
type Service struct {
	Ledger   Ledger
	Verifier Verifier
	Images   Images
	Sources  Sources
	Packages Packages // nil where nothing is wrapped
	Signers  CommitSigners
	Rereader Rereader // reads kept deliveries anew; nil where nothing is redriven
	Planner  Planner
	Now      func() time.Time
}

// Packages wraps files as artifacts.
type Packages interface {
	// Wrap finds the file that rule names in a version, checks it against the checksum that its
	// host states, and returns the digest of the artifact in rule's image that holds it, with
	// what vouches for the file attached. NotFound when the host has no such version or file.
	Wrap(ctx context.Context, rule ArtifactRule, version string) (Wrapped, error)
}

// Receive keeps a delivery of a sender and returns once it is committed. A repetition gives
// the events that are kept already.
func (s *Service) Receive(ctx context.Context, m Message) ([]Event, bool, error) {
	if len(m.Facts) > MaxFacts {
		return nil, false, fault.New(fault.TooLarge, "a delivery tells of at most %d facts, not %d", MaxFacts, len(m.Facts))
	}
	if len(m.Facts) == 0 && m.Wrong == "" {
		return nil, false, nil // a greeting, or nothing that anybody here waits for
	}
	return s.Ledger.Receive(ctx, m)
}

// Process judges one event at each trigger that it may concern and writes the outcomes.
// It may be called again after a crash: what was written is not written twice. A try that
// fails is kept with its reason, repeated later and later, and at last left to a person:
// an event is lost in no case. An error means that not even that could be written.
func (s *Service) Process(ctx context.Context, id int64) error {
	ev, err := s.Ledger.Event(ctx, id)
	if err != nil {
		return err
	}
	if ev.State != EventReceived {
		return nil
	}
	c, err := s.judgeAll(ctx, ev)
	if err == nil {
		_, err = s.Ledger.Cross(ctx, c)
		if fault.Is(err, fault.Conflict) {
			return nil // another worker was first
		}
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return s.failed(ctx, ev, err)
}

// judgeAll judges ev at each trigger. Where it cannot be judged at some of them, that keeps
// the others' applications not waiting: a handoff of its own waits. An error means that it
// could be judged nowhere.
func (s *Service) judgeAll(ctx context.Context, ev Event) (Crossing, error) {
	apps, err := s.Ledger.Concerned(ctx, EventKeys(ev))
	if err != nil {
		return Crossing{}, err
	}
	c := Crossing{Event: ev}
	var first error
	var later []Outcome
	for _, app := range apps {
		if !ev.MayConcern(app.Name) {
			continue
		}
		for _, t := range app.Triggers {
			if !t.takes(ev, app) {
				continue
			}
			o, err := s.judge(ctx, ev, app, t)
			switch {
			case ctx.Err() != nil:
				return Crossing{}, ctx.Err()
			case err == nil:
				c.Outcomes = append(c.Outcomes, o)
			case first == nil:
				first = fmt.Errorf("judge event %d at %s/%s: %w", ev.ID, app.Name, t.Name, err)
				fallthrough
			default:
				later = append(later, s.putOff(ev, app, t, err))
			}
		}
	}
	if first != nil && len(c.Outcomes) == 0 {
		return Crossing{}, first
	}
	c.Outcomes = append(c.Outcomes, later...)
	c.Event.State = EventProcessed
	return c, nil
}

// putOff is the outcome of an event that cannot be judged at a trigger now.
func (s *Service) putOff(ev Event, app Application, t Trigger, why error) Outcome {
	in := s.hear(ev, app, t)
	in.h.State, in.h.Reason = Waiting, unjudged(why)
	in.h.Look, in.h.Until = in.now.Add(lookAnew), in.now.Add(maxOutage)
	return Outcome{Handoff: in.h}
}

// How a handoff that cannot be judged goes on.
const (
	lookAnew  = time.Minute        // to the next look
	maxUnseen = 7 * 24 * time.Hour // past its time, where a registry or a Git host is out of reach
)

func unjudged(why error) string { return "cannot be judged now: " + reason(why) }

// Concerns says which events of a batch concern nobody: no application waits for what they
// tell of, so that no handoff comes of them. Somebody's, and those of which it cannot be
// said now, are to be processed.
func (s *Service) Concerns(ctx context.Context, batch []Event) (nobody, somebody []int64) {
	known := map[string][]Application{}
	for _, ev := range batch {
		keys := EventKeys(ev)
		name := strings.Join(keys, "\n")
		apps, ok := known[name]
		if !ok {
			var err error
			if apps, err = s.Ledger.Concerned(ctx, keys); err != nil {
				somebody = append(somebody, ev.ID) // processing says what is wrong
				continue
			}
			known[name] = apps
		}
		if ev.awaited(apps) {
			somebody = append(somebody, ev.ID)
		} else {
			nobody = append(nobody, ev.ID)
		}
	}
	return nobody, somebody
}

// awaited reports whether a trigger of one of the applications waits for the event.
func (e Event) awaited(apps []Application) bool {
	return slices.ContainsFunc(apps, func(app Application) bool {
		return e.MayConcern(app.Name) && slices.ContainsFunc(app.Triggers, func(t Trigger) bool { return t.takes(e, app) })
	})
}

// failed keeps that a try failed, and when the next one is.
func (s *Service) failed(ctx context.Context, ev Event, why error) error {
	now := s.now()
	ev.Attempts++
	ev.Reason = reason(why)
	wait := backoff(ev.Attempts)
	if t, ok := errors.AsType[Throttled](why); ok {
		wait = max(wait, min(t.After, time.Hour))
	}
	tried := ev.Attempts >= maxAttempts
	if tried && (!fault.Is(why, fault.Unavailable) || now.Sub(ev.Received) > maxOutage) {
		ev.State = EventDead
		return s.Ledger.Failed(ctx, ev, time.Time{})
	}
	return s.Ledger.Failed(ctx, ev, now.Add(wait))
}

// reason is an error as people may read it: what is not meant for them is not told.
func reason(err error) string {
	if f := fault.As(err); f != nil && f.Kind != fault.Internal {
		return f.Error()
	}
	return "internal error: " + err.Error()
}

// Look judges a waiting handoff again: because its time has come, or because something
// that it may wait for has come. One that waits no more is left; one that cannot be judged
// is looked at again, and refused when its time is over.
func (s *Service) Look(ctx context.Context, id int64) error {
	h, err := s.Ledger.Handoff(ctx, id)
	if err != nil || h.State != Waiting {
		return err
	}
	o, err := s.lookAgain(ctx, h)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		o = s.stillUnjudged(h, err)
	}
	o.Handoff.ID = h.ID
	err = s.Ledger.Settle(ctx, o)
	if fault.Is(err, fault.Conflict) {
		return nil // another worker was first
	}
	return err
}

// stillUnjudged is a waiting handoff that cannot be judged again.
func (s *Service) stillUnjudged(h Handoff, why error) Outcome {
	end := h.Until
	if fault.Is(why, fault.Unavailable) {
		end = end.Add(maxUnseen) // the world is out of reach: that decides nothing
	} else {
		h.Reason = unjudged(why)
	}
	now := s.now()
	h.Look = now.Add(lookAnew)
	if !now.Before(end) {
		h.State, h.Reason, h.At, h.Look = Refused, unjudged(why)+", and its time is over", now, time.Time{}
	}
	return Outcome{Handoff: h}
}

func (s *Service) lookAgain(ctx context.Context, h Handoff) (Outcome, error) {
	ev, err := s.Ledger.Event(ctx, h.Event)
	if err != nil {
		return Outcome{}, err
	}
	apps, err := s.Ledger.Concerned(ctx, []string{applicationKey(h.Application)})
	if err != nil {
		return Outcome{}, err
	}
	for _, app := range apps {
		t, ok := app.Trigger(h.Trigger)
		if !ok || app.Name != h.Application || !t.takes(ev, app) || !ev.MayConcern(app.Name) {
			continue
		}
		// A pause is for what arrives while it lasts: what waits goes on waiting, as long as it may.
		pause, err := s.Ledger.Paused(ctx, app.Name, t.Name)
		if err != nil {
			return Outcome{}, err
		}
		if now := s.now(); pause.By != "" && now.Before(h.Until) {
			h.Look = now.Add(time.Minute)
			return Outcome{Handoff: h}, nil
		}
		return s.judge(ctx, ev, app, t)
	}
	return s.ignored(h, "the delivery has no such trigger any more"), nil
}

// Test says what an event would bring about at a trigger now, and why, and has no effect.
func (s *Service) Test(ctx context.Context, application, trigger string, event int64) (Outcome, error) {
	ev, err := s.Ledger.Event(ctx, event)
	if err != nil {
		return Outcome{}, err
	}
	apps, err := s.Ledger.Concerned(ctx, []string{applicationKey(application)})
	if err != nil {
		return Outcome{}, err
	}
	if len(apps) == 0 {
		return Outcome{}, fault.New(fault.NotFound, "there is no application %q", application).WithHint("drawbridge status")
	}
	t, ok := apps[0].Trigger(trigger)
	if !ok {
		return Outcome{}, fault.New(fault.NotFound, "%s has no trigger %q", application, trigger).WithHint("drawbridge trigger list --application %s", application)
	}
	h := Handoff{Event: ev.ID, Application: application, Trigger: trigger, At: s.now(), Delivery: apps[0].Delivery}
	switch {
	case !ev.MayConcern(application):
		return s.ignored(h, fmt.Sprintf("receiver %s may not concern %s", ev.Receiver, application)), nil
	case !t.takes(ev, apps[0]):
		return s.ignored(h, t.misses(ev)), nil
	}
	return s.judge(ctx, ev, apps[0], t)
}

// misses says why t does not wait for e.
func (t Trigger) misses(e Event) string {
	switch {
	case t.Receiver != "" && t.Receiver != e.Receiver:
		return fmt.Sprintf("the trigger waits at receiver %s, the event came through %s", t.Receiver, e.Receiver)
	case t.On == OnEvent && !t.ofType(e.Fact.Type):
		return fmt.Sprintf("the trigger waits for type %s, the event has %s", t.Type, e.Fact.Type)
	}
	return fmt.Sprintf("a trigger on %s does not wait for %s of %s", t.On, e.Fact.Kind, e.Fact.Subject)
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }
