package cd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Plan previews the plan that would bring release into environment now.
func (s *Service) Plan(ctx context.Context, release, environment string) (Plan, error) {
	plan, _, err := s.preview(ctx, release, environment)
	return plan, err
}

func (s *Service) preview(ctx context.Context, release, environment string) (Plan, bridge.Release, error) {
	r, err := s.Store.Release(ctx, release)
	if err != nil {
		return Plan{}, bridge.Release{}, err
	}
	o := order{release: r}
	if o.delivery, o.version, err = s.Store.Delivery(ctx, r.Application, 0); err != nil {
		return Plan{}, bridge.Release{}, err
	}
	e, ok := o.delivery.Environment(environment)
	if !ok {
		return Plan{}, bridge.Release{}, noEnvironment(r.Application, environment)
	}
	plan, err := s.planner().plan(ctx, o, e)
	return plan, r, err
}

func (s *Service) planner() Planner { return Planner{Reader: s.Store} }

func (s *Service) open(ctx context.Context, p Promotion) (Promotion, error) {
	opened, err := s.Store.Open(ctx, []Promotion{p})
	if err != nil {
		return Promotion{}, err
	}
	if len(opened) != 1 {
		return Promotion{}, fault.New(fault.Conflict, "%s was here before", p.Plan.Version)
	}
	return opened[0], nil
}

// following is what opens by itself once p is done.
func (s *Service) following(ctx context.Context, p Promotion, now time.Time) ([]Promotion, error) {
	if p.Rollback() {
		return nil, nil
	}
	r, err := s.Store.Release(ctx, p.Plan.Release)
	if err != nil {
		return nil, err
	}
	o := order{release: r}
	if o.delivery, o.version, err = s.Store.Delivery(ctx, r.Application, 0); err != nil {
		return nil, err
	}
	var out []Promotion
	for _, e := range o.delivery.Environments {
		if !e.Auto || !slices.Contains(e.After, p.Environment().Name) {
			continue
		}
		plan, err := s.planner().plan(ctx, o, e)
		if fault.Is(err, fault.Conflict) {
			continue // the delivery asks for an artifact there that the release does not hold
		}
		if err != nil {
			return nil, err
		}
		if why, err := s.planner().backwards(ctx, plan); err != nil || why != "" {
			if err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, NewPromotion(plan, r, Cause{Kind: CauseAuto, Actor: r.Author, Note: "after " + p.Environment().Name, At: now}))
	}
	return out, nil
}

// replan ends the promotion and opens its successor on what holds now.
func (s *Service) replan(ctx context.Context, in input, reason string) error {
	c := Change{Action: "promotion.supersede"}
	n, why, err := s.successor(ctx, in)
	if err != nil {
		return err
	}
	if why == "" {
		c.Opens = []Promotion{n}
	} else {
		reason += "; " + why
	}
	return s.move(ctx, in, Event{Kind: Supersede, Reason: reason}, c)
}

// successor is the promotion that takes the place of one whose plan does not hold any more,
// for the same reasons; why says why there is none.
func (s *Service) successor(ctx context.Context, in input) (n Promotion, why string, err error) {
	p := in.p
	o := order{inputs: p.Plan.Inputs, rollback: p.Rollback()}
	if o.release, err = s.Store.Release(ctx, p.Plan.Release); err != nil {
		return n, "", err
	}
	if o.rollback {
		o.version = p.Plan.Delivery // what comes back comes as it ran
	}
	if o.delivery, o.version, err = s.Store.Delivery(ctx, o.release.Application, o.version); err != nil {
		return n, "", err
	}
	e, ok := o.delivery.Environment(p.Environment().Name)
	if !ok {
		return n, "the delivery has no such environment any more", nil
	}
	v, err := s.Verifier.VerifySet(ctx, p.Plan.Rules, p.Plan.Artifacts, in.now)
	if err != nil {
		return n, "", err
	}
	o.release.Snapshot, o.release.Trust = v.Evidence.Hash(), v.Trust
	plan, err := s.planner().plan(ctx, o, e)
	if f := fault.As(err); f != nil && f.Kind == fault.Conflict {
		return n, f.Message, nil
	}
	if err != nil {
		return n, "", err
	}
	if p.Automatic() {
		if why, err = s.planner().backwards(ctx, plan); err != nil || why != "" {
			return n, why, err
		}
	}
	n = NewPromotion(plan, o.release, Cause{})
	n.Requester, n.Opened, n.Stepped = p.Requester, in.now, in.now
	n.Causes = slices.Clone(p.Causes)
	for i := range n.Causes {
		n.Causes[i].Again = int64(p.ID)
	}
	return n, "", nil
}

// queueTimeout is how long a promotion may wait for other environments to finish its release.
const queueTimeout = 30 * 24 * time.Hour

// begin starts a queued promotion once it may come here.
func (s *Service) begin(ctx context.Context, in input) error {
	missing, err := s.missing(ctx, in.p)
	if err != nil {
		return err
	}
	if len(missing) > 0 && in.now.Sub(in.p.Opened) > queueTimeout {
		return s.move(ctx, in, Event{Kind: Fail, Reason: fmt.Sprintf("%s was not done in %s within %s", in.p.Plan.Version, strings.Join(missing, " and "), queueTimeout)}, Change{Action: "promotion.fail"})
	}
	if len(missing) > 0 {
		reason := "waits until " + in.p.Plan.Version + " is done in " + strings.Join(missing, " and ")
		// No new version: the work that an environment brings when it finishes the release must fit.
		return s.Store.Note(ctx, in.p, reason, time.Time{})
	}
	f, err := s.barred(ctx, in)
	if err != nil {
		return err
	}
	if f != nil {
		return s.Store.Note(ctx, in.p, meets(*f), earlier(f.Until, in.now.Add(freezeLook)))
	}
	if in.p.Automatic() {
		why, err := s.planner().backwards(ctx, in.p.Plan)
		if err != nil {
			return err
		}
		if why != "" {
			return s.supersede(ctx, in, why)
		}
	}
	others, err := s.Store.Promotions(ctx, PromotionFilter{Environment: in.env.Ref, Active: true, Limit: 200})
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.ID == in.p.ID || o.Plan.Release == in.p.Plan.Release {
			continue
		}
		if o.newer(in.p) && in.p.Automatic() {
			return s.supersede(ctx, in, fmt.Sprintf("promotion %d brings the newer %s", o.ID, o.Plan.Version))
		}
		if err := s.displace(ctx, in, o); err != nil {
			return err
		}
	}
	return s.move(ctx, in, Event{Kind: Begin, Reason: "begun"}, Change{Action: "promotion.begin", Next: true})
}

func (s *Service) supersede(ctx context.Context, in input, reason string) error {
	return s.move(ctx, in, Event{Kind: Supersede, Reason: reason}, Change{Action: "promotion.supersede"})
}

// displace ends an older promotion that nobody has approved yet.
func (s *Service) displace(ctx context.Context, in input, o Promotion) error {
	hasApprove := slices.ContainsFunc(o.Plan.Steps, func(st Step) bool { return st.Kind == StepApprove })
	if !in.p.newer(o) || o.Holds() || hasApprove && o.Approved() || !o.Automatic() {
		return nil
	}
	err := s.supersede(ctx, input{p: o, now: in.now}, fmt.Sprintf("promotion %d brings the newer %s", in.p.ID, in.p.Plan.Version))
	if fault.Is(err, fault.Conflict) {
		return nil // it moved on meanwhile: it keeps its place
	}
	return err
}

// missing lists the environments that have not finished the promotion's release yet.
func (s *Service) missing(ctx context.Context, p Promotion) ([]string, error) {
	var out []string
	for _, name := range p.Plan.After {
		ref := EnvironmentRef{Application: p.Plan.Environment.Application, Name: name}
		finished, err := s.Store.Promotions(ctx, PromotionFilter{Environment: ref, Release: p.Plan.Release, State: Done, Limit: 1})
		if err != nil {
			return nil, err
		}
		bad, err := s.Store.Bad(ctx, ref, p.Plan.Release)
		if err != nil {
			return nil, err
		}
		if len(finished) == 0 || bad {
			out = append(out, name)
		}
	}
	return out, nil
}
