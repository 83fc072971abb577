package cd

import (
	"context"
	"encoding/json"
	"fmt"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Planner compiles what a release starts; it implements bridge.Planner.
type Planner struct {
	Reader Reader
}

// Plan implements bridge.Planner. A new release is planned by the delivery version that it
// was accepted under, any other by the newest, and a rollback by the one with which the
// release ran there before. Beside a fault of kind Conflict, which says why the environment
// that was asked for is not opened, it returns what opens by itself.
func (l Planner) Plan(ctx context.Context, q bridge.Request) ([]bridge.Start, error) {
	inputs, err := takeInputs(q.Inputs)
	if err != nil {
		return nil, err
	}
	o := order{release: q.Release, inputs: inputs}
	if q.New {
		o.version = q.Release.Delivery
	}
	if o.delivery, o.version, err = l.Reader.Delivery(ctx, q.Release.Application, o.version); err != nil {
		return nil, err
	}
	var out []bridge.Start
	if q.New {
		if out, err = l.byThemselves(ctx, o, q.Environment); err != nil {
			return nil, err
		}
	}
	asked, err := l.asked(ctx, o, q)
	if err != nil {
		return out, err
	}
	return append(asked, out...), nil
}

// byThemselves are the starts into environments that come after nothing and open by
// themselves, other than the one that was asked for. What would go backwards is left out.
func (l Planner) byThemselves(ctx context.Context, o order, asked string) ([]bridge.Start, error) {
	var out []bridge.Start
	o.inputs = nil // they belong to the environment that the person asked for
	for _, e := range o.delivery.Environments {
		if !e.Auto || len(e.After) > 0 || e.Name == asked {
			continue
		}
		st, err := l.start(ctx, o, e, bridge.Cause{Kind: bridge.ByItself, Actor: o.release.Author})
		if fault.Is(err, fault.Conflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// asked is the start into the environment that somebody asked for.
func (l Planner) asked(ctx context.Context, o order, q bridge.Request) ([]bridge.Start, error) {
	switch {
	case q.Environment == "" && q.New:
		return nil, nil
	case q.Environment == "":
		return nil, fault.New(fault.Conflict, "%s@%s crossed before, and no environment is asked for", o.delivery.Name, o.release.Version)
	}
	ref := EnvironmentRef{Application: o.delivery.Name, Name: q.Environment}
	if q.Cause.Kind == bridge.ByRollback {
		var err error
		if o, err = l.backTo(ctx, o, ref); err != nil {
			return nil, err
		}
	}
	e, ok := o.delivery.Environment(q.Environment)
	if !ok {
		return nil, noEnvironment(o.delivery.Name, q.Environment)
	}
	st, err := l.start(ctx, o, e, q.Cause)
	if err != nil {
		return nil, err
	}
	return []bridge.Start{st}, nil
}

// backTo makes o a rollback to its release: as it ran in ref before, which it must have.
func (l Planner) backTo(ctx context.Context, o order, ref EnvironmentRef) (order, error) {
	before, err := l.Reader.Promotions(ctx, PromotionFilter{Environment: ref, Release: o.release.ID, State: Done, Limit: 1})
	if err != nil {
		return o, err
	}
	if len(before) == 0 {
		return o, fault.New(fault.Blocked, "%s was never done in %s, so there is no way back to it", o.release.Version, ref).
			WithHint("drawbridge promotion list --application %s", ref.Application)
	}
	bad, err := l.Reader.Bad(ctx, ref, o.release.ID)
	if err != nil {
		return o, err
	}
	if bad {
		return o, fault.New(fault.Blocked, "%s is marked bad in %s: it was undone or left there", o.release.Version, ref).
			WithHint("go back to another release, or publish a new one")
	}
	return l.asBefore(ctx, before[0], o.release)
}

// asBefore is the order of a rollback to r, as promotion p brought it.
func (l Planner) asBefore(ctx context.Context, p Promotion, r bridge.Release) (order, error) {
	o := order{release: r, inputs: p.Plan.Inputs, rollback: true}
	o.release.Delivery, o.release.Snapshot = p.Plan.Delivery, p.Plan.Snapshot
	var err error
	o.delivery, o.version, err = l.Reader.Delivery(ctx, r.Application, p.Plan.Delivery)
	return o, err
}

// start plans o for e and asks what speaks against it.
func (l Planner) start(ctx context.Context, o order, e Environment, cause bridge.Cause) (bridge.Start, error) {
	ref := EnvironmentRef{Application: o.delivery.Name, Name: e.Name}
	row, err := l.row(ctx, ref)
	if err != nil {
		return bridge.Start{}, err
	}
	base, err := l.base(ctx, row)
	if err != nil {
		return bridge.Start{}, err
	}
	plan, err := compile(o, e, base)
	if err != nil {
		return bridge.Start{}, err
	}
	if base == o.release.ID && row.Active == 0 {
		return bridge.Start{}, fault.New(fault.Conflict, "%s runs in %s already", o.release.Version, ref).WithHint("drawbridge status")
	}
	if cause.Kind == bridge.ByTrigger || cause.Kind == bridge.ByItself {
		if why, err := l.backwards(ctx, plan); err != nil || why != "" {
			return bridge.Start{}, orConflict(err, why)
		}
	}
	body, digest := plan.encode()
	return bridge.Start{Environment: e.Name, Release: o.release, Cause: cause, Plan: body, Digest: digest}, nil
}

func orConflict(err error, why string) error {
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "%s", why).WithHint("a person may ask for it: drawbridge promote")
}

// backwards says why plan would replace a release by an older or a bad one, which no
// automatic cause does; "" when it would not.
func (l Planner) backwards(ctx context.Context, plan Plan) (why string, err error) {
	bad, err := l.Reader.Bad(ctx, plan.Environment, plan.Release)
	if err != nil {
		return "", err
	}
	if bad {
		return fmt.Sprintf("%s is marked bad in %s: it was undone or left there", plan.Version, plan.Environment), nil
	}
	if plan.Base == "" || plan.Base == plan.Release {
		return "", nil
	}
	runs, err := l.Reader.Release(ctx, plan.Base)
	if err != nil {
		return "", err
	}
	if bridge.Newer(runs, bridge.Release{Version: plan.Version, Built: plan.Built}) {
		return fmt.Sprintf("%s runs the newer %s", plan.Environment, runs.Version), nil
	}
	return "", nil
}

// plan compiles o for what runs in e now.
func (l Planner) plan(ctx context.Context, o order, e Environment) (Plan, error) {
	row, err := l.row(ctx, EnvironmentRef{Application: o.delivery.Name, Name: e.Name})
	if err != nil {
		return Plan{}, err
	}
	base, err := l.base(ctx, row)
	if err != nil {
		return Plan{}, err
	}
	return compile(o, e, base)
}

// row is what is known of an environment; the zero row where nothing is.
func (l Planner) row(ctx context.Context, ref EnvironmentRef) (EnvironmentRow, error) {
	row, err := l.Reader.Environment(ctx, ref)
	if fault.Is(err, fault.NotFound) {
		return EnvironmentRow{Ref: ref}, nil
	}
	return row, err
}

// base is the release that runs in an environment, "" when none does.
func (l Planner) base(ctx context.Context, row EnvironmentRow) (string, error) {
	if row.Live == 0 {
		return "", nil
	}
	live, err := l.Reader.Promotion(ctx, row.Live)
	return live.Plan.Release, err
}

// OpenStart is the promotion that a start asks for; the store opens it in the transaction
// that writes the handoff h.
func OpenStart(st bridge.Start, h bridge.Handoff) (Promotion, error) {
	var plan Plan
	if err := json.Unmarshal(st.Plan, &plan); err != nil {
		return Promotion{}, fmt.Errorf("read the plan for %s: %w", st.Environment, err)
	}
	if d := artifact.DigestOf(st.Plan); d != st.Digest {
		return Promotion{}, fmt.Errorf("the plan for %s is not the one that was made: %s, want %s", st.Environment, d, st.Digest)
	}
	cause := Cause{Kind: CauseKind(st.Cause.Kind), Actor: st.Cause.Actor, Note: st.Cause.Note, At: h.At}
	return NewPromotion(plan, st.Release, cause), nil
}

var _ bridge.Planner = Planner{}
