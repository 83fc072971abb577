package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// judgeArtifact hands over what was published under a tag that the trigger takes.
func (s *Service) judgeArtifact(ctx context.Context, in hearing) (Outcome, error) {
	claim := in.ev.Fact.Artifact
	rule, ok := in.app.ruleOf(in.t, claim)
	if !ok {
		return in.ignore("no artifact of the trigger is in %s", claim.Name()), nil
	}
	if claim.Tag == "" {
		return in.ignore("the event names no tag"), nil
	}
	version, ok, why := in.t.Tags.Match(claim.Tag)
	if !ok {
		in.note("tag rule", false, "%s", why)
		return in.ignore("%s", why), nil
	}
	in.note("tag rule", true, "tag %s gives version %s", claim.Tag, version)
	digest, err := s.Verifier.Evidence.Resolve(ctx, claim.WithTag(claim.Tag))
	switch {
	case fault.Is(err, fault.NotFound):
		return in.refuse("the registry has no %s", claim.WithTag(claim.Tag)), nil
	case err != nil:
		return Outcome{}, err
	case !claim.Digest.IsZero() && digest != claim.Digest:
		in.note("tag resolved", false, "%s", digest)
		return in.refuse("the event says %s, but tag %s names %s", claim.Digest, claim.Tag, digest), nil
	}
	in.note("tag resolved", true, "%s", digest)
	in.h.Image = claim.WithDigest(digest)
	in.h.Image.Tag = claim.Tag
	if in.t.Tags.Digest != "" {
		version = claim.Tag + "-" + digest.Hex()[:12] // the tag moves, a version names one digest for ever
	}
	in.h.Version = version
	if o, done, err := s.looks(ctx, &in, rule); done || err != nil {
		return o, err
	}
	set, o, done, err := s.together(ctx, &in, rule, digest)
	if done || err != nil {
		return o, err
	}
	return s.admit(ctx, in, version, set)
}

// ruleOf is the trigger's artifact that lies in image's repository.
func (a Application) ruleOf(t Trigger, image artifact.Reference) (ArtifactRule, bool) {
	for _, name := range t.Artifacts {
		if r, ok := a.Artifact(name); ok && r.Image.Name() == image.Name() {
			return r, true
		}
	}
	return ArtifactRule{}, false
}

// looks asks what only the image itself can answer: its platform, and whether it is newer
// than the one that the trigger accepted last.
func (s *Service) looks(ctx context.Context, in *hearing, rule ArtifactRule) (o Outcome, done bool, err error) {
	rules := in.t.Tags
	if in.t.Platform == "" && !rules.Newest && !rules.Lexical {
		return o, false, nil
	}
	image, err := s.Images.Inspect(ctx, rule.Image.WithDigest(in.h.Image.Digest))
	if f := fault.As(err); f != nil && (f.Kind == fault.TooLarge || f.Kind == fault.NotFound || f.Kind == fault.Invalid) {
		return in.refuse("the image cannot be read: %s", f.Message), true, nil
	}
	if err != nil {
		return o, true, err
	}
	if p := in.t.Platform; p != "" {
		ok := slices.Contains(image.Platforms, p)
		in.note("platform", ok, "%v", image.Platforms)
		if !ok {
			return in.ignore("the image is for %v, not for %s", image.Platforms, p), true, nil
		}
	}
	if !rules.Newest && !rules.Lexical {
		return o, false, nil
	}
	if rules.Newest && image.Created.IsZero() {
		return in.refuse("%s has no build date, and the trigger takes the newest", in.h.Image), true, nil
	}
	in.h.Created = image.Created
	last, err := s.Ledger.Accepted(ctx, in.app.Name, in.t.Name, "")
	if err != nil || last.ID == 0 || last.Event == in.ev.ID {
		return o, err != nil, err
	}
	now := Candidate{Tag: in.h.Image.Tag, Version: in.h.Version, Built: in.h.Created}
	before := Candidate{Tag: last.Image.Tag, Version: last.Version, Built: last.Created}
	if last.Image.Digest == in.h.Image.Digest || rules.Newer(now, before) {
		in.note("newer", true, "than %s", before.Tag)
		return o, false, nil
	}
	in.note("newer", false, "than %s", before.Tag)
	return in.ignore("%s is not newer than %s, which was accepted last", now.Tag, before.Tag), true, nil
}

// admit judges a set of artifacts whose digests are resolved: known already, or to be
// verified now.
func (s *Service) admit(ctx context.Context, in hearing, version string, set map[string]artifact.Digest) (Outcome, error) {
	id := ReleaseID(in.app.Name, set)
	in.h.Once = id
	dup, err := s.Ledger.Accepted(ctx, in.app.Name, in.t.Name, id)
	if err != nil {
		return Outcome{}, err
	}
	if dup.ID != 0 {
		in.h.Release = id
		return in.ignore("duplicate of %d", dup.ID), nil
	}
	known, err := s.Ledger.ReleaseBy(ctx, in.app.Name, id)
	if err != nil {
		return Outcome{}, err
	}
	if known.ID != "" {
		version = known.Version // a release has one name, by the rule that accepted it first
	} else if out, done, err := s.taken(ctx, in, version, id); done || err != nil {
		return out, err
	}
	in.h.Version = version
	v, err := s.Verifier.VerifySet(ctx, in.app.Artifacts, set, in.now)
	if err != nil {
		return Outcome{}, err
	}
	in.h.Trust = v.Trust
	if len(v.Refusals) > 0 {
		return in.unproven(v.Refusals), nil
	}
	in.note("evidence", true, "%d attestations verified with trust policy %d", v.Evidence.Count(), v.Trust)
	if out, done, err := s.condition(ctx, &in, v.Evidence); done || err != nil {
		return out, err
	}
	r := newRelease(in, version, set, v)
	in.h.Chain = r.Chain
	return s.ask(ctx, in, r, known.ID == "", fmt.Sprintf("%d attestations verified", v.Evidence.Count()))
}

// taken refuses a version that names other digests already.
func (s *Service) taken(ctx context.Context, in hearing, version, id string) (Outcome, bool, error) {
	named, err := s.Ledger.ReleaseBy(ctx, in.app.Name, version)
	if err != nil || named.ID == "" || named.ID == id {
		return Outcome{}, false, err
	}
	return in.refuse("version %s of %s names %s already and names it for ever", version, in.app.Name, digests(named.Artifacts, in.t.Artifacts)), true, nil
}

func digests(set map[string]artifact.Digest, order []string) string {
	if len(set) == 1 {
		for _, d := range set {
			return d.String()
		}
	}
	var parts []string
	for _, name := range order {
		if d, ok := set[name]; ok {
			parts = append(parts, name+" "+d.Short())
		}
	}
	return strings.Join(parts, " with ")
}

// unproven refuses, or waits where nothing is wrong but what is required is not there yet.
func (in hearing) unproven(list []attest.Refusal) Outcome {
	in.h.Refusals = list
	in.note("evidence", false, "%s", Reasons(list))
	absent := !slices.ContainsFunc(list, func(r attest.Refusal) bool { return r.Rule != attest.RuleMissing && r.Rule != attest.RuleSet })
	patience := in.app.patience(in.t)
	if absent && patience > 0 && in.now.Before(in.ev.Received.Add(patience)) {
		return in.wait(patience, "%s", Reasons(list))
	}
	return in.refuse("%s", Reasons(list))
}

// ask has the release promoted, as the trigger says, and accepts.
func (s *Service) ask(ctx context.Context, in hearing, r Release, fresh bool, why string) (Outcome, error) {
	cause := Cause{Kind: ByTrigger, Actor: in.h.Actor, Note: "trigger " + in.t.Name}
	if cause.Actor == "" {
		cause.Actor = r.Author
	}
	in.h.State, in.h.Release, in.h.Version, in.h.Reason = Accepted, r.ID, r.Version, why
	out := Outcome{}
	if fresh {
		out.Release = &r
	}
	starts, err := s.Planner.Plan(ctx, Request{Release: r, Environment: in.t.Promote, Cause: cause, New: fresh})
	asked := Asked{Environment: in.t.Promote, Release: r.ID, Version: r.Version}
	if f := fault.As(err); f != nil && f.Kind == fault.Conflict {
		if !fresh {
			return in.ignore("%s", f.Message), nil
		}
		asked.Why = f.Message // the release exists all the same
	} else if err != nil {
		return Outcome{}, err
	}
	in.h.Asked = []Asked{asked}
	out.Handoff, out.Starts = in.h, starts
	return out, nil
}
