package cd_test

import (
	"context"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
)

// registry holds every version of shop/web, each with a signature.
type registry struct {
	sign func(artifact.Digest) []byte
}

func (r *registry) Resolve(_ context.Context, ref artifact.Reference) (artifact.Digest, error) {
	return digestOf(ref.Tag), nil
}

func (r *registry) List(_ context.Context, ref artifact.Reference) ([]bridge.Referrer, error) {
	return []bridge.Referrer{{Manifest: ref.Digest, Size: 1}}, nil
}

func (r *registry) Fetch(_ context.Context, ref artifact.Reference, _ bridge.Referrer) ([]byte, error) {
	return r.sign(ref.Digest), nil
}

// bridge is the bridge on this database; artifacts need a signature and no more.
func (w *world) bridge() *bridge.Service {
	w.t.Helper()
	w.apply(strings.Replace(delivery, "image: shop/web}", "image: shop/web, require: [signature]}", 1))
	key, err := attest.GenerateKey()
	if err != nil {
		w.t.Fatal(err)
	}
	pub, err := attest.MarshalPublic(key.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	r := &registry{sign: func(d artifact.Digest) []byte {
		b, err := attest.Sign(key, attest.Subject{Name: "shop/web", Digest: d}, attest.Signature{})
		if err != nil {
			w.t.Error(err)
		}
		return b
	}}
	trusted := bridge.Trusted{Store: w.Store, CI: &attest.Signer{Name: "ci", Key: string(pub), Predicates: attest.Names()}}
	return &bridge.Service{
		Ledger: w.Store, Planner: cd.Planner{Reader: w.Store}, Now: w.clock.now,
		Verifier: bridge.Verifier{Evidence: r, Policy: trusted},
	}
}
