package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/webhook"
)

var (
	now    = time.Unix(1614265330, 0).UTC()
	key    = []byte("0123456789abcdef0123456789abcdef")
	secret = []byte("whsec_" + base64.StdEncoding.EncodeToString(key))
	body   = []byte(`{"test": 2432232314}`)
)

func hexOf(h func() hash.Hash, secret, body []byte) string {
	m := hmac.New(h, secret)
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// standardSign is written from the specification, not from the code that it tests.
func standardSign(r *webhook.Request, id string, at time.Time, key []byte) {
	ts := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + ts + "." + string(r.Body)))
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", ts)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
}

// way is one way in which a sender proves itself.
type way struct {
	sender string
	signed bool   // the body is under the proof
	header string // that carries it; empty for the path
	sign   func(r *webhook.Request, secret []byte)
}

func header(name, prefix string, h func() hash.Hash) func(*webhook.Request, []byte) {
	return func(r *webhook.Request, secret []byte) {
		r.Header.Set(name, prefix+hexOf(h, secret, r.Body))
	}
}

func text(name, prefix string) func(*webhook.Request, []byte) {
	return func(r *webhook.Request, secret []byte) { r.Header.Set(name, prefix+string(secret)) }
}

func basic(r *webhook.Request, secret []byte) {
	q := &http.Request{Header: r.Header}
	q.SetBasicAuth("drawbridge", string(secret))
}

func inPath(r *webhook.Request, secret []byte) { r.Path = string(secret) }

func inStandard(r *webhook.Request, secret []byte) {
	k, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(secret), "whsec_"))
	if err != nil {
		k = secret
	}
	standardSign(r, "msg_1", now, k)
}

func ways() []way {
	s256 := sha256.New
	out := []way{
		{"github", true, "X-Hub-Signature-256", header("X-Hub-Signature-256", "sha256=", s256)},
		{"gitlab", true, "Webhook-Signature", inStandard},
		{"gitlab", false, "X-Gitlab-Token", text("X-Gitlab-Token", "")},
		{"gitea", true, "X-Gitea-Signature", header("X-Gitea-Signature", "", s256)},
		{"forgejo", true, "X-Forgejo-Signature", header("X-Forgejo-Signature", "", s256)},
		{"forgejo", true, "X-Gitea-Signature", header("X-Gitea-Signature", "", s256)},
		{"bitbucket", true, "X-Hub-Signature", header("X-Hub-Signature", "sha256=", s256)},
		{"jira", true, "X-Hub-Signature", header("X-Hub-Signature", "sha256=", s256)},
		{"nexus", true, "X-Nexus-Webhook-Signature", header("X-Nexus-Webhook-Signature", "", sha1.New)},
		{"artifactory", true, "X-Jfrog-Event-Auth", header("X-JFrog-Event-Auth", "", s256)},
		{"artifactory", false, "X-Jfrog-Event-Auth", text("X-JFrog-Event-Auth", "")},
		{"pagerduty", true, "X-Pagerduty-Signature", header("X-PagerDuty-Signature", "v1=", s256)},
		{"standard", true, "Webhook-Signature", inStandard},
		{"cloudevents", true, "Webhook-Signature", inStandard},
		{"generic", true, "X-Signature-256", header("X-Signature-256", "sha256=", s256)},
		{"servicenow", true, "X-Signature-256", header("X-Signature-256", "sha256=", s256)},
		{"harbor", false, "Authorization", text("Authorization", "")},
		{"dockerhub", false, "", inPath},
		{"quay", false, "", inPath},
		{"acr", false, "", inPath},
	}
	for _, s := range []string{"harbor", "ecr", "acr", "distribution", "jira", "servicenow", "alertmanager", "generic", "cloudevents"} {
		out = append(
			out,
			way{s, false, "Authorization", text("Authorization", "Bearer ")},
			way{s, false, "Authorization", text("Authorization", "bearer ")},
			way{s, false, "Authorization", basic},
			way{s, false, "X-Api-Key", text("X-Api-Key", "")},
		)
	}
	return out
}

func (w way) request(secret []byte) webhook.Request {
	r := webhook.Request{Header: http.Header{}, Body: append([]byte{}, body...)}
	w.sign(&r, secret)
	return r
}

func find(t testing.TB, name string) webhook.Sender {
	t.Helper()
	s, err := webhook.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAuthenticate(t *testing.T) {
	other := []byte("whsec_" + base64.StdEncoding.EncodeToString([]byte("another key of thirty-two bytes!")))
	for _, w := range ways() {
		t.Run(w.sender+" "+w.header, func(t *testing.T) {
			s := find(t, w.sender)
			good := webhook.Check{Secrets: [][]byte{secret}, Now: now}
			accepted := func(r webhook.Request, c webhook.Check) {
				t.Helper()
				if err := s.Authenticate(t.Context(), r, c); err != nil {
					t.Error(err)
				}
			}
			var said string
			refused := func(why string, r webhook.Request, c webhook.Check) {
				t.Helper()
				err := s.Authenticate(t.Context(), r, c)
				if !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("%s: %v", why, err)
					return
				}
				if all := err.Error() + fault.As(err).Hint; said != "" && said != all {
					t.Errorf("%s is told apart: %q", why, all)
				} else {
					said = all
				}
			}
			r := w.request(secret)
			accepted(r, good)
			accepted(r, webhook.Check{Secrets: [][]byte{nil, other, secret}, Now: now}) // a rotation
			refused("wrong secret", w.request(other), good)
			refused("no secret at the receiver", r, webhook.Check{Now: now})
			for _, empty := range [][]byte{nil, {}, []byte("whsec_")} {
				refused("empty secret", w.request(empty), webhook.Check{Secrets: [][]byte{empty}, Now: now})
				refused("empty secret, nothing sent", webhook.Request{Header: http.Header{}, Body: body}, webhook.Check{Secrets: [][]byte{empty}, Now: now})
			}
			refused("nothing sent", webhook.Request{Header: http.Header{}, Body: body}, good)
			refused("nothing at all", webhook.Request{}, good)
			if w.signed {
				changed := w.request(secret)
				changed.Body[0] = ' '
				refused("changed body", changed, good)
				longer := w.request(secret)
				longer.Body = append(longer.Body, '\n')
				refused("longer body", longer, good)
			}
			w.mangle(refused, good)
		})
	}
}

// mangle tries what a careless or hostile sender makes of the header.
func (w way) mangle(refused func(string, webhook.Request, webhook.Check), c webhook.Check) {
	if w.header == "" {
		r := w.request(secret)
		r.Path += "/"
		refused("longer path", r, c)
		r.Path = r.Path[:len(r.Path)-2]
		refused("shorter path", r, c)
		return
	}
	v := w.request(secret).Header.Get(w.header)
	for why, values := range map[string][]string{
		"removed": {}, "empty": {""}, "truncated": {v[:len(v)-1]}, "cut by a byte": {v[:len(v)-2]}, "longer": {v + "00"},
		"twice": {v, v}, "an empty one first": {"", v}, "no prefix": {"sha1=" + v}, "no hex": {strings.Repeat("z", len(v))},
		"prefix alone": {"sha256="}, "version alone": {"v1,"}, "scheme alone": {"Bearer "}, "NUL behind": {v + "\x00"},
	} {
		r := w.request(secret)
		r.Header[w.header] = values
		refused(why, r, c)
	}
}

// GitHub, validating webhook deliveries: secret, payload and signature of its documentation.
func TestGitHubVector(t *testing.T) {
	r := webhook.Request{Header: http.Header{}, Body: []byte("Hello, World!")}
	r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	c := webhook.Check{Secrets: [][]byte{[]byte("It's a Secret to Everybody")}}
	if err := find(t, "github").Authenticate(t.Context(), r, c); err != nil {
		t.Error(err)
	}
	r.Header.Del("X-Hub-Signature-256")
	r.Header.Set("X-Hub-Signature", "sha1="+hexOf(sha1.New, c.Secrets[0], r.Body))
	if err := find(t, "github").Authenticate(t.Context(), r, c); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("SHA-1 alone: %v", err)
	}
}

// Standard Webhooks: the vector of the reference libraries.
func TestStandardVector(t *testing.T) {
	vector := func() webhook.Request {
		r := webhook.Request{Header: http.Header{}, Body: body}
		r.Header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
		r.Header.Set("webhook-timestamp", "1614265330")
		r.Header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
		return r
	}
	s := find(t, "standard")
	for _, key := range []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		for name, c := range map[string]struct {
			change func(r *webhook.Request)
			at     time.Time
			window time.Duration
			ok     bool
		}{
			"as it is":           {at: now, ok: true},
			"at the edge":        {at: now.Add(5 * time.Minute), ok: true},
			"at the other":       {at: now.Add(-5 * time.Minute), ok: true},
			"too old":            {at: now.Add(5*time.Minute + time.Second)},
			"from the future":    {at: now.Add(-5*time.Minute - time.Second)},
			"old, wide window":   {at: now.Add(time.Hour), window: time.Hour, ok: true},
			"old, narrow window": {at: now.Add(time.Minute), window: time.Second},
			"no clock":           {},
			"among others": {at: now, ok: true, change: func(r *webhook.Request) {
				r.Header.Set("webhook-signature", "v1a,x v2,y v1,AAAA "+r.Header.Get("webhook-signature"))
			}},
			"behind too many": {at: now, change: func(r *webhook.Request) {
				r.Header.Set("webhook-signature", strings.Repeat("v1,AAAA ", 1000)+r.Header.Get("webhook-signature"))
			}},
			"other id":        {at: now, change: func(r *webhook.Request) { r.Header.Set("webhook-id", "msg_2") }},
			"no id":           {at: now, change: func(r *webhook.Request) { r.Header.Del("webhook-id") }},
			"other time":      {at: now, change: func(r *webhook.Request) { r.Header.Set("webhook-timestamp", "1614265331") }},
			"no time":         {at: now, change: func(r *webhook.Request) { r.Header.Del("webhook-timestamp") }},
			"time as written": {at: now, change: func(r *webhook.Request) { r.Header.Set("webhook-timestamp", "01614265330") }},
			"huge time":       {at: now, change: func(r *webhook.Request) { r.Header.Set("webhook-timestamp", "9223372036854775807") }},
			"other version": {at: now, change: func(r *webhook.Request) {
				r.Header.Set("webhook-signature", strings.Replace(r.Header.Get("webhook-signature"), "v1,", "v2,", 1))
			}},
			// id and time are separated by dots: what is moved from one to the other must not fit
			"shifted": {at: now, change: func(r *webhook.Request) {
				r.Header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330")
			}},
		} {
			r := vector()
			if c.change != nil {
				c.change(&r)
			}
			err := s.Authenticate(t.Context(), r, webhook.Check{Secrets: [][]byte{[]byte(key)}, Now: c.at, Window: c.window})
			if c.ok && err != nil || !c.ok && !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What is signed wrongly is not saved by a right token beside it.
func TestNoWayAroundSignature(t *testing.T) {
	c := webhook.Check{Secrets: [][]byte{secret}, Now: now}
	for sender, signature := range map[string]string{
		"gitlab": "Webhook-Signature", "generic": "X-Signature-256", "jira": "X-Hub-Signature", "forgejo": "X-Forgejo-Signature", "cloudevents": "Webhook-Signature",
	} {
		for _, w := range ways() {
			if w.sender != sender || w.header == signature {
				continue
			}
			for _, wrong := range []string{"", "v1,AAAA", "sha256=00"} {
				r := w.request(secret)
				r.Header.Set(signature, wrong)
				if err := find(t, sender).Authenticate(t.Context(), r, c); !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("%s with %s and %s %q: %v", sender, w.header, signature, wrong, err)
				}
			}
		}
	}
}

func TestPagerDutyRotation(t *testing.T) {
	s, c := find(t, "pagerduty"), webhook.Check{Secrets: [][]byte{secret}, Now: now}
	good := "v1=" + hexOf(sha256.New, secret, body)
	for value, ok := range map[string]bool{
		"v1=00," + good: true, good + ", v1=00": true, "v2=x," + good: true,
		strings.Repeat("v1=00,", 1000) + good: false, good[3:]: false, "v2=" + good[3:]: false, ",": false,
	} {
		r := webhook.Request{Header: http.Header{"X-Pagerduty-Signature": {value}}, Body: body}
		if err := s.Authenticate(t.Context(), r, c); (err == nil) != ok {
			t.Errorf("%.80q: %v", value, err)
		}
	}
}

// tokens is a TokenVerifier whose one good token is "good".
type tokens struct {
	claims map[string]any
	err    error
}

func (v tokens) VerifyToken(_ context.Context, raw string) (map[string]any, error) {
	if v.err != nil {
		return nil, v.err
	}
	if raw != "good" {
		return nil, errors.New("bad token")
	}
	return v.claims, nil
}

func TestGoogleToken(t *testing.T) {
	claims := func(change ...any) map[string]any {
		m := map[string]any{"iss": "https://accounts.google.com", "aud": "https://bridge.example.com", "email": "push@p.iam.gserviceaccount.com", "email_verified": true}
		for i := 0; i < len(change); i += 2 {
			m[change[i].(string)] = change[i+1] //nolint:errcheck // the table's own keys
		}
		return m
	}
	check := webhook.Check{Audience: "https://bridge.example.com", Email: "push@p.iam.gserviceaccount.com", Now: now}
	with := func(claims map[string]any) webhook.Check {
		c := check
		c.Tokens = tokens{claims: claims}
		return c
	}
	for name, c := range map[string]struct {
		check  webhook.Check
		header string
		ok     bool
	}{
		"good":                 {check: with(claims()), header: "Bearer good", ok: true},
		"audience in a list":   {check: with(claims("aud", []any{"https://bridge.example.com"})), header: "Bearer good", ok: true},
		"many audiences":       {check: with(claims("aud", []any{"https://bridge.example.com", "x"})), header: "Bearer good"},
		"other audience":       {check: with(claims("aud", "https://other.example.com")), header: "Bearer good"},
		"other account":        {check: with(claims("email", "evil@q.iam.gserviceaccount.com")), header: "Bearer good"},
		"unverified":           {check: with(claims("email_verified", false)), header: "Bearer good"},
		"verified, as a text":  {check: with(claims("email_verified", "true")), header: "Bearer good"},
		"other issuer":         {check: with(claims("iss", "https://evil.example.com")), header: "Bearer good"},
		"no claims":            {check: with(nil), header: "Bearer good"},
		"bad token":            {check: with(claims()), header: "Bearer bad"},
		"no scheme":            {check: with(claims()), header: "good"},
		"no token":             {check: with(claims())},
		"no verifier":          {check: check, header: "Bearer good"},
		"audience left open":   {check: webhook.Check{Tokens: tokens{claims: claims("aud", "")}, Email: check.Email}, header: "Bearer good"},
		"account left open":    {check: webhook.Check{Tokens: tokens{claims: claims("email", "")}, Audience: check.Audience}, header: "Bearer good"},
		"a secret is no token": {check: webhook.Check{Secrets: [][]byte{[]byte("good")}}, header: "Bearer good"},
	} {
		r := webhook.Request{Header: http.Header{}, Body: body}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		err := find(t, "gar").Authenticate(t.Context(), r, c.check)
		if c.ok && err != nil || !c.ok && !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	down := check
	down.Tokens = tokens{err: fault.New(fault.Unavailable, "no keys")}
	r := webhook.Request{Header: http.Header{"Authorization": {"Bearer good"}}}
	if err := find(t, "gar").Authenticate(t.Context(), r, down); !fault.Is(err, fault.Unavailable) {
		t.Errorf("keys out of reach: %v", err)
	}
}

// No sender takes a delivery that shows nothing, whatever its receiver was given.
func TestNothingPassesEmpty(t *testing.T) {
	covered := map[string]bool{"gar": true}
	for _, w := range ways() {
		covered[w.sender] = true
	}
	for _, s := range webhook.Senders() {
		if !covered[s.Name] {
			t.Errorf("no way of %s is tested", s.Name)
		}
		for _, secrets := range [][][]byte{nil, {}, {nil}, {{}}, {secret}, {[]byte("whsec_")}} {
			for _, tv := range []webhook.TokenVerifier{nil, tokens{claims: map[string]any{}}} {
				err := s.Authenticate(t.Context(), webhook.Request{}, webhook.Check{Secrets: secrets, Now: now, Tokens: tv})
				if !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("%s with %q: %v", s.Name, secrets, err)
				}
			}
		}
	}
}

func TestCheckSecret(t *testing.T) {
	for _, s := range webhook.Senders() {
		good := "0123456789abcdef0123456789abcdef"
		if err := s.CheckSecret([]byte(good)); err != nil {
			t.Errorf("%s refuses %q: %v", s.Name, good, err)
		}
		for _, bad := range []string{"", "short", "whsec_"} {
			if err := s.CheckSecret([]byte(bad)); !fault.Is(err, fault.Invalid) && (s.Secret != webhook.SecretToken || bad != "") {
				t.Errorf("%s takes %q: %v", s.Name, bad, err)
			}
		}
		if err := s.CheckSecret([]byte("no base64: äöü, and no part/of?an address")); (err != nil) != (s.Secret == webhook.SecretKey || s.Secret == webhook.SecretPath) {
			t.Errorf("%s (%s): %v", s.Name, s.Secret, err)
		}
	}
}
