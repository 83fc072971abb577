package cd

import (
	"context"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Approve keeps actor's approval of a promotion's plan. plan is the digest of the plan
// that the person saw; another one is refused. It returns the promotion once the
// decision is committed. Faults: Conflict when nothing waits for approval or the plan is
// another, Forbidden when the person is excluded or has decided already.
func (s *Service) Approve(ctx context.Context, actor string, id PromotionID, plan artifact.Digest, message string) (Promotion, error) {
	return s.decide(ctx, id, Decision{Actor: actor, Approve: true, Plan: plan, Message: message})
}

// Reject ends a promotion that has not been admitted. The faults are those of Approve.
func (s *Service) Reject(ctx context.Context, actor string, id PromotionID, plan artifact.Digest, message string) (Promotion, error) {
	return s.decide(ctx, id, Decision{Actor: actor, Plan: plan, Message: message})
}

func (s *Service) decide(ctx context.Context, id PromotionID, d Decision) (Promotion, error) {
	p, err := s.Store.Promotion(ctx, id)
	if err != nil {
		return Promotion{}, err
	}
	if err := decidable(p, d); err != nil {
		return Promotion{}, err
	}
	d.At = s.now()
	in := input{p: p, now: d.At}
	ev := Event{Kind: Wait, Signal: SignalApproval, Reason: "approved by " + d.Actor}
	c := Change{Actor: d.Actor, Action: "promotion.approve", Next: true, Decided: &d}
	if !d.Approve {
		ev = Event{Kind: Reject, Reason: "rejected by " + d.Actor + ": " + d.Message}
		c.Action = "promotion.reject"
	}
	if err := s.move(ctx, in, ev, c); err != nil {
		return Promotion{}, err
	}
	return s.Store.Promotion(ctx, id)
}

// decidable says whether d may be given on p.
func decidable(p Promotion, d Decision) error {
	if p.State != Waiting || p.Signal != SignalApproval {
		return fault.New(fault.Conflict, "promotion %d is %s and waits for no approval", p.ID, p.State).WithHint("drawbridge why %d", p.ID)
	}
	if d.Plan != p.PlanDigest {
		return fault.New(fault.Conflict, "promotion %d has plan %s, not %s", p.ID, p.PlanDigest.Short(), d.Plan.Short()).
			WithHint("look at it again: drawbridge promotion show %d", p.ID)
	}
	if slices.ContainsFunc(p.Decisions, func(o Decision) bool { return o.Actor == d.Actor }) {
		return fault.New(fault.Forbidden, "%s has decided on promotion %d already", d.Actor, p.ID).WithHint("another person must approve")
	}
	if !d.Approve {
		return nil
	}
	for _, x := range p.Current().Approve.Exclude {
		if x == "requester" && p.askedBy(d.Actor) {
			return fault.New(fault.Forbidden, "%s asked for promotion %d and may not approve it", d.Actor, p.ID).WithHint("another person must approve")
		}
		if x == "author" && (d.Actor == p.Author || slices.Contains(p.Authors, d.Actor)) {
			return fault.New(fault.Forbidden, "%s wrote what promotion %d brings and may not approve it", d.Actor, p.ID).WithHint("another person must approve")
		}
	}
	return nil
}

// askedBy reports whether a person asked for p: first, or by joining it later.
func (p Promotion) askedBy(person string) bool {
	return person == p.Requester || slices.ContainsFunc(p.Causes, func(c Cause) bool { return c.Actor == person })
}

// Rollback brings ref back: a promotion that moves there now is undone; else the newest
// release that was done there before and is not marked bad comes back. It returns the
// promotion that does it.
func (s *Service) Rollback(ctx context.Context, actor string, ref EnvironmentRef, note string) (Promotion, error) {
	row, err := s.Store.Environment(ctx, ref)
	if err != nil {
		return Promotion{}, err
	}
	if row.Active != 0 {
		return s.stop(ctx, actor, row.Active, note)
	}
	if row.Live == 0 {
		return Promotion{}, fault.New(fault.Blocked, "nothing runs in %s", ref).WithHint("drawbridge status")
	}
	live, err := s.Store.Promotion(ctx, row.Live)
	if err != nil {
		return Promotion{}, err
	}
	before, r, err := s.previous(ctx, ref, live)
	if err != nil {
		return Promotion{}, err
	}
	// The release comes back as it ran here: with the delivery version of that time.
	o, err := s.planner().asBefore(ctx, before, r)
	if err != nil {
		return Promotion{}, err
	}
	e, ok := o.delivery.Environment(ref.Name)
	if !ok {
		return Promotion{}, noEnvironment(ref.Application, ref.Name)
	}
	plan, err := compile(o, e, live.Plan.Release)
	if err != nil {
		return Promotion{}, err
	}
	return s.open(ctx, NewPromotion(plan, r, Cause{Kind: CauseRollback, Actor: actor, Note: note, At: s.now()}))
}

// stop makes the promotion that holds an environment undo itself.
func (s *Service) stop(ctx context.Context, actor string, id PromotionID, note string) (Promotion, error) {
	p, err := s.Store.Promotion(ctx, id)
	if err != nil {
		return Promotion{}, err
	}
	if p.State == Undoing {
		return p, nil
	}
	reason := "stopped by " + actor
	if note != "" {
		reason += ": " + note
	}
	in := input{p: p, now: s.now()}
	if err := s.move(ctx, in, Event{Kind: Fail, Reason: reason}, Change{Actor: actor, Action: "promotion.stop", Next: true, Bad: true}); err != nil {
		return Promotion{}, err
	}
	return s.Store.Promotion(ctx, id)
}

// previous is the newest release that was done in ref before live and is not marked bad,
// and the promotion that did it.
func (s *Service) previous(ctx context.Context, ref EnvironmentRef, live Promotion) (Promotion, bridge.Release, error) {
	before := PromotionID(0)
	for {
		list, err := s.Store.Promotions(ctx, PromotionFilter{Environment: ref, State: Done, Before: before, Limit: 50})
		if err != nil {
			return Promotion{}, bridge.Release{}, err
		}
		for _, p := range list {
			before = p.ID
			if p.Plan.Release == live.Plan.Release {
				continue
			}
			bad, err := s.Store.Bad(ctx, ref, p.Plan.Release)
			if err != nil {
				return Promotion{}, bridge.Release{}, err
			}
			if !bad {
				r, err := s.Store.Release(ctx, p.Plan.Release)
				return p, r, err
			}
		}
		if len(list) == 0 {
			return Promotion{}, bridge.Release{}, fault.New(fault.Blocked, "no earlier good release of %s was in %s", ref.Application, ref.Name).
				WithHint("drawbridge promotion list")
		}
	}
}
