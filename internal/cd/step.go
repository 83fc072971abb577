package cd

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// runner is one kind of step.
type runner interface {
	// run does the step's work, which may be done a second time with the same key after a
	// crash, and says how it went. An error means that the work could not be done now; it is
	// tried again until the step's timeout.
	run(ctx context.Context, in input) (outcome, error)
}

// input is what a step reads.
type input struct {
	p    Promotion
	step Step
	env  EnvironmentRow
	base *Promotion // whose release runs now; nil when nothing does
	now  time.Time
}

// result says how a step went.
type result int

const (
	stepDone     result = iota // go on with the next
	stepWaits                  // look again at outcome.wake, or when the signal comes
	stepFailed                 // take back what was done
	stepOutdated               // what it was planned on is gone: plan anew
)

// outcome is how a step went.
type outcome struct {
	result  result
	reason  string
	signal  Signal
	wake    time.Time
	address string // of the environment, when the effect told one
}

func done(format string, args ...any) outcome {
	return outcome{result: stepDone, reason: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) outcome {
	return outcome{result: stepFailed, reason: fmt.Sprintf(format, args...)}
}

func waits(signal Signal, wake time.Time, format string, args ...any) outcome {
	return outcome{result: stepWaits, signal: signal, wake: wake, reason: fmt.Sprintf(format, args...)}
}

// Verifier proves a release again.
type Verifier interface {
	// VerifySet judges each artifact of a release by its rule with the trust policy that holds now.
	VerifySet(ctx context.Context, rules []bridge.ArtifactRule, artifacts map[string]artifact.Digest, now time.Time) (bridge.SetVerdict, error)
}

// verify is the step that proves the evidence with today's trust.
type verify struct{ verifier Verifier }

func (s verify) run(ctx context.Context, in input) (outcome, error) {
	plan := in.p.Plan
	if len(plan.Artifacts) == 0 {
		return failed("the plan names no artifact that could be proven"), nil
	}
	v, err := s.verifier.VerifySet(ctx, plan.Rules, plan.Artifacts, in.now)
	switch {
	case err != nil:
		return outcome{}, err
	case len(v.Refusals) > 0:
		return failed("not proven any more: %s", bridge.Reasons(v.Refusals)), nil
	case v.Evidence.Hash() != plan.Snapshot:
		return outcome{result: stepOutdated, reason: fmt.Sprintf("the evidence is not what the plan was made on: %d attestations now", v.Evidence.Count())}, nil
	}
	return done("%d attestations verified with trust policy %d", v.Evidence.Count(), v.Trust), nil
}

// approve is the step that waits for people.
type approve struct{}

func (approve) run(_ context.Context, in input) (outcome, error) {
	n := 0
	for _, d := range in.p.Decisions {
		if d.Approve && d.Plan == in.p.PlanDigest {
			n++
		}
	}
	need := in.step.Approve.Required
	if n >= need {
		return done("approved by %d", n), nil
	}
	return waits(SignalApproval, in.p.Stepped.Add(time.Duration(in.step.Timeout)),
		"waits for approval: %d of %d%s", n, need, excluding(in.p, in.step.Approve)), nil
}

func excluding(p Promotion, a *ApprovalSpec) string {
	names := ""
	for _, x := range a.Exclude {
		who := p.Requester
		if x == "author" {
			who = p.Author
		}
		if who == "" || names == who {
			continue
		}
		if names != "" {
			names += " and "
		}
		names += who
	}
	if names == "" {
		return ""
	}
	return ", by anybody but " + names
}

// admit is the step that asks everything again right before the first effect and takes
// the environment; the store refuses to give it to two promotions.
type admit struct{ verify verify }

func (s admit) run(ctx context.Context, in input) (outcome, error) {
	if in.env.Active != 0 && in.env.Active != in.p.ID {
		return waits(SignalSlot, time.Time{}, "waits for promotion %d, which holds %s", in.env.Active, in.env.Ref), nil
	}
	running := ""
	if in.base != nil {
		running = in.base.Plan.Release
	}
	if running != in.p.Plan.Base {
		return outcome{result: stepOutdated, reason: "the release that runs in " + in.env.Ref.String() + " is not the one that the plan was made on"}, nil
	}
	o, err := s.verify.run(ctx, in)
	if err == nil && o.result == stepDone {
		o.reason = "admitted; " + o.reason
	}
	return o, err
}

// deploy is the step that starts the candidate beside the base, without traffic.
type deploy struct{ target Target }

func (s deploy) run(ctx context.Context, in input) (outcome, error) {
	return applied(s.target.Apply(ctx, in.p.Key(), desired(in, 0)))("%s runs beside what was there", in.p.Plan.Version)
}

// shift is the step that moves traffic; it proves the release again first.
type shift struct {
	verify verify
	target Target
}

func (s shift) run(ctx context.Context, in input) (outcome, error) {
	o, err := s.verify.run(ctx, in)
	if o.result == stepOutdated {
		// The environment has moved already: there is no way to plan anew but back.
		return failed("%s", o.reason), err
	}
	if err != nil || o.result != stepDone {
		return o, err
	}
	return applied(s.target.Apply(ctx, in.p.Key(), desired(in, in.step.Weight)))("%d %% of the traffic", in.step.Weight)
}

// applied turns what a target answered into an outcome: a version that does not become
// healthy fails the step, anything else is tried again.
func applied(a Actual, err error) func(format string, args ...any) (outcome, error) {
	return func(format string, args ...any) (outcome, error) {
		if f := fault.As(err); f != nil && f.Kind != fault.Unavailable && f.Kind != fault.Internal {
			return failed("%s", f.Message), nil
		}
		if err != nil {
			return outcome{}, err
		}
		o := done(format, args...)
		o.address = a.Address
		return o, nil
	}
}
