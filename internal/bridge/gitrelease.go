package bridge

import (
	"context"
	"fmt"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// judgeRelease hands over what a tag of a Git repository, a release of its host or a
// version of a package names. Artifacts are found by the commit in their verified
// provenance, never by their name or tag.
func (s *Service) judgeRelease(ctx context.Context, in hearing) (Outcome, error) {
	if in.ev.Fact.Package != nil {
		return s.judgePackage(ctx, in)
	}
	g := in.ev.Fact.Git
	tag, ok := strings.CutPrefix(g.Ref, "refs/tags/")
	switch {
	case !ok:
		return in.ignore("the event names no tag"), nil
	case g.Deleted || g.Draft:
		return in.ignore("the release is a draft or is deleted"), nil
	}
	version, ok, why := in.t.Tags.Match(tag)
	in.note("tag rule", ok, "%s", orElse(why, "tag "+tag+" gives version "+version))
	if !ok {
		return in.ignore("%s", why), nil
	}
	in.h.Version = version
	refs, err := s.Sources.Refs(ctx, in.t.Repository)
	if err != nil {
		return Outcome{}, err
	}
	commit := refs[g.Ref]
	if commit == "" {
		return in.refuse("%s has no tag %s", in.t.Repository, tag), nil
	}
	if g.Commit != "" && g.Commit != commit {
		in.note("tag resolved", false, "%s", commit)
		return in.refuse("the event says that tag %s is commit %s, but it is %s", tag, g.Commit, commit), nil
	}
	in.note("tag resolved", true, "commit %s", commit)
	if known, err := s.Ledger.ReleaseOf(ctx, in.app.Name, commit); err != nil {
		return Outcome{}, err
	} else if known.madeFrom(in.t.Artifacts, commit) {
		return s.again(ctx, in, known, "tag %s is commit %s, which release %s is proven to be built from", tag, commit[:12], known.Version)
	}
	set := map[string]artifact.Digest{}
	for _, name := range in.t.Artifacts {
		d, missing, err := s.releasedFrom(ctx, &in, name, tag, commit)
		if err != nil {
			return Outcome{}, err
		}
		if missing != "" {
			in.note("artifact "+name, false, "%s", missing)
			return in.wait(in.t.wait(), "waits for %s: %s", name, missing), nil
		}
		in.note("artifact "+name, true, "%s", d)
		set[name] = d
	}
	return s.admit(ctx, in, version, set)
}

// madeFrom reports whether r is made of exactly these artifacts, each of them proven to be
// built from commit.
func (r Release) madeFrom(names []string, commit string) bool {
	for _, name := range names {
		if _, ok := r.Artifacts[name]; !ok || r.Evidence[name].Provenance == nil || r.Evidence[name].Provenance.Commit != commit {
			return false
		}
	}
	return r.ID != "" && len(r.Artifacts) == len(names)
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// releasedFrom finds the artifact of a release that is proven to be built from commit.
func (s *Service) releasedFrom(ctx context.Context, in *hearing, name, tag, commit string) (d artifact.Digest, missing string, err error) {
	rule, ok := in.app.Artifact(name)
	if !ok {
		return d, "the delivery has no such artifact", nil
	}
	if rule.Package == nil {
		d, err = s.builtFrom(ctx, in, rule, commit)
		if err == nil && d.IsZero() {
			missing = "nothing that was published is proven to be built from commit " + commit[:12]
		}
		return d, missing, err
	}
	d, missing, err = s.wrap(ctx, rule, tag)
	if err != nil || missing != "" {
		return d, missing, err
	}
	built, err := s.commitOf(ctx, in, rule, d)
	if err == nil && built != "" && built != commit {
		return d, fmt.Sprintf("the file of release %s is proven to be built from commit %s, not %s", tag, built, commit), nil
	}
	return d, "", err // what is not proven at all is refused by its evidence
}

// wrap has a file wrapped as an artifact; what is not there yet is missing.
func (s *Service) wrap(ctx context.Context, rule ArtifactRule, version string) (d artifact.Digest, missing string, err error) {
	if s.Packages == nil {
		return d, "", fault.New(fault.Unavailable, "files are not wrapped here")
	}
	w, err := s.Packages.Wrap(ctx, rule, version)
	if f := fault.As(err); f != nil && f.Kind == fault.NotFound {
		return d, f.Message, nil
	}
	return w.Digest, "", err
}

// Wrapped is a file that was wrapped as an artifact.
type Wrapped struct {
	Digest artifact.Digest // of the artifact's manifest
	File   artifact.Digest // of the file
	Name   string          // of the file
}

// judgePackage hands over a version of a package of a package registry.
func (s *Service) judgePackage(ctx context.Context, in hearing) (Outcome, error) {
	p := in.ev.Fact.Package
	version, ok, why := in.t.Tags.Match(p.Version)
	in.note("version rule", ok, "%s", orElse(why, "version "+version))
	if !ok {
		return in.ignore("%s", why), nil
	}
	in.h.Version = version
	set := map[string]artifact.Digest{}
	for _, name := range in.t.Artifacts {
		rule, ok := in.app.Artifact(name)
		if !ok || rule.Package == nil {
			return in.refuse("artifact %s is no package", name), nil
		}
		d, missing, err := s.wrap(ctx, rule, p.Version)
		if err != nil {
			return Outcome{}, err
		}
		if missing != "" {
			in.note("package "+name, false, "%s", missing)
			return in.wait(in.t.wait(), "waits for %s: %s", name, missing), nil
		}
		in.note("package "+name, true, "%s", d)
		set[name] = d
	}
	return s.admit(ctx, in, version, set)
}

// again asks for a release that crossed before.
func (s *Service) again(ctx context.Context, in hearing, r Release, format string, args ...any) (Outcome, error) {
	in.h.Once, in.h.Chain = r.ID, r.Chain
	dup, err := s.Ledger.Accepted(ctx, in.app.Name, in.t.Name, r.ID)
	if err != nil {
		return Outcome{}, err
	}
	if dup.ID != 0 {
		in.h.Release, in.h.Version = r.ID, r.Version
		return in.ignore("duplicate of %d", dup.ID), nil
	}
	v, err := s.Verifier.VerifySet(ctx, in.app.Artifacts, r.Artifacts, in.now)
	if err != nil {
		return Outcome{}, err
	}
	in.h.Trust = v.Trust
	if len(v.Refusals) > 0 {
		return in.unproven(v.Refusals), nil
	}
	if o, done, err := s.condition(ctx, &in, v.Evidence); done || err != nil {
		return o, err
	}
	return s.ask(ctx, in, r, false, fmt.Sprintf(format, args...))
}
