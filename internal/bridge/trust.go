package bridge

import (
	"context"
	"slices"

	"drawbridge/internal/attest"
)

// TrustStore keeps the versions of the trust policy.
type TrustStore interface {
	Trust
	// PutTrust keeps p as the version after was, with its audit entry. Somebody else's
	// version in between gives a fault of kind Conflict.
	PutTrust(ctx context.Context, actor string, p attest.Policy, was int64) (version int64, err error)
}

// Trusted is the trust policy that holds: what was applied, and this server's own CI as the
// signer "ci" unless a document says otherwise.
type Trusted struct {
	Store TrustStore
	CI    *attest.Signer // nil when this server has no CI plane
}

// Trust implements the interface of that name.
func (t Trusted) Trust(ctx context.Context) (attest.Policy, int64, error) {
	p, version, err := t.Store.Trust(ctx)
	if err != nil {
		return attest.Policy{}, 0, err
	}
	if _, defined := p.Find("ci"); !defined && t.CI != nil {
		p.Signers = append(slices.Clone(p.Signers), *t.CI)
	}
	return p, version, nil
}

// Apply merges a trust file into the policy by the signers' names and keeps the result as a
// new version. It returns the policy before and after, without the implied signer.
func (t Trusted) Apply(ctx context.Context, actor, file string, src []byte) (old, merged attest.Policy, version int64, err error) {
	update, err := attest.ParseTrust(file, src)
	if err != nil {
		return old, merged, 0, err
	}
	old, version, err = t.Store.Trust(ctx)
	if err != nil {
		return old, merged, 0, err
	}
	merged = attest.Merge(old, update)
	version, err = t.Store.PutTrust(ctx, actor, merged, version)
	return old, merged, version, err
}
