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
	Files    Images // reads what file a wrapped artifact holds; nil where nothing is wrapped
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
	subject, err := v.subject(ctx, rule, digest)
	if err != nil {
		return Verdict{}, err
	}
	bundles, err := v.bundles(ctx, rule.Image.WithDigest(digest))
	if f := fault.As(err); f != nil && (f.Kind == fault.TooLarge || f.Kind == fault.NotFound) {
		verdict.Refusals = []attest.Refusal{{Rule: "evidence", Found: f.Message, Message: "the evidence cannot be read: " + f.Message}}
		return verdict, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	verdict.Evidence, verdict.Refusals = attest.Verify(policy, rule.Demand(), subject, bundles, now)
	return verdict, nil
}

// subject is the digest that statements about the artifact name: its own, or that of the
// one file in a wrapped one.
func (v Verifier) subject(ctx context.Context, rule ArtifactRule, digest artifact.Digest) (artifact.Digest, error) {
	if rule.Package == nil {
		return digest, nil
	}
	if v.Files == nil {
		return digest, fault.New(fault.Unavailable, "%s is a wrapped file, which cannot be read here", rule.Name)
	}
	image, err := v.Files.Inspect(ctx, rule.Image.WithDigest(digest))
	if err != nil {
		return digest, fmt.Errorf("read what file %s holds: %w", rule.Image.WithDigest(digest), err)
	}
	if len(image.Layers) != 1 {
		return digest, fault.New(fault.Blocked, "%s holds %d files, want one", rule.Image.WithDigest(digest), len(image.Layers))
	}
	return image.Layers[0], nil
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
