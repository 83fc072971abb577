package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
)

// minSecret is the shortest secret that a receiver may be given, in bytes.
const minSecret = 16

// proof judges whether a delivery comes from somebody who knows a secret. Its error is for
// what could not be judged, never for what was wrong.
type proof func(ctx context.Context, r Request, c Check) (bool, error)

// present drops empty secrets: an HMAC with an empty key is one that everybody can make.
// "whsec_" with nothing behind it is empty as well.
func present(secrets [][]byte) [][]byte {
	var out [][]byte
	for _, s := range secrets {
		if len(s) > 0 && string(s) != keyPrefix {
			out = append(out, s)
		}
	}
	return out
}

// one is the value of a header that stands there exactly once. Of two values a proxy and
// this server could each believe another, so they count as none.
func one(h http.Header, name string) (string, bool) {
	v := h.Values(name)
	if len(v) != 1 || v[0] == "" {
		return "", false
	}
	return v[0], true
}

// same compares without telling by its time where or how long the two differ.
func same(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// oneOf reports whether got is one of the secrets; all are compared.
func oneOf(got string, secrets [][]byte) bool {
	ok := false
	for _, s := range secrets {
		ok = same([]byte(got), s) || ok
	}
	return ok
}

// mac is a hex MAC of the body in a header, after prefix.
func mac(newHash func() hash.Hash, header, prefix string) proof {
	return func(_ context.Context, r Request, c Check) (bool, error) {
		v, _ := one(r.Header, header)
		v, ok := strings.CutPrefix(v, prefix)
		if !ok {
			return false, nil
		}
		return hexMAC(newHash, v, r.Body, c.Secrets), nil
	}
}

func hexMAC(newHash func() hash.Hash, text string, body []byte, secrets [][]byte) bool {
	got, err := hex.DecodeString(text)
	if err != nil || len(got) == 0 {
		return false
	}
	ok := false
	for _, s := range secrets {
		m := hmac.New(newHash, s)
		m.Write(body)
		ok = hmac.Equal(got, m.Sum(nil)) || ok
	}
	return ok
}

// macList is mac for a header that holds several values with commas between them, as during
// a rotation at the sender.
func macList(newHash func() hash.Hash, header, prefix string) proof {
	return func(_ context.Context, r Request, c Check) (bool, error) {
		v, _ := one(r.Header, header)
		ok := false
		for i, part := range strings.Split(v, ",") {
			if text, is := strings.CutPrefix(strings.TrimSpace(part), prefix); is && i < maxSignatures {
				ok = hexMAC(newHash, text, r.Body, c.Secrets) || ok
			}
		}
		return ok, nil
	}
}

// token is the secret itself in a header.
func token(header string) proof {
	return func(_ context.Context, r Request, c Check) (bool, error) {
		v, ok := one(r.Header, header)
		return ok && oneOf(v, c.Secrets), nil
	}
}

// credential is the secret in one of the ways in which senders let an administrator set it:
// "Authorization: Bearer SECRET", the password of basic authentication, or X-Api-Key.
func credential(_ context.Context, r Request, c Check) (bool, error) {
	if v, ok := one(r.Header, "Authorization"); ok {
		if _, password, basic := (&http.Request{Header: r.Header}).BasicAuth(); basic {
			return oneOf(password, c.Secrets), nil
		}
		v, bearer := cutScheme(v)
		return bearer && oneOf(v, c.Secrets), nil
	}
	v, ok := one(r.Header, "X-Api-Key")
	return ok && oneOf(v, c.Secrets), nil
}

// cutScheme takes "Bearer " off; the scheme's name has no case (RFC 9110, 11.1).
func cutScheme(v string) (string, bool) {
	const scheme = "bearer "
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return v, false
	}
	return v[len(scheme):], true
}

// inPath is the secret as the last part of the address.
func inPath(_ context.Context, r Request, c Check) (bool, error) {
	return r.Path != "" && oneOf(r.Path, c.Secrets), nil
}

// whenSent uses first where the header is there at all, and only otherwise the second: what
// is signed must be signed right, and no token beside it makes it good.
func whenSent(header string, first, otherwise proof) proof {
	return func(ctx context.Context, r Request, c Check) (bool, error) {
		if len(r.Header.Values(header)) > 0 {
			return first(ctx, r, c)
		}
		return otherwise(ctx, r, c)
	}
}

// either takes what one of two proofs takes.
func either(a, b proof) proof {
	return func(ctx context.Context, r Request, c Check) (bool, error) {
		if ok, err := a(ctx, r, c); ok || err != nil {
			return ok, err
		}
		return b(ctx, r, c)
	}
}
