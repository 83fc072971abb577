package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// The real format: sigstore-go, told only the key and the digest, verifies what we sign.
func TestSigstoreVerifiesWhatWeSign(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	kv, err := signature.LoadVerifier(ci.key.Public(), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	tm := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(kv, time.Time{}, time.Time{}), nil
	})
	v, err := verify.NewVerifier(tm, verify.WithNoObserverTimestamps())
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := hex.DecodeString(image.Hex())
	for _, p := range append(predicates(), provenance(), attest.Opaque{PredicateType: attest.TypeVSA}) {
		var b bundle.Bundle
		if err := b.UnmarshalJSON(ci.sign(t, p)); err != nil {
			t.Fatalf("%s: %v", p.Type(), err)
		}
		if !b.MinVersion("v0.3") || b.MediaType != attest.BundleMediaType {
			t.Errorf("%s: media type %s", p.Type(), b.MediaType)
		}
		res, err := v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey()))
		if err != nil {
			t.Fatalf("%s: %v", p.Type(), err)
		}
		if err := res.Statement.Validate(); err != nil || res.Statement.GetPredicateType() != p.Type() {
			t.Errorf("%s: statement %v, %v", p.Type(), res.Statement.GetPredicateType(), err)
		}
	}
}

func TestPredicatesRoundTrip(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	p := provenance()
	p.Attestations = []artifact.Digest{image}
	for _, want := range append(predicates(), p, attest.Provenance{Builder: "b", BuildType: "t"}, attest.Tests{Failed: 2, FailedNames: []string{"X"}},
		attest.Tests{Skipped: 1}, attest.Coverage{Line: 1}, attest.Findings{}) {
		signed := ci.sign(t, want)
		if typ, err := attest.PredicateType(signed); err != nil || typ != want.Type() {
			t.Errorf("PredicateType = %s, %v, want %s", typ, err, want.Type())
		}
		got, err := attest.ParsePredicate(want.Type(), rawPredicate(t, signed))
		if err != nil {
			t.Fatalf("%s: %v", want.Type(), err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(artifact.Digest{}, attest.BOM{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Type(), diff)
		}
	}
}

// rawPredicate is the predicate as it was signed.
func rawPredicate(t *testing.T, signed []byte) []byte {
	t.Helper()
	var b struct {
		Env struct{ Payload []byte } `json:"dsseEnvelope"`
	}
	var s struct{ Predicate json.RawMessage }
	if err := json.Unmarshal(signed, &b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Env.Payload, &s); err != nil {
		t.Fatal(err)
	}
	return s.Predicate
}

func TestSignIsDeterministic(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	if a, b := ci.sign(t, provenance()), ci.sign(t, provenance()); !bytes.Equal(a, b) {
		t.Errorf("two bundles of one statement differ:\n%s\n%s", a, b)
	}
}

// A signer that keeps its key elsewhere is asked with randomness.
type remote struct{ crypto.Signer }

func TestSignerElsewhere(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	b, err := attest.Sign(remote{ci.key}, attest.Subject{Digest: image}, attest.Signature{})
	if err != nil {
		t.Fatal(err)
	}
	d := demand()
	d.Require = []string{"signature"}
	if _, refusals := judge(t, attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}, d, b); len(refusals) > 0 {
		t.Errorf("refused: %s", show(refusals))
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	s := attest.Subject{Name: "shop/web", Digest: image}
	tests := map[string]struct {
		key  crypto.Signer
		s    attest.Subject
		p    attest.Predicate
		want string
	}{
		"ed25519":         {ed, s, attest.Signature{}, "no ECDSA P-256"},
		"p384":            {p384, s, attest.Signature{}, "no ECDSA P-256"},
		"no digest":       {ci.key, attest.Subject{Name: "x"}, attest.Signature{}, "needs a subject"},
		"no bom":          {ci.key, s, attest.BOM{JSON: json.RawMessage(`{}`)}, "no CycloneDX document"},
		"bad coverage":    {ci.key, s, attest.Coverage{Line: 1.1}, "not between 0 and 1"},
		"coverage lies":   {ci.key, s, attest.Coverage{Line: 0.9, Covered: 1, Total: 2}, "not covered divided by total"},
		"no builder":      {ci.key, s, attest.Provenance{}, "names no builder"},
		"negative":        {ci.key, s, attest.Findings{High: -1}, "negative"},
		"negative tests":  {ci.key, s, attest.Tests{Passed: -1}, "negative"},
		"no SARIF":        {ci.key, s, attest.Findings{SARIF: json.RawMessage(`{"version":"2.0.0"}`)}, "no SARIF log"},
		"no JSON at all":  {ci.key, s, attest.Opaque{PredicateType: "https://x", JSON: json.RawMessage(`{`)}, "marshal predicate"},
		"key twice":       {ci.key, s, attest.Opaque{PredicateType: "https://x", JSON: json.RawMessage(`{"a":1,"a":2}`)}, "stands twice"},
		"no type":         {ci.key, s, attest.Opaque{}, "no predicateType"},
		"infinite":        {ci.key, s, attest.Coverage{Line: math.Inf(1)}, "marshal predicate"},
		"larger than max": {ci.key, s, attest.Opaque{PredicateType: "https://x", JSON: json.RawMessage(`"` + strings.Repeat("x", attest.MaxBundle) + `"`)}, "at most"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := attest.Sign(tt.key, tt.s, tt.p); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Sign = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := attest.MarshalPrivate(key)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := attest.ParsePrivate(text); err != nil || !back.Equal(key) {
		t.Errorf("ParsePrivate = %v, %v", back, err)
	}
	pub, err := attest.MarshalPublic(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := attest.ParsePublic(append(pub, pub...)); err != nil || len(keys) != 2 || !key.PublicKey.Equal(keys[1]) {
		t.Errorf("ParsePublic = %v, %v", keys, err)
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private := [][]byte{nil, []byte("x"), pub, append(text, text...), pemOf(t, "PRIVATE KEY", p224, x509.MarshalPKCS8PrivateKey), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}
	for _, b := range private {
		if _, err := attest.ParsePrivate(b); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("ParsePrivate(%q) = %v", b, err)
		}
	}
	public := [][]byte{nil, []byte("x"), text, append(pub, 'x'), pemOf(t, "PUBLIC KEY", p224.Public(), x509.MarshalPKIXPublicKey), pemOf(t, "PUBLIC KEY", weak.Public(), x509.MarshalPKIXPublicKey)}
	for _, b := range public {
		if _, err := attest.ParsePublic(b); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParsePublic(%q) = %v", b, err)
		}
	}
}

func pemOf(t *testing.T, typ string, key any, marshal func(any) ([]byte, error)) []byte {
	t.Helper()
	der, err := marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}
