package identity

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"drawbridge/internal/fault"
)

// MaxIDToken is the longest identity token that is looked at, in bytes.
const MaxIDToken = 16 << 10

// leeway is how far an issuer's clock may be from ours.
const leeway = 60 * time.Second

// algorithms are those whose signatures prove something: "none" and those of shared secrets are
// not among them.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// signing reports whether k is a public key that signatures may be checked with.
func signing(k jose.JSONWebKey) bool {
	if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return false
	}
	if r, ok := k.Key.(*rsa.PublicKey); ok {
		return r.N.BitLen() >= minRSABits
	}
	return true
}

// idToken is an identity token that is parsed and not yet believed.
type idToken struct {
	jws    *jose.JSONWebSignature
	issuer string
}

// parseIDToken reads a JSON Web Token (RFC 7519, compact form). What it says is only good for
// choosing whom to ask.
func parseIDToken(raw string) (idToken, error) {
	if len(raw) > MaxIDToken {
		return idToken{}, fault.New(fault.TooLarge, "an identity token has at most %d bytes, not %d", MaxIDToken, len(raw))
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return idToken{}, unproven("the identity token is no signed JSON Web Token, or its algorithm is not allowed")
	}
	claims, err := claimsOf(jws.UnsafePayloadWithoutVerification())
	issuer, _ := claims["iss"].(string)
	if err != nil || !printableText(issuer) {
		return idToken{}, unproven("the identity token names no issuer")
	}
	return idToken{jws, issuer}, nil
}

func claimsOf(payload []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the claims")
	}
	return claims, nil
}

// verify returns the claims of t once a key of its issuer, who is one that a person named,
// has proven them and they hold now.
func (s *Issuers) verify(ctx context.Context, t idToken) (map[string]any, error) {
	for _, again := range []bool{false, true} { // again: the issuer may have a new key
		keys, err := s.keys(ctx, t.issuer, again)
		if err != nil {
			return nil, err
		}
		payload, ok := t.payload(keys)
		if !ok {
			continue
		}
		claims, err := claimsOf(payload)
		if err != nil {
			return nil, unproven("the identity token's claims are malformed")
		}
		return claims, holds(claims, s.now())
	}
	return nil, unproven("the identity token is not signed with a key of its issuer")
}

// payload is what one of keys has signed.
func (t idToken) payload(keys []jose.JSONWebKey) ([]byte, bool) {
	h := t.jws.Signatures[0].Protected
	for _, k := range keys {
		if h.KeyID != "" && h.KeyID != k.KeyID || k.Algorithm != "" && k.Algorithm != h.Algorithm {
			continue
		}
		if payload, err := t.jws.Verify(k.Key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// holds is nil when now lies within the times of claims.
func holds(claims map[string]any, now time.Time) error {
	expires, ok := moment(claims["exp"])
	if !ok {
		return unproven("the identity token does not say when it ends")
	}
	if !now.Before(expires.Add(leeway)) {
		return unproven("the identity token has expired")
	}
	for _, name := range []string{"nbf", "iat"} {
		if claims[name] == nil {
			continue
		}
		if from, ok := moment(claims[name]); !ok || now.Before(from.Add(-leeway)) {
			return unproven("the identity token is not valid yet: compare the clocks")
		}
	}
	return nil
}

// moment reads a NumericDate: seconds since 1970, at most some thousand years of them.
func moment(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f <= 0 || f > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

func unproven(why string) *fault.Error {
	return fault.New(fault.Unauthenticated, "%s", why).WithHint("ask the CI for a new identity token for this server, and look at the rule of kind Workload")
}

// TokenVerifier checks the identity tokens of one issuer for one audience, for example those
// with which Google signs what Pub/Sub pushes. It is safe for concurrent use.
type TokenVerifier struct {
	issuers          *Issuers
	issuer, audience string
}

// NewVerifier returns a verifier; client may be nil, now is the clock. An issuer that is no
// https URL (http on a loopback address) and an empty audience are faults of kind Invalid.
func NewVerifier(issuer, audience string, client *http.Client, now func() time.Time) (*TokenVerifier, error) {
	if err := checkIssuer(issuer); err != nil {
		return nil, err
	}
	if audience == "" {
		return nil, fault.New(fault.Invalid, "is empty").WithField("audience").WithHint("write the aud that the tokens have")
	}
	return &TokenVerifier{issuers: NewIssuers(client, now), issuer: issuer, audience: audience}, nil
}

// VerifyToken returns the claims of raw, numbers among them as json.Number. Another issuer
// or audience, a wrong signature and a time outside its life (by more than a minute) are
// faults of kind Unauthenticated, a token over MaxIDToken is one of kind TooLarge; an issuer
// that does not answer is one of kind Unavailable, one that answers nonsense of kind Refused.
func (v *TokenVerifier) VerifyToken(ctx context.Context, raw string) (map[string]any, error) {
	t, err := parseIDToken(raw)
	if err != nil {
		return nil, err
	}
	if t.issuer != v.issuer {
		return nil, unproven("the token is not of the issuer " + v.issuer)
	}
	claims, err := v.issuers.verify(ctx, t)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(audiences(claims), v.audience) {
		return nil, unproven("the token is not for the audience " + v.audience)
	}
	return claims, nil
}
