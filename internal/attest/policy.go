package attest

import (
	"slices"
	"time"

	"drawbridge/internal/artifact"
)

// Policy says who is believed, for what. It is the content of a trust file. The zero
// Policy believes nobody.
type Policy struct {
	Signers []Signer `json:"signers"`
}

// Signer is one party that may be believed: by Key, or keyless by Issuer, Subject and
// TrustedRoot. It may state the predicates that it lists and no others: a signer that
// lists none may state nothing.
type Signer struct {
	Name        string     `json:"name"`                  // lower-case letters, digits, hyphens
	Key         string     `json:"key,omitempty"`         // PEM; several blocks while keys are exchanged
	Issuer      string     `json:"issuer,omitempty"`      // OIDC issuer, exact
	Subject     string     `json:"subject,omitempty"`     // certificate SAN, exact; or GitHub's repo:OWNER/NAME:ref:REF
	TrustedRoot string     `json:"trustedRoot,omitempty"` // Sigstore trusted root, JSON
	Predicates  []string   `json:"predicates"`            // short names, see Names
	From        *time.Time `json:"from,omitempty"`        // believed from then on; nil means always
	Until       *time.Time `json:"until,omitempty"`       // not believed from then on; nil means never ends
}

// may reports whether s may state predicates of this type.
func (s Signer) may(predicateType string) bool {
	n := ShortName(predicateType)
	return n != "" && slices.Contains(s.Predicates, n)
}

// Find returns the signer called name.
func (p Policy) Find(name string) (Signer, bool) {
	i := slices.IndexFunc(p.Signers, func(s Signer) bool { return s.Name == name })
	if i < 0 {
		return Signer{}, false
	}
	return p.Signers[i], true
}

// Merge returns old with every signer of update put in: in the place of the signer of that
// name, else at the end. Signers that update does not name stay. Neither argument changes.
func Merge(old, update Policy) Policy {
	out := Policy{Signers: slices.Clone(old.Signers)}
	for _, s := range update.Signers {
		i := slices.IndexFunc(out.Signers, func(o Signer) bool { return o.Name == s.Name })
		if i < 0 {
			out.Signers = append(out.Signers, s)
			continue
		}
		out.Signers[i] = s
	}
	return out
}

// Demand is what one artifact of a delivery asks for.
type Demand struct {
	Signers    []string           // names of the signers that count; at least one
	Require    []string           // short names of predicates without which nothing crosses
	Repository string             // Git repository that a provenance must name
	Refs       []string           // refs that a provenance may name; a trailing * stands for any rest
	Image      artifact.Reference // image that a provenance must name; tag and digest do not matter
	File       bool               // it is a file that was wrapped: statements name the file, and no image is compared
}

// Rule is a stable word for the reason of a refusal: sent and scripted against, only added to.
type Rule string

// The rules that Verify can find broken.
const (
	RuleLimit      Rule = "limit"      // too many or too big bundles
	RuleSigner     Rule = "signer"     // the demand or the trust policy names no usable signer
	RulePeriod     Rule = "period"     // signed by a signer that is not believed now
	RulePredicate  Rule = "predicate"  // the signer may not state this
	RuleSubject    Rule = "subject"    // a signed statement about another artifact
	RuleMalformed  Rule = "malformed"  // a signed statement that cannot be read
	RuleMissing    Rule = "missing"    // what is required is not there
	RuleRepository Rule = "repository" // the provenance names another repository
	RuleRef        Rule = "ref"        // the provenance names a ref that is not allowed
	RuleImage      Rule = "image"      // the provenance names another image
	RuleSet        Rule = "set"        // an attestation is missing from, or foreign to, the set of its run
	RuleConflict   Rule = "conflict"   // provenances repeat or contradict each other
)

// Refusal is one reason why an artifact may not cross.
type Refusal struct {
	Rule        Rule   `json:"rule"`
	Attestation string `json:"attestation,omitempty"` // predicate type, or digest of the bundle
	Found       string `json:"found,omitempty"`       // what was there instead
	Message     string `json:"message"`               // one line, complete in itself
}
