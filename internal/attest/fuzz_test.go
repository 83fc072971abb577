package attest_test

import (
	"strings"
	"testing"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// No bundle that the signer did not sign counts, whatever its bytes.
func FuzzBundle(f *testing.F) {
	ci := newParty(f, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(f, all...)}}
	stranger := newParty(f, "stranger")
	for _, b := range stranger.run(f, provenance()) {
		f.Add(b)
	}
	for _, s := range []string{"", "{}", "[[[[", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{},"verificationMaterial":{"publicKey":{}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, refusals := judge(t, policy, demand(), b)
		if len(refusals) == 0 || len(e.Attestations) > 0 {
			t.Errorf("accepted %q", b)
		}
		_, _ = attest.PredicateType(b)
	})
}

// Whatever a trusted signer signs is either refused in one line or read without harm.
func FuzzStatement(f *testing.F) {
	ci := newParty(f, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(f, all...)}}
	for _, typ := range []string{attest.TypeProvenance, attest.TypeTests, attest.TypeCoverage, attest.TypeFindings, attest.TypeCycloneDX, attest.TypeSPDX, "x"} {
		f.Add(statement(typ, `{}`, image))
	}
	f.Add(statement(attest.TypeFindings, `{"scanner":{"result":`+sarifLog+`}}`, image))
	f.Add(statement(attest.TypeCycloneDX, cycloneDX, image))
	f.Add([]byte(`{"_type":1,"subject":{}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := demand()
		d.Require = nil
		e, _ := judge(t, policy, d, ci.signRaw(t, payload))
		if e.Hash().IsZero() {
			t.Error("no hash")
		}
	})
}

// A trust file is read, or its first mistake is named in one line.
func FuzzTrust(f *testing.F) {
	f.Add([]byte(trustFile(newParty(f, "ci").signer(f).Key)))
	for _, s := range []string{"", "a: b", "- 1", "[", "? a", "kind: Trust\nsigners: [{name: x}]", "a: |\n b\n", "a: *x", "<<: {}", "%YAML 1.2\n---\n", "\t", "{signers: [{predicates: [[]]}]}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := attest.ParseTrust("t.yaml", src)
		if err == nil {
			for _, s := range p.Signers {
				if s.Name == "" || len(s.Predicates) == 0 {
					t.Errorf("accepted %+v", s)
				}
			}
			return
		}
		if e := fault.As(err); e == nil || strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("ParseTrust(%q) = %v", src, err)
		}
	})
}

func BenchmarkVerifySixBundles(b *testing.B) {
	ci := newParty(b, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(b, all...)}}
	bundles := ci.run(b, provenance())
	for b.Loop() {
		if _, refusals := attest.Verify(policy, demand(), image, bundles, now); len(refusals) > 0 {
			b.Fatal(show(refusals))
		}
	}
}

func BenchmarkSign(b *testing.B) {
	ci := newParty(b, "ci")
	for b.Loop() {
		ci.sign(b, provenance())
	}
}
