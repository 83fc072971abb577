package attest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
)

// provenances are those that were accepted, with their testimony.
func (j *judge) provenances() []testimony {
	var out []testimony
	for _, t := range j.heard {
		if _, ok := t.predicate.(Provenance); ok {
			out = append(out, t)
		}
	}
	return out
}

func (j *judge) checkProvenances() {
	runs := map[string]bool{}
	var first *Provenance
	for _, t := range j.provenances() {
		p, ok := t.predicate.(Provenance)
		if !ok {
			continue
		}
		j.checkOrigin(t, p)
		run := p.Builder + "\x00" + p.invocation()
		if runs[run] {
			j.refuse(RuleConflict, TypeProvenance, p.invocation(), "run %s has more than one provenance; each run states one", orUnnamed(p.invocation()))
		}
		runs[run] = true
		if first == nil {
			first = &p
			continue
		}
		if !sameRepository(first.Repository, p.Repository) || first.Commit != p.Commit {
			j.refuse(RuleConflict, TypeProvenance, p.Repository+"@"+p.Commit, "provenances contradict each other: built from %s and from %s",
				origin(*first), origin(p))
		}
	}
}

func origin(p Provenance) string {
	return orUnnamed(clip(p.Repository)) + "@" + orUnnamed(clip(p.Commit))
}

func orUnnamed(s string) string {
	if s == "" {
		return "(none named)"
	}
	return clip(s)
}

// checkOrigin holds a provenance against what the demand says of repository, ref and image.
func (j *judge) checkOrigin(t testimony, p Provenance) {
	d := j.demand
	if p.Repository == "" || !sameRepository(p.Repository, d.Repository) {
		j.refuse(RuleRepository, TypeProvenance, p.Repository, "provenance says repository %s, %s takes only %s",
			orUnnamed(p.Repository), j.image(), orUnnamed(d.Repository))
	}
	if p.Ref == "" || !refAllowed(d.Refs, p.Ref) {
		j.refuse(RuleRef, TypeProvenance, p.Ref, "provenance says ref %s, %s takes only %s", orUnnamed(p.Ref), j.image(), orNone(d.Refs))
	}
	if d.File {
		return
	}
	image := p.Image
	if image == "" { // foreign builders name it in the statement's subject alone
		image = t.subject.Name
	}
	if ref, err := artifact.ParseReference(image); err != nil || ref.Name() != d.Image.Name() {
		j.refuse(RuleImage, TypeProvenance, image, "provenance says image %s, not %s", orUnnamed(image), j.image())
	}
}

// checkSets demands, for each signer whose provenance lists attestations, exactly those
// listed: by that signer, no fewer and no more.
func (j *judge) checkSets() {
	for _, c := range j.named {
		name := c.signer.Name
		listed := map[artifact.Digest]bool{} // and the listing provenances themselves
		binding := false
		for _, t := range j.provenances() {
			p, ok := t.predicate.(Provenance)
			if !ok || t.Signer != name || !p.lists() {
				continue
			}
			binding, listed[t.Digest] = true, true
			for _, d := range p.Attestations {
				listed[d] = true
			}
		}
		if binding {
			j.compareSet(name, listed)
		}
	}
}

func (j *judge) compareSet(signer string, listed map[artifact.Digest]bool) {
	for _, t := range j.heard {
		if !slices.Contains(t.signers, signer) {
			continue
		}
		if !listed[t.Digest] {
			j.refuse(RuleSet, t.Digest.String(), t.PredicateType, "%s by %s (sha256:%s) is not in the list of its run's provenance",
				display(t.PredicateType), signer, t.Digest.Short())
		}
		delete(listed, t.Digest)
	}
	for _, d := range slices.SortedFunc(maps.Keys(listed), func(a, b artifact.Digest) int { return strings.Compare(a.Hex(), b.Hex()) }) {
		j.refuse(RuleSet, d.String(), j.found(), "attestation sha256:%s is in the list of %s's provenance, but %s", d.Short(), signer, j.found())
	}
}

// checkRequired demands each required predicate with a value, and at least one
// attestation whatever is required.
func (j *judge) checkRequired() {
	got, empty := map[string]bool{}, map[string]string{}
	for _, t := range j.heard {
		if t.predicate == nil {
			continue
		}
		name := ShortName(t.PredicateType)
		if why := emptyValue(t.predicate); why != "" {
			empty[name] = name + " by " + t.Signer + " says that " + why
			continue
		}
		got[name] = true
	}
	for _, name := range j.demand.Require {
		if !slices.Contains(Names(), name) {
			j.refuse(RuleMissing, "", name, "%q cannot be required; known are %s", clip(name), strings.Join(Names(), ", "))
			continue
		}
		switch {
		case got[name]:
		case empty[name] != "":
			j.refuse(RuleMissing, typeOf(name), empty[name], "%s", empty[name])
		default:
			j.refuse(RuleMissing, typeOf(name), j.found(), "no %s: %s", name, j.found())
		}
	}
	if len(got) == 0 && len(j.demand.Require) == 0 {
		j.refuse(RuleMissing, "", j.found(), "nobody vouches for %s: %s; want one by %s", j.image(), j.found(), strings.Join(j.demand.Signers, ", "))
	}
}

func typeOf(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.types[0]
		}
	}
	return ""
}

// emptyValue says why a predicate holds no value though it was stated; "" when it does.
func emptyValue(p Predicate) string {
	switch v := p.(type) {
	case Tests:
		if !v.Ran() {
			return "no test ran"
		}
	case Coverage:
		if !v.Known() {
			return "there was nothing to cover"
		}
	}
	return ""
}

// found tells what was there: "3 attestations found: sbom, tests by ci; ignored: 1 by a key …".
func (j *judge) found() string {
	bySigner := map[string][]string{}
	for _, t := range j.heard {
		if t.predicate != nil {
			bySigner[t.Signer] = append(bySigner[t.Signer], ShortName(t.PredicateType))
		}
	}
	n := len(j.heard)
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(bySigner)) {
		slices.Sort(bySigner[s])
		parts = append(parts, strings.Join(bySigner[s], ", ")+" by "+s)
	}
	for _, why := range slices.Sorted(maps.Keys(j.ignored)) {
		if !strings.HasPrefix(why, "of the type ") { // those were heard, too
			n += j.ignored[why]
		}
		parts = append(parts, fmt.Sprintf("%d ignored, %s", j.ignored[why], why))
	}
	noun := "attestations"
	if n == 1 {
		noun = "attestation"
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%d %s found", n, noun)
	}
	return fmt.Sprintf("%d %s found (%s)", n, noun, strings.Join(parts, "; "))
}
