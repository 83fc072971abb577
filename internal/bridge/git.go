package bridge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

// CommitSigners gives the signers of commits that the Policy names now, never those that a
// repository names about itself.
type CommitSigners interface {
	CommitSigners(ctx context.Context) (commitsig.Policy, error)
}

// OwnCommits is the identity whose signed commits are CD's own: what it wrote back.
const OwnCommits = "drawbridge"

// judgeGit hands over what a commit of an environment repository states.
func (s *Service) judgeGit(ctx context.Context, in hearing) (Outcome, error) {
	in.h.Once = fmt.Sprintf("event/%d", in.ev.ID)
	t := in.t
	refs, err := s.Sources.Refs(ctx, t.Repository)
	if err != nil {
		return Outcome{}, err
	}
	head := refs["refs/heads/"+t.Branch]
	if head == "" {
		return in.refuse("%s has no branch %s", t.Repository, t.Branch), nil
	}
	in.note("branch resolved", true, "%s is commit %s", t.Branch, head)
	commit, err := s.belowOwn(ctx, &in, head)
	if err != nil {
		return Outcome{}, err
	}
	if commit == "" {
		return in.ignore("commit %s is CD's own", head[:12]), nil
	}
	before, err := s.stated(ctx, in)
	if err != nil {
		return Outcome{}, err
	}
	if o, done, err := s.follows(ctx, &in, before, commit); done || err != nil {
		return o, err
	}
	who, o, done, err := s.author(ctx, &in, commit)
	if done || err != nil {
		return o, err
	}
	in.h.Actor = who
	files, err := s.Sources.Files(ctx, t.Repository, commit, t.Path)
	if f := fault.As(err); f != nil && (f.Kind == fault.NotFound || f.Kind == fault.TooLarge) {
		return in.refuse("%s at %s: %s", t.Path, commit[:12], f.Message), nil
	}
	if err != nil {
		return Outcome{}, err
	}
	states, err := ParseStates(files)
	if err != nil {
		in.note("files read", false, "%s", reason(err))
		return in.refuse("commit %s: %s", commit[:12], reason(err)), nil
	}
	return s.reach(ctx, in, commit, before, states)
}

// maxOwn is how many of its own commits in a row are passed over.
const maxOwn = 50

// belowOwn is the newest commit from head on down that is not CD's own: what CD wrote back
// states nothing, and hides nothing that somebody stated below it. It is "" where all are.
func (s *Service) belowOwn(ctx context.Context, in *hearing, head string) (string, error) {
	policy, err := s.Signers.CommitSigners(ctx)
	if err != nil {
		return "", err
	}
	for range maxOwn {
		c, err := s.Sources.Commit(ctx, in.t.Repository, head)
		if f := fault.As(err); f != nil && (f.Kind == fault.NotFound || f.Kind == fault.TooLarge) {
			return head, nil // who judges it says so
		}
		if err != nil {
			return "", err
		}
		sig, err := policy.Verify(c.Raw, head, in.now)
		if err != nil || sig.Identity != OwnCommits {
			return head, nil //nolint:nilerr // a commit that nobody signed is not CD's
		}
		if len(c.Parents) == 0 {
			return "", nil
		}
		in.note("commit signed", true, "%s is CD's own, and says nothing", head[:12])
		head = c.Parents[0]
	}
	return "", nil
}

// stated is what the trigger's repository stated last, by environment.
func (s *Service) stated(ctx context.Context, in hearing) (map[string]Expectation, error) {
	list, err := s.Ledger.Expected(ctx, in.app.Name)
	out := map[string]Expectation{}
	for _, e := range list {
		if e.Trigger == in.t.Name {
			out[e.Environment] = e
		}
	}
	return out, err
}

// follows reports whether commit goes on from what was handed over last: a branch whose
// history was rewritten states nothing until a person says so.
func (s *Service) follows(ctx context.Context, in *hearing, before map[string]Expectation, commit string) (o Outcome, done bool, err error) {
	last := Expectation{}
	for _, e := range before {
		if e.At.After(last.At) {
			last = e
		}
	}
	repairs := in.ev.Fact.Kind == KindClock
	switch {
	case last.Commit == "":
		return o, false, nil
	case last.Commit == commit && !repairs:
		return in.ignore("commit %s was handed over already", commit[:12]), true, nil
	case last.Commit == commit:
		return o, false, nil
	}
	ok, err := s.Sources.Ancestor(ctx, in.t.Repository, last.Commit, commit)
	if err != nil {
		return o, true, err
	}
	in.note("history", ok, "after %s", last.Commit[:12])
	if !ok {
		return in.refuse("commit %s does not come after %s: the history of %s was rewritten", commit[:12], last.Commit[:12], in.t.Branch), true, nil
	}
	return o, false, nil
}

// author is who stands behind a commit: its signer.
func (s *Service) author(ctx context.Context, in *hearing, commit string) (who string, o Outcome, done bool, err error) {
	c, err := s.Sources.Commit(ctx, in.t.Repository, commit)
	if f := fault.As(err); f != nil && (f.Kind == fault.NotFound || f.Kind == fault.TooLarge) {
		return "", in.refuse("commit %s cannot be read: %s", commit[:12], f.Message), true, nil
	}
	if err != nil {
		return "", o, true, err
	}
	policy, err := s.Signers.CommitSigners(ctx)
	if err != nil {
		return "", o, true, err
	}
	sig, err := policy.Verify(c.Raw, commit, in.now)
	switch {
	case err == nil:
		in.note("commit signed", true, "by %s, %s", sig.Identity, sig.Key)
		in.signed = true
		return sig.Identity, o, false, nil
	case in.t.Signed:
		in.note("commit signed", false, "%s", reason(err))
		return "", in.refuse("commit %s: %s", commit[:12], reason(err)), true, nil
	}
	in.note("commit signed", true, "not asked for: %s", reason(err))
	return "git:" + in.t.Name, o, false, nil
}

// reach asks for what is stated and does not run.
func (s *Service) reach(ctx context.Context, in hearing, commit string, before map[string]Expectation, states map[string]State) (Outcome, error) {
	out := Outcome{}
	for _, env := range in.app.Environments {
		want, ok := states[env].Releases[in.app.Name]
		old := before[env]
		if !ok {
			if old.Version != "" { // it states nothing any more: what runs goes on running
				out.Expected = append(out.Expected, in.expect(env, Wanted{}, Release{}, commit))
			}
			continue
		}
		r, err := s.Ledger.ReleaseBy(ctx, in.app.Name, want.Version)
		if err != nil {
			return Outcome{}, err
		}
		if why := want.lacks(r); why != "" {
			in.note("release for "+env, false, "%s", why)
			if r.ID == "" {
				return in.wait(in.t.wait(), "%s", why), nil
			}
			return in.refuse("%s", why), nil
		}
		e := in.expect(env, want, r, commit)
		if old.Version == e.Version && old.Release == e.Release && in.ev.Fact.Kind != KindClock {
			continue
		}
		out.Expected = append(out.Expected, e)
		asked, starts, err := s.bring(ctx, &in, env, r, commit)
		if err != nil {
			return Outcome{}, err
		}
		in.h.Asked = append(in.h.Asked, asked)
		out.Starts = append(out.Starts, starts...)
	}
	if in.ev.Fact.Kind == KindClock && len(out.Starts) == 0 {
		return in.ignore("nothing is to be repaired: %s", in.found()), nil
	}
	if len(out.Expected) == 0 {
		return in.ignore("commit %s changes nothing for %s", commit[:12], in.app.Name), nil
	}
	in.h.State, in.h.Reason = Accepted, fmt.Sprintf("commit %s by %s", commit[:12], in.h.Actor)
	if len(in.h.Asked) == 1 {
		in.h.Release, in.h.Version = in.h.Asked[0].Release, in.h.Asked[0].Version
	}
	out.Handoff = in.h
	return out, nil
}

// found is why nothing was opened, in one line.
func (in hearing) found() string {
	why := "all that is stated runs"
	for _, a := range in.h.Asked {
		if a.Why != "" && a.Why != runsAlready {
			why = a.Environment + ": " + a.Why
		}
	}
	return why
}

const runsAlready = "runs there already"

func (in hearing) expect(env string, want Wanted, r Release, commit string) Expectation {
	return Expectation{
		Application: in.app.Name, Trigger: in.t.Name, Environment: env, Version: want.Version, Release: r.ID,
		Commit: commit, Actor: in.h.Actor, At: in.now,
	}
}

// lacks says why r is not what is wanted; "" when it is.
func (w Wanted) lacks(r Release) string {
	if r.ID == "" {
		return fmt.Sprintf("waits until version %s crosses", w.Version)
	}
	if w.Digest.IsZero() {
		return ""
	}
	for _, d := range r.Artifacts {
		if d == w.Digest {
			return ""
		}
	}
	return fmt.Sprintf("version %s does not hold %s", w.Version, w.Digest)
}

// bring asks for r in env: forward by the trigger, back by the word of whoever signed.
func (s *Service) bring(ctx context.Context, in *hearing, env string, r Release, commit string) (Asked, []Start, error) {
	asked := Asked{Environment: env, Release: r.ID, Version: r.Version}
	cause := Cause{Kind: ByTrigger, Actor: in.h.Actor, Note: fmt.Sprintf("trigger %s, commit %s", in.t.Name, commit[:12])}
	runs, err := s.Ledger.Runs(ctx, in.app.Name, env)
	if err != nil {
		return asked, nil, err
	}
	if runs.ID == r.ID {
		asked.Why = runsAlready
		return asked, nil, nil
	}
	if runs.ID != "" && Newer(runs, r) {
		if !in.signed { // going back skips approval: only somebody who is known may ask for it
			asked.Why = fmt.Sprintf("runs the newer %s, and going back needs a signed commit", runs.Version)
			in.note("ask for "+r.Version+" in "+env, false, "%s", asked.Why)
			return asked, nil, nil
		}
		asked.Rollback, cause.Kind = true, ByRollback
	}
	starts, err := s.Planner.Plan(ctx, Request{Release: r, Environment: env, Cause: cause})
	if f := fault.As(err); f != nil && (f.Kind == fault.Conflict || f.Kind == fault.Blocked) {
		in.note("ask for "+r.Version+" in "+env, false, "%s", f.Message)
		asked.Why = f.Message
		return asked, nil, nil
	}
	return asked, starts, err
}

// Drift is an environment that does not run what its repository states.
type Drift struct {
	Expectation
	Runs  string // version that runs; "" when nothing does
	Since time.Time
}

// Drifts compares what repositories state about an application with what runs.
func (s *Service) Drifts(ctx context.Context, application string) ([]Drift, error) {
	list, err := s.Ledger.Expected(ctx, application)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(e Expectation) bool { return e.Version == "" })
	var out []Drift
	for _, e := range list {
		r, err := s.Ledger.Runs(ctx, application, e.Environment)
		if err != nil {
			return nil, err
		}
		if r.ID != e.Release {
			out = append(out, Drift{Expectation: e, Runs: r.Version, Since: e.At})
		}
	}
	return out, nil
}
