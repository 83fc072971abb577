package bridge

import (
	"context"
	"fmt"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// lookBack is how many events of one image are looked through for what belongs together.
const lookBack = 50

// together finds the other artifacts of the trigger's release. The outcome, when it is
// done, says what is missing: a partial set waits.
func (s *Service) together(ctx context.Context, in *hearing, rule ArtifactRule, digest artifact.Digest) (set map[string]artifact.Digest, o Outcome, done bool, err error) {
	set = map[string]artifact.Digest{rule.Name: digest}
	find := s.sameTag
	switch {
	case len(in.t.Artifacts) == 1:
		return set, o, false, nil
	case in.t.Together == SameCommit:
		find = s.sameCommit
	case in.t.Together == AllNewer:
		find = s.newerOnes
	}
	for _, name := range in.t.Artifacts {
		if name == rule.Name {
			continue
		}
		other, ok := in.app.Artifact(name)
		if !ok {
			return nil, in.refuse("the delivery has no artifact %q", name), true, nil
		}
		d, missing, err := find(ctx, in, rule, other)
		if err != nil {
			return nil, o, true, err
		}
		if missing != "" {
			in.note("belongs together: "+name, false, "%s", missing)
			return nil, in.wait(in.t.wait(), "waits for %s: %s", name, missing), true, nil
		}
		in.note("belongs together: "+name, true, "%s", d)
		set[name] = d
	}
	return set, o, false, nil
}

// sameTag finds the other artifact under the tag of this one.
func (s *Service) sameTag(ctx context.Context, in *hearing, _, other ArtifactRule) (d artifact.Digest, missing string, err error) {
	ref := other.Image.WithTag(in.h.Image.Tag)
	d, err = s.Verifier.Evidence.Resolve(ctx, ref)
	if fault.Is(err, fault.NotFound) {
		return d, fmt.Sprintf("the registry has no %s", ref), nil
	}
	return d, "", err
}

// sameCommit finds the other artifact whose verified provenance names this one's commit.
func (s *Service) sameCommit(ctx context.Context, in *hearing, rule, other ArtifactRule) (d artifact.Digest, missing string, err error) {
	commit, err := s.commitOf(ctx, in, rule, in.h.Image.Digest)
	if err != nil {
		return d, "", err
	}
	if commit == "" {
		return d, fmt.Sprintf("no verified provenance of %s names a commit", rule.Name), nil
	}
	d, err = s.builtFrom(ctx, in, other, commit)
	if err == nil && d.IsZero() {
		missing = "nothing that was published is proven to be built from commit " + commit
	}
	return d, missing, err
}

// commitOf is the commit in an artifact's verified provenance, "" when nothing proves one.
func (s *Service) commitOf(ctx context.Context, in *hearing, rule ArtifactRule, digest artifact.Digest) (string, error) {
	v, err := s.Verifier.Verify(ctx, rule, digest, in.now)
	if err != nil || len(v.Refusals) > 0 || v.Evidence.Provenance == nil {
		return "", err
	}
	return v.Evidence.Provenance.Commit, nil
}

// builtFrom finds the newest published artifact that is proven to be built from a commit;
// the zero digest when there is none.
func (s *Service) builtFrom(ctx context.Context, in *hearing, rule ArtifactRule, commit string) (artifact.Digest, error) {
	var none artifact.Digest
	list, err := s.candidates(ctx, rule)
	if err != nil {
		return none, err
	}
	for _, d := range list {
		found, err := s.commitOf(ctx, in, rule, d)
		if err != nil {
			return none, err
		}
		if found == commit {
			return d, nil
		}
	}
	return none, nil
}

// candidates are the digests that stand under the tags that events told of, newest first.
func (s *Service) candidates(ctx context.Context, rule ArtifactRule) ([]artifact.Digest, error) {
	events, err := s.Ledger.Published(ctx, rule.Image, lookBack)
	if err != nil {
		return nil, err
	}
	var out []artifact.Digest
	for _, e := range events {
		ref := rule.Image.WithTag(e.Fact.Artifact.Tag)
		if e.Fact.Artifact.Tag == "" {
			continue
		}
		d, err := s.Verifier.Evidence.Resolve(ctx, ref)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out, nil
}

// newerOnes finds the newest published one of the other artifact, which must be newer than
// the one in the trigger's last release.
func (s *Service) newerOnes(ctx context.Context, in *hearing, _, other ArtifactRule) (d artifact.Digest, missing string, err error) {
	last, err := s.Ledger.Accepted(ctx, in.app.Name, in.t.Name, "")
	if err != nil {
		return d, "", err
	}
	var before artifact.Digest
	if last.ID != 0 {
		r, err := s.Ledger.ReleaseBy(ctx, in.app.Name, last.Release)
		if err != nil {
			return d, "", err
		}
		before = r.Artifacts[other.Name]
	}
	events, err := s.Ledger.Published(ctx, other.Image, lookBack)
	if err != nil {
		return d, "", err
	}
	for _, e := range events { // newest first: what comes before the last one is newer
		if _, ok, _ := in.t.Tags.Match(e.Fact.Artifact.Tag); !ok {
			continue
		}
		d, err := s.Verifier.Evidence.Resolve(ctx, other.Image.WithTag(e.Fact.Artifact.Tag))
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil || d != before {
			return d, "", err
		}
		break
	}
	return d, fmt.Sprintf("nothing newer than %s was published", before.Short()), nil
}
