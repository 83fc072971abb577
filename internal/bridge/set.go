package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// EvidenceSet is what has been verified about each artifact of a release, by its name.
type EvidenceSet map[string]attest.Evidence

// Hash names the evidence: the digest of its canonical JSON. Two sets with one hash say
// the same.
func (e EvidenceSet) Hash() artifact.Digest {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("bridge: evidence that Verify did not make: %v", err))
	}
	return artifact.DigestOf(b)
}

// Count is the number of attestations that counted.
func (e EvidenceSet) Count() int {
	n := 0
	for _, a := range e {
		n += len(a.Attestations)
	}
	return n
}

// SetVerdict is what a verification of a release's artifacts found.
type SetVerdict struct {
	Evidence EvidenceSet
	Refusals []attest.Refusal // empty means that all that was demanded is proven
	Trust    int64            // version of the trust policy that judged
}

// VerifySet judges each artifact of a release by its rule. An artifact without a rule is
// a refusal.
func (v Verifier) VerifySet(ctx context.Context, rules []ArtifactRule, artifacts map[string]artifact.Digest, now time.Time) (SetVerdict, error) {
	out := SetVerdict{Evidence: EvidenceSet{}}
	for _, name := range slices.Sorted(maps.Keys(artifacts)) {
		i := slices.IndexFunc(rules, func(r ArtifactRule) bool { return r.Name == name })
		if i < 0 {
			out.Refusals = append(out.Refusals, attest.Refusal{Rule: attest.RuleMissing, Message: fmt.Sprintf("the delivery has no artifact %q any more", name)})
			continue
		}
		one, err := v.Verify(ctx, rules[i], artifacts[name], now)
		if err != nil {
			return SetVerdict{}, fmt.Errorf("verify %s: %w", name, err)
		}
		out.Trust, out.Evidence[name] = one.Trust, one.Evidence
		for _, r := range one.Refusals {
			if len(artifacts) > 1 {
				r.Message = name + ": " + r.Message
			}
			out.Refusals = append(out.Refusals, r)
		}
	}
	return out, nil
}
