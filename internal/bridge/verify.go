package bridge

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// Verifier fetches what refers to an artifact and judges it by the trust policy that
// holds now. The bridge asks it before a release exists, CD again before it deploys one.
type Verifier struct {
	Evidence Evidence
	Policy   Trust
}

// Verdict is what a verification found.
type Verdict struct {
	Evidence attest.Evidence
	Refusals []attest.Refusal // empty means that all that was demanded is proven
	Trust    int64            // version of the trust policy that judged
}

// Verify judges the artifact digest in rule's image. An error means that it could not be
// judged (a registry out of reach); too much evidence to read is a refusal.
func (v Verifier) Verify(ctx context.Context, rule ArtifactRule, digest artifact.Digest, now time.Time) (Verdict, error) {
	policy, version, err := v.Policy.Trust(ctx)
	if err != nil {
		return Verdict{}, err
	}
	verdict := Verdict{Trust: version}
	bundles, err := v.bundles(ctx, rule.Image.WithDigest(digest))
	if f := fault.As(err); f != nil && (f.Kind == fault.TooLarge || f.Kind == fault.NotFound) {
		verdict.Refusals = []attest.Refusal{{Rule: "evidence", Found: f.Message, Message: "the evidence cannot be read: " + f.Message}}
		return verdict, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	verdict.Evidence, verdict.Refusals = attest.Verify(policy, rule.Demand(), digest, bundles, now)
	return verdict, nil
}

func (v Verifier) bundles(ctx context.Context, ref artifact.Reference) ([][]byte, error) {
	refs, err := v.Evidence.List(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("list what refers to %s: %w", ref, err)
	}
	var out [][]byte
	total := 0
	for _, r := range refs {
		b, err := v.Evidence.Fetch(ctx, ref, r)
		if err != nil {
			return nil, fmt.Errorf("fetch attestation %s: %w", r.Manifest, err)
		}
		if total += len(b); total > MaxEvidence {
			return nil, fault.New(fault.TooLarge, "the attestations of %s are over %d bytes", ref, MaxEvidence)
		}
		out = append(out, b)
	}
	return out, nil
}
