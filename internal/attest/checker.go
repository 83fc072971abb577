package attest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// checker tells whether one signer signed a bundle.
type checker struct {
	signer    Signer
	verifiers []*verify.Verifier // one per key; exactly one when keyless
	identity  verify.PolicyOption
}

func newChecker(s Signer) (checker, error) {
	if s.Key != "" {
		return newKeyChecker(s)
	}
	return newKeylessChecker(s)
}

// newKeyChecker ignores the key hint of bundles: every tool writes its own. A key is old or
// young by the signer's From and Until alone, for nothing in such a bundle proves a time.
func newKeyChecker(s Signer) (checker, error) {
	keys, err := ParsePublic([]byte(s.Key))
	if err != nil {
		return checker{}, err
	}
	c := checker{signer: s, identity: verify.WithKey()}
	for _, key := range keys {
		kv, err := signature.LoadDefaultVerifier(key)
		if err != nil {
			return checker{}, fmt.Errorf("load public key: %w", err)
		}
		material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(kv, time.Time{}, time.Time{}), nil
		})
		v, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps(), verify.WithoutStatementPredicate())
		if err != nil {
			return checker{}, fmt.Errorf("prepare verification by key: %w", err)
		}
		c.verifiers = append(c.verifiers, v)
	}
	return c, nil
}

// newKeylessChecker asks for whatever the trusted root can prove: a public-good root has
// logs, GitHub's own has none but timestamps.
func newKeylessChecker(s Signer) (checker, error) {
	tr, err := root.NewTrustedRootFromJSON([]byte(s.TrustedRoot))
	if err != nil {
		return checker{}, fmt.Errorf("read trusted root: %w", err)
	}
	id, err := s.identity()
	if err != nil {
		return checker{}, err
	}
	opts := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if len(tr.CTLogs()) > 0 {
		opts = append(opts, verify.WithSignedCertificateTimestamps(1))
	}
	if len(tr.RekorLogs()) > 0 {
		opts = append(opts, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	} else {
		opts = append(opts, verify.WithSignedTimestamps(1))
	}
	v, err := verify.NewVerifier(tr, opts...)
	if err != nil {
		return checker{}, fmt.Errorf("prepare keyless verification: %w", err)
	}
	return checker{signer: s, verifiers: []*verify.Verifier{v}, identity: verify.WithCertificateIdentity(id)}, nil
}

// githubSubject is the subject of GitHub's OIDC tokens. Certificates carry the workflow
// there and repository and ref in extensions of their own.
var githubSubject = regexp.MustCompile(`^repo:([A-Za-z0-9-]+/[A-Za-z0-9._-]+):ref:(refs/[^\s*]+)$`)

const githubIssuer = "https://token.actions.githubusercontent.com"

func (s Signer) identity() (verify.CertificateIdentity, error) {
	if s.Issuer == "" || s.Subject == "" {
		return verify.CertificateIdentity{}, errors.New("a keyless signer needs issuer and subject")
	}
	m := githubSubject.FindStringSubmatch(s.Subject)
	if m == nil || s.Issuer != githubIssuer {
		return verify.NewShortCertificateIdentity(s.Issuer, "", s.Subject, "")
	}
	repository := "https://github.com/" + m[1]
	id, err := verify.NewShortCertificateIdentity(s.Issuer, "", "", "^"+regexp.QuoteMeta(repository+"/"))
	id.SourceRepositoryURI, id.SourceRepositoryRef = repository, m[2]
	return id, err
}

// signed reports whether the signer signed b's envelope, and the earliest time that a
// third party proves for it (zero for keys). It does not look at the statement: who said
// it comes first, what it says is read strictly afterwards, from the same bytes.
func (c checker) signed(b *bundle.Bundle) (time.Time, bool) {
	for _, v := range c.verifiers {
		result, err := v.Verify(b, verify.NewPolicy(verify.WithoutArtifactUnsafe(), c.identity))
		if err != nil {
			continue
		}
		var at time.Time
		for _, ts := range result.VerifiedTimestamps {
			if at.IsZero() || ts.Timestamp.Before(at) {
				at = ts.Timestamp.UTC()
			}
		}
		return at, true
	}
	return time.Time{}, false
}

// period says why the signer is not believed at now; "" when it is.
func (s Signer) period(now time.Time) string {
	switch {
	case s.From != nil && now.Before(*s.From):
		return "is believed only from " + s.From.UTC().Format(time.RFC3339)
	case s.Until != nil && !now.Before(*s.Until):
		return "is believed only until " + s.Until.UTC().Format(time.RFC3339)
	}
	return ""
}

// openBundle reads a bundle and the statement's bytes in it. Nothing of it is believed yet.
func openBundle(raw []byte) (*bundle.Bundle, []byte, error) {
	if !shallow(raw, maxDepth) {
		return nil, nil, fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, nil, errors.New("it is no Sigstore bundle")
	}
	env := b.GetDsseEnvelope()
	if env == nil || env.GetPayloadType() != PayloadMediaType {
		return nil, nil, errors.New("it carries no in-toto statement")
	}
	if n := len(env.GetSignatures()); n != 1 {
		return nil, nil, fmt.Errorf("it carries %d signatures, not one", n)
	}
	return b, env.GetPayload(), nil
}

// PredicateType reads the predicate type of a bundle's statement without verifying anything:
// good for labels, never for decisions. A bundle that cannot be read is an error.
func PredicateType(raw []byte) (string, error) {
	_, payload, err := openBundle(raw)
	if err != nil {
		return "", fmt.Errorf("read bundle: %w", err)
	}
	st, err := parseStatement(payload)
	if err != nil {
		return "", fmt.Errorf("read bundle: %w", err)
	}
	return st.predicateType, nil
}

// refAllowed reports whether ref is one of the allowed; a trailing * stands for any rest.
func refAllowed(allowed []string, ref string) bool {
	for _, a := range allowed {
		if prefix, open := strings.CutSuffix(a, "*"); open && strings.HasPrefix(ref, prefix) || a == ref {
			return true
		}
	}
	return false
}
