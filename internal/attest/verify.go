package attest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/artifact"
)

// Verify judges all bundles that refer to the artifact subject, as they were fetched, in
// any order. Byte-identical bundles are one. It returns what counts as evidence, and
// every reason to refuse; the evidence may be used only when there is none.
//
// Only signers that the demand names count, each only between its From and Until (by
// now) and for the predicates that it may state. A bundle that no named signer signed
// is ignored: anybody may attach one, so it must not stop anything, but when something is
// missing the refusal tells of it. A signed statement that breaks a rule is refused even
// if all else is there. A provenance of our own CI, or any that lists attestations,
// must find exactly the bundles that it lists, by its own signer.
//
// Of several provenances all must name one repository and one commit, each a run of its
// own; then the worst values of all runs stand.
func Verify(policy Policy, demand Demand, subject artifact.Digest, bundles [][]byte, now time.Time) (Evidence, []Refusal) {
	j := &judge{policy: policy, demand: demand, subject: subject, now: now, ignored: map[string]int{}}
	if j.overLimit(bundles) || !j.callSigners() {
		return Evidence{Attestations: []Attestation{}}, j.refusals
	}
	for _, b := range distinct(bundles) {
		j.hear(b)
	}
	j.checkProvenances()
	j.checkSets()
	j.checkRequired()
	return j.evidence(), j.refusals
}

// judge holds one verification while it goes on.
type judge struct {
	policy   Policy
	demand   Demand
	subject  artifact.Digest
	now      time.Time
	named    []checker      // the demand's signers
	others   []checker      // the policy's other signers, for messages only; made when first needed
	heard    []testimony    // by named signers, in the order of their digests
	ignored  map[string]int // why and how many
	refusals []Refusal
}

// testimony is one bundle that a named signer signed.
type testimony struct {
	Attestation
	signers   []string // all named signers that its signature fits
	subject   Subject
	predicate Predicate // nil when it was refused
}

// sealed is one bundle with the digest of its bytes.
type sealed struct {
	digest artifact.Digest
	raw    []byte
}

// distinct names each bundle and drops repetitions, in the order of digests.
func distinct(bundles [][]byte) []sealed {
	out := make([]sealed, 0, len(bundles))
	for _, raw := range bundles {
		out = append(out, sealed{artifact.DigestOf(raw), raw})
	}
	slices.SortFunc(out, func(a, b sealed) int { return cmp.Compare(a.digest.Hex(), b.digest.Hex()) })
	return slices.CompactFunc(out, func(a, b sealed) bool { return a.digest == b.digest })
}

func (j *judge) refuse(rule Rule, attestation, found, format string, args ...any) {
	j.refusals = append(j.refusals, Refusal{
		Rule: rule, Attestation: attestation, Found: plain(found), Message: plain(fmt.Sprintf(format, args...)),
	})
}

// plain keeps a message on one line whatever stood in the statement.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

func (j *judge) overLimit(bundles [][]byte) bool {
	if len(bundles) > MaxBundles {
		j.refuse(RuleLimit, "", fmt.Sprintf("%d attestations", len(bundles)), "%d attestations found; at most %d are read", len(bundles), MaxBundles)
		return true
	}
	total := 0
	for _, b := range bundles {
		if len(b) > MaxBundle {
			j.refuse(RuleLimit, artifact.DigestOf(b).String(), fmt.Sprintf("%d bytes", len(b)), "an attestation has %d bytes; at most %d are read", len(b), MaxBundle)
			return true
		}
		total += len(b)
	}
	if total > MaxBundleTotal {
		j.refuse(RuleLimit, "", fmt.Sprintf("%d bytes", total), "all attestations together have %d bytes; at most %d are read", total, MaxBundleTotal)
		return true
	}
	return false
}

// callSigners prepares the signers that the demand names. Without any there is nobody to believe.
func (j *judge) callSigners() bool {
	for _, name := range j.demand.Signers {
		s, ok := j.policy.Find(name)
		if !ok {
			j.refuse(RuleSigner, "", "", "signer %s is not in the trust policy; it knows %s", name, j.policy.known())
			continue
		}
		c, err := newChecker(s)
		if err != nil {
			j.refuse(RuleSigner, "", "", "signer %s cannot be used: %v", name, err)
			continue
		}
		j.named = append(j.named, c)
	}
	if len(j.demand.Signers) == 0 {
		j.refuse(RuleSigner, "", "", "no signer is named that may vouch for %s", j.image())
	}
	return len(j.refusals) == 0
}

func (p Policy) known() string {
	names := make([]string, len(p.Signers))
	for i, s := range p.Signers {
		names[i] = s.Name
	}
	return orNone(names)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// image is how messages call what is being verified.
func (j *judge) image() string {
	if j.demand.Image.Repository == "" {
		return "sha256:" + j.subject.Short()
	}
	return j.demand.Image.Name()
}

// hear takes one bundle: it is ignored, refused, or becomes testimony.
func (j *judge) hear(s sealed) {
	b, payload, err := openBundle(s.raw)
	if err != nil {
		j.ignored["unreadable: "+err.Error()]++
		return
	}
	var t testimony
	var fits []checker
	for _, c := range j.named {
		if at, ok := c.signed(b); ok {
			fits, t.signers = append(fits, c), append(t.signers, c.signer.Name)
			t.At = at
		}
	}
	if len(fits) == 0 {
		j.ignored[j.stranger(func(c checker) bool { _, ok := c.signed(b); return ok })]++
		return
	}
	t.Digest, t.Signer = s.digest, fits[0].signer.Name
	j.consider(&t, fits, payload)
	j.heard = append(j.heard, t)
}

// stranger says who signed a bundle that no named signer signed.
func (j *judge) stranger(signed func(checker) bool) string {
	if j.others == nil {
		j.others = []checker{}
		for _, s := range j.policy.Signers {
			if c, err := newChecker(s); err == nil && !slices.Contains(j.demand.Signers, s.Name) {
				j.others = append(j.others, c)
			}
		}
	}
	for _, c := range j.others {
		if signed(c) {
			return "signed by " + c.signer.Name + ", which " + j.image() + " does not name"
		}
	}
	return "by a key or identity that nobody trusts"
}

// consider reads what was signed and decides by which of the fitting signers it counts.
func (j *judge) consider(t *testimony, fits []checker, payload []byte) {
	st, err := parseStatement(payload)
	if err != nil {
		j.refuse(RuleMalformed, t.Digest.String(), "", "an attestation by %s (%s) cannot be read: %v", t.Signer, t.Digest.Short(), err)
		return
	}
	t.PredicateType = st.predicateType
	var ok bool
	if t.subject, ok = st.about(j.subject); !ok {
		j.refuse(RuleSubject, st.predicateType, st.subjects[0].Digest.String(), "%s by %s is about sha256:%s, not about sha256:%s",
			display(st.predicateType), t.Signer, st.subjects[0].Digest.Short(), j.subject.Short())
		return
	}
	if ShortName(st.predicateType) == "" {
		j.ignored["of the type "+display(st.predicateType)+" that no gate reads"]++
		return
	}
	if t.Signer, ok = j.entitled(fits, st.predicateType); !ok {
		return
	}
	p, err := ParsePredicate(st.predicateType, st.predicate)
	if err != nil {
		j.refuse(RuleMalformed, st.predicateType, t.Digest.String(), "an attestation by %s cannot be read: %v", t.Signer, err)
		return
	}
	t.predicate = p
}

// entitled is the first signer that may state this type now; if none may, it refuses.
func (j *judge) entitled(fits []checker, predicateType string) (string, bool) {
	late := ""
	for _, c := range fits {
		if why := c.signer.period(j.now); why != "" {
			late = c.signer.Name + " " + why
			continue
		}
		if c.signer.may(predicateType) {
			return c.signer.Name, true
		}
	}
	if late != "" {
		j.refuse(RulePeriod, predicateType, late, "%s is signed by signer %s", display(predicateType), late)
		return "", false
	}
	s := fits[0].signer
	j.refuse(RulePredicate, predicateType, "", "signer %s may not state %s; it may state %s", s.Name, display(predicateType), orNone(s.Predicates))
	return "", false
}
