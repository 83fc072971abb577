package cd

import (
	"context"
	"time"

	"drawbridge/internal/artifact"
)

// watchEvery is how often a pause looks at the candidate's figures.
const watchEvery = 250 * time.Millisecond

// pause is the step that watches the candidate while it has a share of the traffic.
type pause struct{ target Target }

func (s pause) run(ctx context.Context, in input) (outcome, error) {
	if in.base == nil {
		// The first release of an environment has all the traffic and nothing to go back to.
		return done("nothing ran here before: nothing to compare with"), nil
	}
	a, err := s.target.Observe(ctx, in.env.Ref)
	if err != nil {
		return outcome{}, err
	}
	c, ok := a.version(in.p.Plan.Candidate.Image.Digest)
	if !ok {
		return outcome{result: stepFailed, reason: "the candidate does not run any more"}, nil
	}
	return judge(in, c), nil
}

// judge decides by the candidate's figures: undo, go on, or look again.
func judge(in input, c ActualVersion) outcome {
	f, u := c.Figures, in.step.Undo
	if !c.Healthy {
		return failed("%s is not healthy at %d %%: %s", in.p.Plan.Version, in.p.Weight, c.Reason)
	}
	ends := in.p.Stepped.Add(time.Duration(in.step.Pause))
	if u != nil && f.Requests > 0 && f.Requests >= u.Requests && f.ErrorShare() > u.Errors {
		return failed("%d of %d requests to %s failed: %.1f %% is over the limit of %.1f %%",
			f.Errors, f.Requests, in.p.Plan.Version, 100*f.ErrorShare(), 100*u.Errors)
	}
	if u != nil && f.Requests < u.Requests && !in.now.Before(ends) {
		return waits(SignalTime, in.now.Add(watchEvery), "%d %%: %d of %d requests seen, %d failed", in.p.Weight, f.Requests, u.Requests, f.Errors)
	}
	if in.now.Before(ends) {
		return waits(SignalTime, earlier(ends, in.now.Add(watchEvery)), "%d %% until %s: %d requests, %d failed",
			in.p.Weight, ends.Format(time.TimeOnly), f.Requests, f.Errors)
	}
	return done("%d requests at %d %%, %d failed", f.Requests, in.p.Weight, f.Errors)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// version finds the version that runs the image digest.
func (a Actual) version(d artifact.Digest) (ActualVersion, bool) {
	for _, v := range a.Versions {
		if v.Digest == d {
			return v, true
		}
	}
	return ActualVersion{}, false
}
