package cd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Planner compiles what a release starts; it implements bridge.Planner.
type Planner struct {
	Reader Reader
}

// Starts is the promotion into environment, which a trigger asked for, and those into
// environments that open by themselves and come after nothing.
func (l Planner) Starts(ctx context.Context, r bridge.Release, environment string) ([]bridge.Start, error) {
	d, version, err := l.Reader.Delivery(ctx, r.Application, r.Delivery)
	if err != nil {
		return nil, err
	}
	var out []bridge.Start
	for _, e := range d.Environments {
		auto := e.Auto && len(e.After) == 0
		if e.Name != environment && !auto {
			continue
		}
		plan, err := l.plan(ctx, d, version, r, e, false)
		if err != nil {
			return nil, err
		}
		body, digest := plan.encode()
		out = append(out, bridge.Start{Environment: e.Name, Auto: e.Name != environment, Plan: body, Digest: digest})
	}
	return out, nil
}

// OpenStart is the promotion that a start asks for; the store opens it in the transaction
// that writes the handoff.
func OpenStart(st bridge.Start, r bridge.Release, h bridge.Handoff) (Promotion, error) {
	var plan Plan
	if err := json.Unmarshal(st.Plan, &plan); err != nil {
		return Promotion{}, fmt.Errorf("read the plan for %s: %w", st.Environment, err)
	}
	cause := Cause{Kind: CauseTrigger, Actor: r.Author, Note: "trigger " + h.Trigger, At: h.At}
	if st.Auto {
		cause.Kind, cause.Note = CauseAuto, ""
	}
	return NewPromotion(plan, r, cause), nil
}

// plan compiles for what runs in e now.
func (l Planner) plan(ctx context.Context, d Delivery, version int64, r bridge.Release, e Environment, rollback bool) (Plan, error) {
	base, err := l.base(ctx, EnvironmentRef{Application: d.Name, Name: e.Name})
	if err != nil {
		return Plan{}, err
	}
	return compile(d, version, r, e, base, rollback), nil
}

// base is the release that runs in ref, "" when none does.
func (l Planner) base(ctx context.Context, ref EnvironmentRef) (string, error) {
	row, err := l.Reader.Environment(ctx, ref)
	if fault.Is(err, fault.NotFound) || err == nil && row.Live == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	live, err := l.Reader.Promotion(ctx, row.Live)
	return live.Plan.Release, err
}

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
	d, version, err := s.Store.Delivery(ctx, r.Application, 0)
	if err != nil {
		return Plan{}, bridge.Release{}, err
	}
	e, ok := d.Environment(environment)
	if !ok {
		return Plan{}, bridge.Release{}, noEnvironment(r.Application, environment)
	}
	plan, err := Planner{s.Store}.plan(ctx, d, version, r, e, false)
	return plan, r, err
}

// Promote asks for release in environment. It bypasses nothing: what may not come yet waits.
func (s *Service) Promote(ctx context.Context, actor, release, environment, note string) (Promotion, error) {
	plan, r, err := s.preview(ctx, release, environment)
	if err != nil {
		return Promotion{}, err
	}
	row, err := s.Store.Environment(ctx, plan.Environment)
	if err != nil {
		return Promotion{}, err
	}
	if plan.Base == r.ID && row.Active == 0 {
		return Promotion{}, fault.New(fault.Conflict, "%s runs in %s already", r.Version, plan.Environment).WithHint("drawbridge status")
	}
	return s.open(ctx, NewPromotion(plan, r, Cause{Kind: CauseManual, Actor: actor, Note: note, At: s.now()}))
}

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
	d, version, err := s.Store.Delivery(ctx, r.Application, 0)
	if err != nil {
		return nil, err
	}
	var out []Promotion
	for _, e := range d.Environments {
		if !e.Auto || !slices.Contains(e.After, p.Environment().Name) {
			continue
		}
		plan, err := Planner{s.Store}.plan(ctx, d, version, r, e, false)
		if err != nil {
			return nil, err
		}
		if backwards, err := s.backwards(ctx, plan); err != nil || backwards {
			if err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, NewPromotion(plan, r, Cause{Kind: CauseAuto, Actor: r.Author, Note: "after " + p.Environment().Name, At: now}))
	}
	return out, nil
}

// backwards reports whether plan would replace a release by an older or a bad one: no
// automatic cause does that.
func (s *Service) backwards(ctx context.Context, plan Plan) (bool, error) {
	bad, err := s.Store.Bad(ctx, plan.Environment, plan.Release)
	if err != nil || bad || plan.Base == "" {
		return bad, err
	}
	runs, err := s.Store.Release(ctx, plan.Base)
	if err != nil {
		return false, err
	}
	comes, err := s.Store.Release(ctx, plan.Release)
	return plan.Base != plan.Release && bridge.Newer(runs, comes), err
}

// replan ends the promotion and opens its successor on what holds now.
func (s *Service) replan(ctx context.Context, in input, reason string) error {
	p := in.p
	r, err := s.Store.Release(ctx, p.Plan.Release)
	if err != nil {
		return err
	}
	d, version, err := s.Store.Delivery(ctx, r.Application, 0)
	if err != nil {
		return err
	}
	c := Change{Action: "promotion.supersede"}
	if e, ok := d.Environment(p.Environment().Name); ok {
		v, err := s.Verifier.Verify(ctx, p.Plan.Rule, p.Plan.Candidate.Image.Digest, in.now)
		if err != nil {
			return err
		}
		r.Snapshot, r.Trust = v.Evidence.Hash(), v.Trust
		plan, err := Planner{s.Store}.plan(ctx, d, version, r, e, p.Rollback())
		if err != nil {
			return err
		}
		backwards, err := s.backwards(ctx, plan)
		if err != nil {
			return err
		}
		if !backwards || !p.Automatic() {
			n := NewPromotion(plan, r, Cause{})
			n.Requester, n.Opened, n.Stepped = p.Requester, in.now, in.now
			n.Causes = slices.Clone(p.Causes)
			for i := range n.Causes {
				n.Causes[i].Again = int64(p.ID)
			}
			c.Opens = []Promotion{n}
		}
	}
	return s.move(ctx, in, Event{Kind: Supersede, Reason: reason}, c)
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
	if in.p.Automatic() {
		back, err := s.backwards(ctx, in.p.Plan)
		if err != nil {
			return err
		}
		if back {
			return s.supersede(ctx, in, "what runs in "+in.env.Ref.String()+" is newer, or this release is marked bad there")
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
