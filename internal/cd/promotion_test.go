package cd_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// TestLaws walks the state machine at random and checks after every move what must hold
// always. The seed is printed with a failure.
func TestLaws(t *testing.T) {
	kinds := []cd.EventKind{cd.Begin, cd.Advance, cd.Wait, cd.Resume, cd.Fail, cd.TakenBack, cd.Reject, cd.Supersede}
	plan := cd.Plan{Steps: []cd.Step{
		{Kind: cd.StepVerify},
		{Kind: cd.StepApprove, Approve: &cd.ApprovalSpec{Required: 1}},
		{Kind: cd.StepAdmit},
		{Kind: cd.StepDeploy},
		{Kind: cd.StepShift, Weight: 10},
		{Kind: cd.StepPause},
		{Kind: cd.StepShift, Weight: 100},
	}}
	seen := map[cd.State]bool{}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := cd.NewPromotion(plan, bridge.Release{}, cd.Cause{Kind: cd.CauseAuto})
		now := time.Unix(0, 0)
		for range 40 {
			was := p
			ev := cd.Event{Kind: cd.Advance, Reason: "walk", Signal: cd.SignalTime, Base: 1}
			if r.IntN(4) == 0 { // mostly on, or no walk would come to its end
				ev.Kind = kinds[r.IntN(len(kinds))]
			}
			now = now.Add(time.Second)
			next, err := p.Apply(ev, now)
			if err != nil {
				if !fault.Is(err, fault.Conflict) || next.Version != was.Version {
					t.Fatalf("seed %d: a refused %s gave %v and version %d", seed, ev.Kind, err, next.Version)
				}
				continue
			}
			p = next
			seen[p.State] = true
			if law := broken(was, p); law != "" {
				t.Fatalf("seed %d: %s on %s: %s\nwas %+v\nis %+v", seed, ev.Kind, was.State, law, was, p)
			}
		}
	}
	for _, s := range cd.States() {
		if s != cd.Queued && !seen[s] {
			t.Errorf("no walk reached %s", s)
		}
	}
}

// broken names the law that the move from was to p breaks; "" when none.
func broken(was, p cd.Promotion) string {
	switch {
	case p.Version != was.Version+1:
		return "every move is one version"
	case was.State.Ended():
		return "nothing follows an end"
	case p.State.Ended() == p.Ended.IsZero():
		return "an end has a time, and nothing else has"
	case p.State == cd.Done && (p.Step != len(p.Plan.Steps) || p.Weight != 100):
		return "done means every step, and all the traffic"
	case p.Deployed && p.Admitted.IsZero():
		return "nothing is deployed before it is admitted"
	case p.Weight > 0 && !p.Deployed:
		return "no traffic before the deploy"
	case !p.Admitted.IsZero() && !p.Approved():
		return "nothing is admitted before it is approved"
	case was.Holds() && (p.State == cd.Failed) && was.State != cd.Undoing:
		return "what was admitted is undone before it has failed"
	case was.Holds() && (p.State == cd.Rejected || p.State == cd.Superseded):
		return "what was admitted is neither rejected nor superseded"
	case p.State == cd.Undone && was.State != cd.Undoing:
		return "only an undo ends as undone"
	case p.Holds() && p.State != cd.Running && p.State != cd.Waiting && p.State != cd.Undoing:
		return "only what moves holds its environment"
	}
	return ""
}
