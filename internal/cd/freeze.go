package cd

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// FreezeReader reads what is frozen.
type FreezeReader interface {
	// Freezes returns the freezes of an application that hold at now, the oldest first.
	Freezes(ctx context.Context, application string, now time.Time) ([]bridge.Freeze, error)
}

// FreezeWriter sets and lifts freezes. Each call is one transaction with its audit entry.
type FreezeWriter interface {
	// SetFreeze keeps f under a new id and returns it.
	SetFreeze(ctx context.Context, f bridge.Freeze) (bridge.Freeze, error)
	// LiftFreeze ends a freeze and has looked at again what it kept waiting. NotFound when
	// there is none, Conflict when it holds no more.
	LiftFreeze(ctx context.Context, actor string, id int64, reason string) (bridge.Freeze, error)
}

// FreezeWish is what a person asks for: no promotion into an environment for a while.
type FreezeWish struct {
	Actor       string         // authenticated identity
	Environment EnvironmentRef // Name may be empty: every environment of the application
	Reason      string
	For         time.Duration // 0 means bridge.DefaultFreeze
}

// maxFreezeReason is the longest reason of a freeze or of its lifting, in bytes.
const maxFreezeReason = 1000

// Freeze keeps promotions out of an environment until the time is over or somebody lifts it.
// Faults: NotFound for an application or environment that is not there, Invalid for a
// reason that is missing or a time that is out of bounds.
func (s *Service) Freeze(ctx context.Context, w FreezeWish) (bridge.Freeze, error) {
	if w.For == 0 {
		w.For = bridge.DefaultFreeze
	}
	switch {
	case w.Reason == "":
		return bridge.Freeze{}, fault.New(fault.Invalid, "is missing").WithField("reason").WithHint("say why, for those who are kept waiting")
	case w.For < time.Duration(minFreeze) || w.For > bridge.MaxFreeze:
		return bridge.Freeze{}, fault.New(fault.Invalid, "is %s, and must be %s to %s", w.For, time.Duration(minFreeze), bridge.MaxFreeze).
			WithField("for").WithHint("write for example 24h")
	}
	if err := checkFreezeReason(w.Reason); err != nil {
		return bridge.Freeze{}, err
	}
	d, _, err := s.Store.Delivery(ctx, w.Environment.Application, 0)
	if err != nil {
		return bridge.Freeze{}, err
	}
	name := bridge.Everywhere
	if w.Environment.Name != "" {
		name = w.Environment.Name
		if _, ok := d.Environment(name); !ok {
			return bridge.Freeze{}, noEnvironment(d.Name, name)
		}
	}
	now := s.now()
	return s.Store.SetFreeze(ctx, bridge.Freeze{
		Application: d.Name, Environments: []string{name}, Reason: w.Reason, By: w.Actor, At: now, Until: now.Add(w.For),
	})
}

// Lift ends a freeze before its time, also one that an alert set, which does not freeze
// again while it goes on. What waited goes on. The faults are those of FreezeWriter.
func (s *Service) Lift(ctx context.Context, actor string, id int64, reason string) (bridge.Freeze, error) {
	if err := checkFreezeReason(reason); err != nil {
		return bridge.Freeze{}, err
	}
	return s.Store.LiftFreeze(ctx, actor, id, reason)
}

func checkFreezeReason(reason string) error {
	if len(reason) > maxFreezeReason {
		return fault.New(fault.TooLarge, "has more than %d bytes", maxFreezeReason).WithField("reason")
	}
	return nil
}

// freezeOf is the freeze that keeps promotions out of ref at now, of several the one that
// ends last; nil when nothing does.
func (s *Service) freezeOf(ctx context.Context, ref EnvironmentRef, now time.Time) (*bridge.Freeze, error) {
	list, err := s.Store.Freezes(ctx, ref.Application, now)
	if err != nil {
		return nil, err
	}
	var last *bridge.Freeze
	for i, f := range list {
		if f.Holds(now) && f.Covers(ref.Name) && (last == nil || f.Until.After(last.Until)) {
			last = &list[i]
		}
	}
	return last, nil
}

// barred is the freeze that keeps a promotion from its present step; nil when it may go on.
// A rollback passes every freeze, and what is no way forward is never asked.
func (s *Service) barred(ctx context.Context, in input) (*bridge.Freeze, error) {
	moves := in.p.State == Queued || in.step.Kind == StepAdmit || in.step.Kind == StepShift
	if in.p.Rollback() || !moves {
		return nil, nil //nolint:nilnil // nothing bars it
	}
	return s.freezeOf(ctx, in.env.Ref, in.now)
}

// frozen reports whether p waits at a step for the end of a freeze: no other one that a
// freeze bars waits for a time.
func (p Promotion) frozen() bool {
	k := p.Current().Kind
	return p.State == Waiting && p.Signal == SignalTime && (k == StepAdmit || k == StepShift)
}

// How often what is frozen is looked at without a signal.
const (
	freezeLook  = time.Minute     // in case that the freeze was lifted in the instant in which it was met
	freezeWatch = 5 * time.Second // while the candidate has a share of the traffic
)

// frozen takes the place of a step that a freeze bars. A candidate with a share of the
// traffic keeps it, and its figures still undo it.
type frozen struct {
	freeze bridge.Freeze
	target Target
}

func (s frozen) run(ctx context.Context, in input) (outcome, error) {
	look := freezeLook
	if in.p.Weight > 0 {
		look = freezeWatch
		// What cannot be watched now is watched later: that alone undoes nothing.
		if o, err := (pause{s.target}).run(ctx, in); err == nil && o.result == stepFailed {
			return o, nil
		}
	}
	return waits(SignalTime, earlier(s.freeze.Until, in.now.Add(look)), "%s", meets(s.freeze)), nil
}

// meets says what a promotion waits for that meets f.
func meets(f bridge.Freeze) string {
	if f.Trigger == "" {
		return fmt.Sprintf("%s; lifts by drawbridge freeze lift %d", f, f.ID)
	}
	return fmt.Sprintf("%s; lifts when that ends, or by drawbridge freeze lift %d", f, f.ID)
}
