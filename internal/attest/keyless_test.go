package attest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

const (
	githubIssuer = "https://token.actions.githubusercontent.com"
	workflowSAN  = "https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main"
)

// github is a Sigstore of GitHub's shape, made here: certificates and timestamps, no log.
type github struct {
	t            *testing.T
	virtual      *ca.VirtualSigstore
	root         string
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey
}

func newGitHub(t *testing.T, logs map[string]*root.TransparencyLog) *github {
	t.Helper()
	v, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	rootCert, rootKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	intermediate, key, err := ca.GenerateFulcioIntermediate(rootCert, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	authority := &root.FulcioCertificateAuthority{
		Root: rootCert, Intermediates: []*x509.Certificate{intermediate}, URI: "https://fulcio.example",
		ValidityPeriodStart: rootCert.NotBefore, ValidityPeriodEnd: rootCert.NotAfter,
	}
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{authority}, nil, v.TimestampingAuthorities(), logs)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := tr.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return &github{t, v, string(doc), intermediate, key}
}

// workflow is what a certificate says of the workflow that asked for it.
type workflow struct{ san, issuer, repository, ref string }

func (g *github) leaf(w workflow) (*x509.Certificate, *ecdsa.PrivateKey) {
	g.t.Helper()
	sample, _, err := g.virtual.GenerateLeafCert("a@example.com", "x") // for its times alone
	if err != nil {
		g.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	uri, err := url.Parse(w.san)
	if err != nil {
		g.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{uri}, NotBefore: sample.NotBefore.Add(-time.Minute), NotAfter: sample.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for id, value := range map[int]string{8: w.issuer, 12: w.repository, 14: w.ref} {
		der, err := asn1.MarshalWithParams(value, "utf8")
		if err != nil {
			g.t.Fatal(err)
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, id}, Value: der})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, g.intermediate, key.Public(), g.key)
	if err != nil {
		g.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		g.t.Fatal(err)
	}
	return cert, key
}

func (g *github) sign(w workflow, payload []byte) []byte {
	g.t.Helper()
	cert, key := g.leaf(w)
	digest := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 28 application/vnd.in-toto+json %d %s", len(payload), payload))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		g.t.Fatal(err)
	}
	stamp, err := g.virtual.TimestampResponse(sig)
	if err != nil {
		g.t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{
			"certificate":               map[string]any{"rawBytes": cert.Raw},
			"timestampVerificationData": map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": stamp}}},
		},
		"dsseEnvelope": map[string]any{"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": []any{map[string]any{"sig": sig}}},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func TestKeyless(t *testing.T) {
	t.Parallel()
	g, elsewhere := newGitHub(t, nil), newGitHub(t, nil)
	payload := []byte(strings.Replace(string(statement(attest.TypeProvenance, `{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
	 "externalParameters":{"workflow":{"ref":"refs/heads/main","repository":"https://github.com/acme/shop","path":"r.yml"}}},"runDetails":{"builder":{"id":"gh"}}}`, image)), "shop/web", "ghcr.io/acme/shop", 1))
	main := workflow{workflowSAN, githubIssuer, "https://github.com/acme/shop", "refs/heads/main"}
	d := attest.Demand{
		Signers: []string{"github"}, Require: []string{"provenance"}, Repository: "https://github.com/acme/shop.git",
		Refs: []string{"refs/heads/main"}, Image: artifact.Reference{Host: "ghcr.io", Repository: "acme/shop"},
	}
	const bySub = "repo:acme/shop:ref:refs/heads/main"
	withLog := newGitHub(t, g.virtual.RekorLogs())
	tests := map[string]struct {
		in      *github
		subject string
		by      workflow
		from    *github
		ok      bool
	}{
		"certificate's own subject":       {g, workflowSAN, main, g, true},
		"subject of the OIDC token":       {g, bySub, main, g, true},
		"another workflow":                {g, workflowSAN, workflow{strings.Replace(workflowSAN, "release", "test", 1), githubIssuer, main.repository, main.ref}, g, false},
		"another issuer":                  {g, workflowSAN, workflow{workflowSAN, "https://evil.example", main.repository, main.ref}, g, false},
		"another ref":                     {g, bySub, workflow{workflowSAN, githubIssuer, main.repository, "refs/pull/1/merge"}, g, false},
		"another repository":              {g, bySub, workflow{workflowSAN, githubIssuer, "https://github.com/evil/shop", main.ref}, g, false},
		"reusable workflow of others":     {g, bySub, workflow{strings.Replace(workflowSAN, "acme", "evil", 1), githubIssuer, main.repository, main.ref}, g, false},
		"another authority":               {g, workflowSAN, main, elsewhere, false},
		"root with a log, bundle without": {withLog, workflowSAN, main, withLog, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := attest.Policy{Signers: []attest.Signer{{
				Name: "github", Issuer: githubIssuer, Subject: tt.subject, TrustedRoot: tt.in.root, Predicates: []string{"provenance"},
			}}}
			e, refusals := judge(t, policy, d, tt.from.sign(tt.by, payload))
			if !tt.ok {
				refused(t, refusals, attest.RuleMissing, "1 ignored, by a key or identity that nobody trusts")
				return
			}
			if len(refusals) > 0 || e.Provenance == nil || e.Attestations[0].At.IsZero() {
				t.Errorf("refused: %s", show(refusals))
			}
		})
	}
}

// A key does not pass for an identity, and an identity not for a key.
func TestKeyAndIdentityDoNotMix(t *testing.T) {
	t.Parallel()
	g, ci := newGitHub(t, nil), newParty(t, "ci")
	d := demand()
	d.Require = []string{"vsa"}
	payload := statement(attest.TypeVSA, `{}`, image)
	keyed := attest.Policy{Signers: []attest.Signer{ci.signer(t, "vsa")}}
	_, refusals := judge(t, keyed, d, g.sign(workflow{workflowSAN, githubIssuer, "r", "f"}, payload))
	refused(t, refusals, attest.RuleMissing, "1 ignored, by a key or identity that nobody trusts")
	keyless := attest.Policy{Signers: []attest.Signer{{Name: "ci", Issuer: githubIssuer, Subject: workflowSAN, TrustedRoot: g.root, Predicates: []string{"vsa"}}}}
	_, refusals = judge(t, keyless, d, ci.signRaw(t, payload))
	refused(t, refusals, attest.RuleMissing, "1 ignored, by a key or identity that nobody trusts")
}

func TestTrustFileWithRoot(t *testing.T) {
	t.Parallel()
	g := newGitHub(t, nil)
	for name, written := range map[string]string{
		"as YAML": g.root,
		"as text": "|\n      " + g.root,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n  - name: github\n    issuer: " + githubIssuer +
				"\n    subject: repo:acme/shop:ref:refs/heads/main\n    predicates: [provenance]\n    trustedRoot: " + written + "\n"
			p, err := attest.ParseTrust("trust.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			d := demand()
			d.Signers, d.Require = []string{"github"}, []string{"vsa"}
			p.Signers[0].Predicates = []string{"vsa"}
			b := g.sign(workflow{workflowSAN, githubIssuer, "https://github.com/acme/shop", "refs/heads/main"}, statement(attest.TypeVSA, `{}`, image))
			if _, refusals := judge(t, p, d, b); len(refusals) > 0 {
				t.Errorf("refused: %s", show(refusals))
			}
		})
	}
}
