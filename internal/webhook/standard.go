package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, https://www.standardwebhooks.com/.
const (
	standardID        = "Webhook-Id"
	standardTime      = "Webhook-Timestamp"
	standardSignature = "Webhook-Signature"
)

// keyPrefix marks a secret that is a key in base64.
const keyPrefix = "whsec_"

// maxSignatures is how many values of one signature header are looked at.
const maxSignatures = 10

// standard is the proof of Standard Webhooks: HMAC-SHA256 over "id.time.body" in base64 after
// "v1,"; several may stand there with spaces between them. The time must lie in the window.
func standard(_ context.Context, r Request, c Check) (bool, error) {
	id, hasID := one(r.Header, standardID)
	at, hasTime := one(r.Header, standardTime)
	list, hasSignature := one(r.Header, standardSignature)
	if !hasID || !hasTime || !hasSignature || !inWindow(at, c) {
		return false, nil
	}
	ok := false
	for i, part := range strings.Fields(list) {
		text, v1 := strings.CutPrefix(part, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if !v1 || err != nil || i >= maxSignatures {
			continue
		}
		for _, s := range c.Secrets {
			if key := standardKey(s); key != nil {
				ok = hmac.Equal(got, standardMAC(key, id, at, r.Body)) || ok
			}
		}
	}
	return ok, nil
}

// inWindow reports whether at, in seconds since 1970, lies in c's window.
func inWindow(at string, c Check) bool {
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return false
	}
	sent := time.Unix(seconds, 0)
	return !sent.Before(c.Now.Add(-c.Window)) && !sent.After(c.Now.Add(c.Window))
}

// standardMAC is the MAC of a delivery.
func standardMAC(key []byte, id, at string, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + at + "."))
	m.Write(body)
	return m.Sum(nil)
}

// standardKey is the key that a secret holds: base64, with or without "whsec_" before it; nil
// for one that holds none.
func standardKey(secret []byte) []byte {
	text := strings.TrimPrefix(string(secret), keyPrefix)
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := e.DecodeString(text); err == nil && len(key) > 0 {
			return key
		}
	}
	return nil
}
