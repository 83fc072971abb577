package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
)

const (
	server  = "https://bridge.example.com"
	subject = "repo:acme/shop:ref:refs/heads/main"
)

// rules are the rules of a test.
type rules []identity.Workload

func (r rules) Workloads(context.Context) ([]identity.Workload, error) { return r, nil }

// office is an exchange with an issuer.
type office struct {
	*identity.Exchange
	issuer *identitytest.Issuer
	clock  *clock
	tokens *identity.Tokens
	rule   identity.Workload
}

func newOffice(t *testing.T, change ...func(*identity.Workload)) *office {
	t.Helper()
	tokens, clock := open(t)
	o := &office{issuer: identitytest.NewIssuer(t), clock: clock, tokens: tokens}
	w := identity.Workload{Name: "github", Issuer: o.issuer.URL, Subject: "repo:acme/*:ref:refs/heads/main", Applications: []string{"shop"}}
	for _, c := range change {
		c(&w)
	}
	o.rule = w
	o.Exchange = &identity.Exchange{
		Rules: rules{w}, Issuers: identity.NewIssuers(nil, func() time.Time { return clock.now }), Tokens: tokens, Audience: server,
	}
	return o
}

// claims are good ones, with changes; a nil value takes a claim away.
func (o *office) claims(changes map[string]any) map[string]any {
	now := o.clock.now.Unix()
	c := map[string]any{"sub": subject, "aud": server, "iat": now, "nbf": now, "exp": now + 300, "repository_owner_id": 42, "fork": false, "ref": "refs/heads/main"}
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// refused wants a fault that leaks nothing of the token.
func refused(t *testing.T, o *office, name, raw string, kind fault.Kind, text string) {
	t.Helper()
	_, secret, err := o.Exchange.Exchange(t.Context(), raw, "shop")
	if !fault.Is(err, kind) || secret != "" || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %s with %q", name, err, kind, text)
	}
	if err != nil && len(raw) > 20 && strings.Contains(fmt.Sprint(err, fault.As(err)), raw[len(raw)-20:]) {
		t.Errorf("%s: the error shows the token: %v", name, err)
	}
	list, err := o.tokens.List(t.Context(), 0, 0)
	if err != nil || len(list) != 0 {
		t.Errorf("%s: tokens %v, %v", name, list, err)
	}
}

func TestExchange(t *testing.T) {
	o := newOffice(t)
	raw := o.issuer.Sign(t, o.claims(nil))
	for i := range 2 { // a CI repeats its steps
		got, secret, err := o.Exchange.Exchange(t.Context(), raw, "shop")
		if err != nil {
			t.Fatal(err)
		}
		now := o.clock.now.Truncate(time.Millisecond)
		want := identity.Token{
			ID: int64(i) + 1, Name: "workload:github", Role: identity.Events, Created: now, Expires: now.Add(10 * time.Minute), By: "workload:github",
			LastFour: secret[len(secret)-4:], Applications: []string{"shop"}, Subject: subject,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if v, err := o.tokens.Verify(t.Context(), secret); err != nil || !cmp.Equal(v, got) {
			t.Errorf("Verify = %v, %v", v, err)
		}
	}
	if n := o.issuer.Fetches(identitytest.KeysPath); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	_, secret, err := o.Exchange.Exchange(t.Context(), raw, "") // the rule names one application
	if err != nil {
		t.Fatal(err)
	}
	o.clock.now = o.clock.now.Add(10 * time.Minute)
	if _, err := o.tokens.Verify(t.Context(), secret); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after ten minutes: %v", err)
	}
}

// The token of a workload may post events and nothing else.
func TestExchangedTokenOnlyPostsEvents(t *testing.T) {
	o := newOffice(t)
	got, _, err := o.Exchange.Exchange(t.Context(), o.issuer.Sign(t, o.claims(nil)), "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range identity.Actions() {
		if may := got.May(a); may != (a == identity.PostEvents) {
			t.Errorf("it may %s: %v", a, may)
		}
	}
}

func TestExchangeTakes(t *testing.T) {
	type changes = map[string]any
	for name, test := range map[string]struct {
		claims changes
		rule   func(*identity.Workload)
	}{
		"aud in a list":       {changes{"aud": []string{"other", server}}, nil},
		"aud of the rule":     {changes{"aud": "bridge"}, func(w *identity.Workload) { w.Audience = "bridge" }},
		"expired in leeway":   {changes{"exp": time.Date(2026, 1, 2, 3, 3, 10, 0, time.UTC).Unix()}, nil},
		"ahead in leeway":     {changes{"nbf": time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC).Unix(), "iat": time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC).Unix()}, nil},
		"fraction of seconds": {changes{"exp": 1.9e9 + 0.5}, nil},
		"no nbf, no iat":      {changes{"nbf": nil, "iat": nil}, nil},
		"claims": {nil, func(w *identity.Workload) {
			w.Claims = map[string]string{"repository_owner_id": "42", "fork": "false", "ref": "refs/heads/*"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, func(w *identity.Workload) {
				if test.rule != nil {
					test.rule(w)
				}
			})
			if _, _, err := o.Exchange.Exchange(t.Context(), o.issuer.Sign(t, o.claims(test.claims)), "shop"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExchangeRefusesClaims(t *testing.T) {
	type changes = map[string]any
	o := newOffice(t, func(w *identity.Workload) { w.Claims = map[string]string{"ref": "refs/heads/main"} })
	at := func(d time.Duration) int64 { return o.clock.now.Add(d).Unix() }
	for name, test := range map[string]struct {
		claims changes
		text   string
	}{
		"expired":            {changes{"exp": at(-61 * time.Second)}, "expired"},
		"no end":             {changes{"exp": nil}, "when it ends"},
		"end in text":        {changes{"exp": fmt.Sprint(at(time.Hour))}, "when it ends"},
		"end beyond numbers": {changes{"exp": 1e300}, "when it ends"},
		"negative end":       {changes{"exp": -1}, "when it ends"},
		"nbf ahead":          {changes{"nbf": at(62 * time.Second)}, "not valid yet"},
		"iat ahead":          {changes{"iat": at(62 * time.Second)}, "not valid yet"},
		"nbf in text":        {changes{"nbf": "0"}, "not valid yet"},
		"wrong aud":          {changes{"aud": "https://other.example.com"}, `rule github expects the audience "` + server + `"`},
		"aud is longer":      {changes{"aud": server + "/"}, "audience"},
		"no aud":             {changes{"aud": nil}, "audience"},
		"empty aud":          {changes{"aud": ""}, "audience"},
		"aud list without":   {changes{"aud": []any{"a", 1, nil, []string{server}}}, "audience"},
		"aud is an object":   {changes{"aud": changes{"a": server}}, "audience"},
		"another repository": {changes{"sub": "repo:acme/evil/x:ref:refs/heads/main"}, `rule github expects a subject like "repo:acme/*:ref:refs/heads/main"`},
		"another owner":      {changes{"sub": "repo:acme2/x:ref:refs/heads/main"}, "subject"},
		"pull request":       {changes{"sub": "repo:acme/shop:pull_request"}, "subject"},
		"no sub":             {changes{"sub": nil}, "subject"},
		"sub is a list":      {changes{"sub": []string{subject}}, "subject"},
		"line in sub":        {changes{"sub": "repo:acme/x\ny:ref:refs/heads/main"}, "subject"},
		"NUL in sub":         {changes{"sub": "repo:acme/x\x00y:ref:refs/heads/main"}, "subject"},
		"huge sub":           {changes{"sub": "repo:acme/" + strings.Repeat("x", 600) + ":ref:refs/heads/main"}, "subject"},
		"another claim":      {changes{"ref": "refs/heads/evil"}, `rule github expects the claim ref like "refs/heads/main"`},
		"no such claim":      {changes{"ref": nil, "REF": "refs/heads/main"}, "claim ref"},
		"claim is a list":    {changes{"ref": []string{"refs/heads/main"}}, "claim ref"},
		"claim is null":      {changes{"ref": json.RawMessage("null")}, "claim ref"},
	} {
		refused(t, o, name, o.issuer.Sign(t, o.claims(test.claims)), fault.Unauthenticated, test.text)
	}
}

func TestExchangeRefusesSignatures(t *testing.T) {
	o := newOffice(t)
	good := o.claims(nil)
	good["iss"] = o.issuer.URL
	key, id := o.issuer.Key()
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	es := func(k jose.JSONWebKey) string {
		return identitytest.Signed(t, jose.SigningKey{Algorithm: jose.ES256, Key: k}, good)
	}
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: another}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := embedded.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	withKey, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	raw := o.issuer.Sign(t, good)
	parts := strings.Split(raw, ".")
	evil := maps.Clone(good)
	evil["sub"] = "repo:acme/evil:ref:refs/heads/main"
	for name, forged := range map[string]string{
		"alg none":                    part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + part(good) + ".",
		"alg None":                    part(map[string]string{"alg": "None"}) + "." + part(good) + ".",
		"no alg":                      part(map[string]string{"typ": "JWT"}) + "." + part(good) + "." + parts[2],
		"alg none with the signature": part(map[string]string{"alg": "none"}) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":   identitytest.Signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: text, KeyID: id}}, good),
		"HS256 with its DER":          identitytest.Signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: public, KeyID: id}}, good),
		"another's key":               es(jose.JSONWebKey{Key: another}),
		"another's key, the same kid": es(jose.JSONWebKey{Key: another, KeyID: id}),
		"wrong kid":                   es(jose.JSONWebKey{Key: key, KeyID: "key-99"}),
		"key in the header":           withKey,
		"other claims":                parts[0] + "." + part(evil) + "." + parts[2],
		"no signature":                parts[0] + "." + parts[1] + ".",
		"two parts":                   parts[0] + "." + parts[1],
		"crit":                        part(map[string]any{"alg": "ES256", "kid": id, "crit": []string{"x"}, "x": 1}) + "." + parts[1] + "." + parts[2],
		"b64":                         part(map[string]any{"alg": "ES256", "kid": id, "crit": []string{"b64"}, "b64": false}) + "." + parts[1] + "." + parts[2],
		"JSON form":                   `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"JWE":                         raw + ".x.y",
		"empty":                       "",
		"text":                        "hello",
		"claims are a list":           parts[0] + "." + part([]string{"iss"}) + "." + parts[2],
		"two documents":               parts[0] + "." + base64.RawURLEncoding.EncodeToString(append(payload, payload...)) + "." + parts[2],
	} {
		refused(t, o, name, forged, fault.Unauthenticated, "")
	}
	refused(t, o, "huge", raw+strings.Repeat("A", identity.MaxIDToken), fault.TooLarge, "at most")
	if _, _, err := o.Exchange.Exchange(t.Context(), raw, "shop"); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// Forged tokens do not make us ask the issuer each time.
func TestForgedTokensFetchNothing(t *testing.T) {
	o := newOffice(t)
	forger := identitytest.NewIssuer(t)
	claims := o.claims(map[string]any{"iss": o.issuer.URL})
	for range 20 {
		refused(t, o, "forged", forger.Sign(t, claims), fault.Unauthenticated, "not signed with a key of its issuer")
	}
	if n := o.issuer.Fetches(identitytest.KeysPath); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	own := o.claims(nil)
	refused(t, o, "an issuer that no rule names", forger.Sign(t, own), fault.Unauthenticated, "no rule names the issuer")
	if n := forger.Fetches(identitytest.DiscoveryPath); n != 0 {
		t.Errorf("an issuer that no rule names was asked %d times", n)
	}
}

func TestKeyRotation(t *testing.T) {
	o := newOffice(t)
	take := func(raw string) error {
		_, _, err := o.Exchange.Exchange(t.Context(), raw, "shop")
		return err
	}
	old := o.issuer.Sign(t, o.claims(map[string]any{"exp": o.clock.now.Add(time.Hour).Unix()}))
	if err := take(old); err != nil {
		t.Fatal(err)
	}
	o.issuer.Rotate(t)
	fresh := o.issuer.Sign(t, o.claims(map[string]any{"exp": o.clock.now.Add(time.Hour).Unix()}))
	if err := take(fresh); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a moment after a fetch: %v", err)
	}
	o.clock.now = o.clock.now.Add(11 * time.Second)
	if err := take(fresh); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := take(old); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the key that was withdrawn: %v", err)
	}
	o.issuer.Rotate(t)
	o.clock.now = o.clock.now.Add(11 * time.Minute)
	if err := take(fresh); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("keys are believed for ever: %v", err)
	}
}

// Every rule of an issuer is asked, and no rule of another.
func TestRules(t *testing.T) {
	o := newOffice(t)
	other := identitytest.NewIssuer(t)
	mine := o.rule
	main, all, foreign, broken := mine, mine, mine, mine
	main.Applications = []string{"shop", "till"}
	all.Name, all.Subject, all.Applications = "all", "repo:acme/*:*", []string{"docs", "till"}
	foreign.Name, foreign.Issuer, foreign.Applications = "foreign", other.URL, []string{"bank"}
	broken.Name, broken.Subject, broken.Applications = "broken", "*:*/*:*:*/*/*", []string{"bank"}
	o.Rules = rules{foreign, broken, main, all}
	for _, test := range []struct {
		issuer            *identitytest.Issuer
		sub, app, name    string
		kind              fault.Kind
		text, application string
	}{
		{o.issuer, subject, "shop", "workload:github", "", "", "shop"},
		{o.issuer, subject, "till", "workload:github", "", "", "till"},
		{o.issuer, "repo:acme/shop:pull_request", "till", "workload:all", "", "", "till"},
		{o.issuer, "repo:acme/shop:pull_request", "shop", "", fault.Forbidden, `docs, till, not for "shop"`, ""},
		{o.issuer, subject, "bank", "", fault.Forbidden, `not for "bank"`, ""},
		{o.issuer, subject, "", "", fault.Invalid, "name one", ""},
		{o.issuer, "repo:evil/shop:pull_request", "shop", "", fault.Unauthenticated, "rule github expects", ""},
		{other, subject, "bank", "workload:foreign", "", "", "bank"},
		{other, subject, "shop", "", fault.Forbidden, `bank, not for "shop"`, ""},
	} {
		got, _, err := o.Exchange.Exchange(t.Context(), test.issuer.Sign(t, o.claims(map[string]any{"sub": test.sub})), test.app)
		if test.kind != "" {
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s for %q: %v, want %s with %q", test.sub, test.app, err, test.kind, test.text)
			}
			continue
		}
		if err != nil || got.Name != test.name || !cmp.Equal(got.Applications, []string{test.application}) {
			t.Errorf("%s for %q: %+v, %v", test.sub, test.app, got, err)
		}
	}
	// One issuer's key proves nothing of another's tokens.
	mixed := other.Sign(t, o.claims(map[string]any{"iss": o.issuer.URL}))
	if _, _, err := o.Exchange.Exchange(t.Context(), mixed, "shop"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("issuer mix-up: %v", err)
	}
}

// A rule without audience at a server without an address takes nothing.
func TestNoAudience(t *testing.T) {
	o := newOffice(t)
	o.Audience = ""
	refused(t, o, "empty aud", o.issuer.Sign(t, o.claims(map[string]any{"aud": ""})), fault.Unauthenticated, "audience")
}

func TestIssuersThatLie(t *testing.T) {
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":["`))
		for range 64 {
			if _, err := w.Write([]byte(strings.Repeat("x", 64<<10))); err != nil {
				return
			}
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	evil := identitytest.NewIssuer(t)
	plain := httptest.NewServer(http.NotFoundHandler()) // not asked
	t.Cleanup(plain.Close)
	many := make([]map[string]string, 101)
	for name, test := range map[string]struct {
		discovery, keys http.HandlerFunc
		kind            fault.Kind
		text            string
	}{
		"another issuer": {answer(map[string]string{"issuer": evil.URL, "jwks_uri": evil.URL + "/keys"}), nil, fault.Refused, "another issuer"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, evil.URL+r.URL.Path, http.StatusFound)
		}, nil, fault.Refused, "302"},
		"keys are elsewhere": {nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL+"/keys", http.StatusFound) }, fault.Refused, "302"},
		"keys in a file": {func(w http.ResponseWriter, r *http.Request) {
			answer(map[string]string{"issuer": "http://" + r.Host, "jwks_uri": "file:///etc/passwd"})(w, r)
		}, nil, fault.Refused, "no key set"},
		"keys over http": {func(w http.ResponseWriter, r *http.Request) {
			answer(map[string]string{"issuer": "http://" + r.Host, "jwks_uri": "http://keys.example.com/"})(w, r)
		}, nil, fault.Refused, "no key set"},
		"no document":        {status(404), nil, fault.Refused, "404"},
		"broken":             {status(500), nil, fault.Unavailable, "500"},
		"too many":           {nil, status(429), fault.Unavailable, "429"},
		"malformed":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, nil, fault.Refused, "malformed"},
		"giant discovery":    {huge, nil, fault.Refused, "bytes"},
		"giant key set":      {nil, huge, fault.Refused, "bytes"},
		"many keys":          {nil, answer(map[string]any{"keys": many}), fault.Refused, "more than 100"},
		"no keys":            {nil, answer(map[string]any{}), fault.Refused, "no public key"},
		"keys are no list":   {nil, answer(map[string]any{"keys": "x"}), fault.Refused, "malformed"},
		"a shared secret":    {nil, answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte(strings.Repeat("k", 32)), KeyID: "key-1"}}}), fault.Refused, "no public key"},
		"a short RSA key":    {nil, answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: weak.Public(), KeyID: "key-1"}}}), fault.Refused, "no public key"},
		"for encryption":     {nil, answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: weak.Public(), Use: "enc"}}}), fault.Refused, "no public key"},
		"an unknown kind":    {nil, answer(map[string]any{"keys": []any{map[string]string{"kty": "OKP2"}, 7}}), fault.Refused, "no public key"},
		"breaks off at once": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, fault.Unavailable, "out of reach"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			if test.discovery != nil {
				o.issuer.Answer(identitytest.DiscoveryPath, test.discovery)
			}
			if test.keys != nil {
				o.issuer.Answer(identitytest.KeysPath, test.keys)
			}
			raw := o.issuer.Sign(t, o.claims(nil))
			for range 3 {
				refused(t, o, name, raw, test.kind, test.text)
			}
			if n := o.issuer.Fetches(identitytest.DiscoveryPath); n != 1 {
				t.Errorf("asked %d times at once", n)
			}
			if n := evil.Fetches(identitytest.KeysPath) + evil.Fetches(identitytest.DiscoveryPath); n != 0 {
				t.Errorf("a redirect was followed %d times", n)
			}
		})
	}
}

// A failure is not remembered for long.
func TestIssuerComesBack(t *testing.T) {
	o := newOffice(t)
	o.issuer.Answer(identitytest.DiscoveryPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	raw := o.issuer.Sign(t, o.claims(nil))
	refused(t, o, "down", raw, fault.Unavailable, "503")
	o.issuer.Answer(identitytest.DiscoveryPath, nil)
	o.clock.now = o.clock.now.Add(11 * time.Second)
	if _, _, err := o.Exchange.Exchange(t.Context(), raw, "shop"); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

// Who goes away leaves nothing behind for the next.
func TestCallerGoesAway(t *testing.T) {
	o := newOffice(t)
	raw := o.issuer.Sign(t, o.claims(nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := o.Exchange.Exchange(ctx, raw, "shop"); err == nil {
		t.Error("it was taken")
	}
	if _, _, err := o.Exchange.Exchange(t.Context(), raw, "shop"); err != nil {
		t.Error(err)
	}
}

// The algorithms that CIs and clusters sign with.
func TestAlgorithms(t *testing.T) {
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256} {
		o := newOffice(t)
		o.issuer.Answer(identitytest.KeysPath, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: strong.Public(), Algorithm: string(jose.RS256)}}})
		})
		raw := identitytest.Signed(t, jose.SigningKey{Algorithm: alg, Key: strong}, o.claims(map[string]any{"iss": o.issuer.URL}))
		_, _, err := o.Exchange.Exchange(t.Context(), raw, "shop")
		if want := alg == jose.RS256; (err == nil) != want { // the key is for RS256 alone
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestVerifier(t *testing.T) {
	o := newOffice(t)
	now := func() time.Time { return o.clock.now }
	v, err := identity.NewVerifier(o.issuer.URL, "push", nil, now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.VerifyToken(t.Context(), o.issuer.Sign(t, o.claims(map[string]any{"aud": "push", "email": "a@b.c", "email_verified": true})))
	if err != nil || claims["email"] != "a@b.c" || claims["email_verified"] != true || claims["repository_owner_id"] != json.Number("42") {
		t.Errorf("claims %v, %v", claims, err)
	}
	other := identitytest.NewIssuer(t)
	for name, raw := range map[string]string{
		"audience": o.issuer.Sign(t, o.claims(nil)), "issuer": other.Sign(t, o.claims(map[string]any{"aud": "push"})),
		"expired": o.issuer.Sign(t, o.claims(map[string]any{"aud": "push", "exp": 1})), "empty": "",
	} {
		if claims, err := v.VerifyToken(t.Context(), raw); !fault.Is(err, fault.Unauthenticated) || claims != nil {
			t.Errorf("%s: %v, %v", name, claims, err)
		}
	}
	for name, in := range map[string][2]string{"http": {"http://accounts.google.com", "a"}, "no audience": {"https://accounts.google.com", ""}} {
		if _, err := identity.NewVerifier(in[0], in[1], nil, now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzExchange(f *testing.F) {
	f.Add("a.b.c")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"http://127.0.0.1:1"}`)) + ".AAAA")
	now := func() time.Time { return time.Unix(0, 0) }
	tokens := identity.New(&identitytest.Memory{}, now)
	x := &identity.Exchange{Rules: rules{rule()}, Issuers: identity.NewIssuers(&http.Client{Transport: nowhere{}}, now), Tokens: tokens, Audience: server}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, secret, err := x.Exchange(t.Context(), raw, "shop"); fault.As(err) == nil || secret != "" {
			t.Errorf("%q gives %v", raw, err)
		}
	})
}

// nowhere is a network without anybody.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }
