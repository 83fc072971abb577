package cd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Service moves promotions. Its fields are set once, before use; its methods are safe
// for concurrent use by several replicas, since every move is a compare-and-set.
type Service struct {
	Store    Store
	Verifier Verifier
	Target   Target
	Now      func() time.Time
}

// mechanism is the actor of what nobody asked for just now.
const mechanism = "drawbridge"

// Work moves promotion id on from version, one step at most. A promotion that has moved
// past version is left alone, so a stale or repeated call does nothing. An error means
// that the step could not be worked on now; the caller tries again later.
func (s *Service) Work(ctx context.Context, id PromotionID, version int64) error {
	p, err := s.Store.Promotion(ctx, id)
	if err != nil {
		return err
	}
	if p.Version != version || p.State.Ended() {
		return nil
	}
	in, err := s.input(ctx, p)
	if err != nil {
		return err
	}
	switch p.State {
	case Queued:
		err = s.begin(ctx, in)
	case Running, Waiting:
		err = s.step(ctx, in)
	case Undoing:
		err = s.undo(ctx, in)
	case Done, Undone, Failed, Rejected, Superseded:
	}
	if fault.Is(err, fault.Conflict) {
		return s.moved(ctx, id, version, err)
	}
	return err
}

// moved tells apart the two reasons for which a move can be refused: somebody else moved the
// promotion, and that move brought its own work; or the environment was taken in this
// instant, and the same step has to look again.
func (s *Service) moved(ctx context.Context, id PromotionID, version int64, conflict error) error {
	p, err := s.Store.Promotion(ctx, id)
	if err != nil || p.Version != version {
		return err
	}
	return fault.Wrap(fault.Unavailable, conflict, "promotion %d: %v", id, conflict)
}

func (s *Service) input(ctx context.Context, p Promotion) (input, error) {
	env, err := s.Store.Environment(ctx, p.Environment())
	if err != nil {
		return input{}, err
	}
	in := input{p: p, step: p.Current(), env: env, now: s.now()}
	base := env.Live
	if p.Holds() {
		base = p.Base
	}
	if base != 0 {
		b, err := s.Store.Promotion(ctx, base)
		if err != nil {
			return input{}, err
		}
		in.base = &b
	}
	return in, nil
}

// step works on the current step and commits how it went.
func (s *Service) step(ctx context.Context, in input) error {
	waited := in.p.frozen() // for as long as it took: that time does not count
	if late := in.now.Sub(in.p.Stepped) - time.Duration(in.step.Timeout); late > 0 && !waited {
		return s.move(ctx, in, Event{Kind: Fail, Reason: fmt.Sprintf("%s did not end within %s: %s", in.step, time.Duration(in.step.Timeout), in.p.Reason)},
			Change{Action: "promotion.fail", Next: true, Bad: in.p.Holds()})
	}
	run, err := s.runner(in.step.Kind)
	if err != nil {
		return err
	}
	f, err := s.barred(ctx, in)
	switch {
	case err != nil:
		return err
	case f != nil:
		run = frozen{*f, s.Target}
	case waited:
		return s.move(ctx, in, Event{Kind: Resume, Reason: "goes on: it is frozen no more"}, Change{Action: "promotion.resume", Next: true})
	}
	o, err := run.run(ctx, in)
	if err != nil {
		if note := s.Store.Note(ctx, in.p, "tried again: "+err.Error(), time.Time{}); note != nil {
			return note
		}
		return err
	}
	in.now = s.now()
	const action = "promotion.step"
	switch o.result {
	case stepDone:
		return s.advance(ctx, in, o, action)
	case stepWaits:
		if in.p.State == Waiting && in.p.Signal == o.signal {
			return s.Store.Note(ctx, in.p, o.reason, o.wake)
		}
		return s.move(ctx, in, Event{Kind: Wait, Reason: o.reason, Signal: o.signal}, Change{Action: "promotion.wait", Wake: o.wake})
	case stepFailed:
		return s.move(ctx, in, Event{Kind: Fail, Reason: o.reason}, Change{Action: action + ".failed", Next: true, Bad: in.p.Holds()})
	case stepOutdated:
		return s.replan(ctx, in, o.reason)
	}
	return fmt.Errorf("step %s of promotion %d ended as %d", in.step.Kind, in.p.ID, o.result)
}

func (s *Service) runner(kind StepKind) (runner, error) {
	v := verify{s.Verifier}
	switch kind {
	case StepVerify:
		return v, nil
	case StepApprove:
		return approve{}, nil
	case StepAdmit:
		return admit{v}, nil
	case StepDeploy:
		return deploy{s.Target}, nil
	case StepShift:
		return shift{v, s.Target}, nil
	case StepPause:
		return pause{s.Target}, nil
	}
	return nil, fmt.Errorf("no step of kind %q", kind)
}

// advance ends the current step; after the last one the environments that follow open.
func (s *Service) advance(ctx context.Context, in input, o outcome, action string) error {
	ev := Event{Kind: Advance, Reason: o.reason}
	if in.base != nil {
		ev.Base = in.base.ID
	}
	c := Change{Action: action, Next: true, Address: o.address}
	if in.p.Step == len(in.p.Plan.Steps)-1 {
		var err error
		if c.Opens, err = s.following(ctx, in.p, in.now); err != nil {
			return err
		}
		c.Action = "promotion.done"
		// What a rollback leaves is bad here, so that nothing automatic ships it again.
		c.Bad = in.p.Rollback()
	}
	return s.move(ctx, in, ev, c)
}

// undoAgain stands between why a promotion failed and why its undo does not get through.
const undoAgain = "; the undo is tried again: "

// undo takes back what the promotion did: the base alone, with all the traffic.
func (s *Service) undo(ctx context.Context, in input) error {
	failure, _, _ := strings.Cut(in.p.Reason, undoAgain)
	a, err := s.Target.Apply(ctx, in.p.Key(), settled(in.env, in.base, in.p.Plan.Listen))
	if f := fault.As(err); f != nil && f.Kind != fault.Unavailable && f.Kind != fault.Internal {
		return s.move(ctx, in, Event{Kind: Fail, Reason: fmt.Sprintf("%s; and the undo failed: %s", failure, f.Message)}, Change{Action: "promotion.fail"})
	}
	if err != nil {
		return errors.Join(err, s.Store.Note(ctx, in.p, failure+undoAgain+err.Error(), time.Time{}))
	}
	in.now = s.now()
	return s.move(ctx, in, Event{Kind: TakenBack, Reason: failure}, Change{Action: "promotion.undo", Address: a.Address})
}

// move applies ev and commits it with c.
func (s *Service) move(ctx context.Context, in input, ev Event, c Change) error {
	now, err := in.p.Apply(ev, in.now)
	if err != nil {
		return err
	}
	c.Was, c.Now = in.p, now
	if c.Actor == "" {
		c.Actor = mechanism
	}
	c.Next = c.Next && !now.State.Ended()
	return s.Store.Commit(ctx, c)
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

func hostPort(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	return host, port
}

var _ Verifier = bridge.Verifier{}
