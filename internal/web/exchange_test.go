package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

// office is an exchange whose tokens come from a site that is made after it.
type office struct {
	issuer *identitytest.Issuer
	tokens *identity.Tokens
}

func (o *office) Workloads(context.Context) ([]identity.Workload, error) {
	return []identity.Workload{{Name: "github", Issuer: o.issuer.URL, Subject: "repo:acme/shop:*", Applications: []string{"shop"}}}, nil
}

func (o *office) Exchange(ctx context.Context, raw, application string) (identity.Token, string, error) {
	x := identity.Exchange{Rules: o, Issuers: identity.NewIssuers(nil, time.Now), Tokens: o.tokens, Audience: "https://bridge.example.com"}
	return x.Exchange(ctx, raw, application)
}

// sign is an identity token that the rule takes.
func (o *office) sign(t *testing.T, aud string) string {
	t.Helper()
	return o.issuer.Sign(t, map[string]any{"sub": "repo:acme/shop:main", "aud": aud, "exp": time.Now().Add(time.Minute).Unix()})
}

func exchangeCall(t *testing.T, in any) call {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return call{method: http.MethodPost, path: api.ExchangePath, body: string(b)}
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// A workload's token posts events for its application, and every other row of the table refuses it.
func TestExchangedToken(t *testing.T) {
	t.Parallel()
	o := &office{issuer: identitytest.NewIssuer(t)}
	posts := make(chan identity.Token, 1)
	routes := slices.DeleteFunc(newPlant(t).routes, func(r web.Route) bool { return r.Action == identity.PostEvents })
	routes = append(routes, web.ExchangeRoutes(o)...)
	routes = append(routes, web.Route{
		Method: http.MethodPost, Pattern: "/api/v1/events", Action: identity.PostEvents, Summary: "Post an event",
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			posts <- web.Token(r.Context())
			return web.Reply(w, http.StatusAccepted, api.Received{ID: 1})
		},
	})
	s := serveRoutes(t, routes)
	o.tokens = s.tokens

	got := want[api.ExchangedToken](t, s, exchangeCall(t, api.ExchangeRequest{Token: o.sign(t, "https://bridge.example.com"), Application: "shop"}))
	if d := time.Until(got.Expires); got.Application != "shop" || d > identity.WorkloadLife || d < 0 {
		t.Fatalf("%+v", got)
	}
	refusedRows := 0
	for _, r := range append(web.TokenRoutes(s.tokens), routes...) {
		if r.Anonymous {
			continue
		}
		resp, body := s.send(t, call{method: r.Method, path: parameter.ReplaceAllString(strings.TrimSuffix(r.Pattern, "{$}"), "1"), token: got.Token})
		switch {
		case r.Action == identity.PostEvents:
			if resp.StatusCode != http.StatusAccepted {
				t.Errorf("posting an event: %d %s", resp.StatusCode, body)
			}
		case resp.StatusCode != http.StatusForbidden:
			t.Errorf("%s %s answers a workload %d %s", r.Method, r.Pattern, resp.StatusCode, body)
		default:
			refusedRows++
		}
	}
	if refusedRows < 20 {
		t.Errorf("only %d rows were tried", refusedRows)
	}
	if posted := <-posts; posted.Name != "workload:github" || !slices.Equal(posted.Applications, []string{"shop"}) || posted.Subject != "repo:acme/shop:main" {
		t.Errorf("the event came from %+v", posted)
	}
	resp, _ := s.send(t, call{
		method: "POST", path: "/login", body: "token=" + got.Token, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	})
	if len(resp.Cookies()) != 0 {
		t.Error("a workload can log in")
	}
}

func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	o := &office{issuer: identitytest.NewIssuer(t)}
	s := newSite(t, func(c *web.Config) { c.Routes = append(c.Routes, web.ExchangeRoutes(o)...) })
	o.tokens = s.tokens
	good := o.sign(t, "https://bridge.example.com")
	for name, test := range map[string]struct {
		in   any
		kind fault.Kind
	}{
		"no token":            {api.ExchangeRequest{Application: "shop"}, fault.Invalid},
		"no identity token":   {api.ExchangeRequest{Token: s.secret[identity.Admin]}, fault.Unauthenticated},
		"wrong audience":      {api.ExchangeRequest{Token: o.sign(t, "https://evil.example.com")}, fault.Unauthenticated},
		"another application": {api.ExchangeRequest{Token: good, Application: "bank"}, fault.Forbidden},
		"unknown field":       {map[string]string{"token": good, "role": "admin"}, fault.Invalid},
		"long token":          {api.ExchangeRequest{Token: strings.Repeat("a", identity.MaxIDToken+1)}, fault.TooLarge},
		"huge body":           {api.ExchangeRequest{Token: good, Application: strings.Repeat("a", 64<<10)}, fault.TooLarge},
	} {
		_, p := s.problem(t, exchangeCall(t, test.in))
		if p.Kind != test.kind || strings.Contains(p.Detail+p.Hint, good[len(good)-20:]) {
			t.Errorf("%s: %+v, want %s", name, p, test.kind)
		}
	}
	evil := exchangeCall(t, api.ExchangeRequest{Token: good})
	evil.header = map[string]string{"Origin": "http://evil.example.com"}
	if resp, _ := s.send(t, evil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", resp.StatusCode)
	}
}

// A stored token may be made for some applications alone.
func TestTokenScope(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin := s.secret[identity.Admin]
	made := want[api.CreatedToken](t, s, call{
		method: "POST", path: "/api/v1/tokens", token: admin, body: `{"name":"jenkins","role":"events","applications":["till","shop"]}`,
	})
	if !slices.Equal(made.Applications, []string{"shop", "till"}) {
		t.Errorf("%+v", made)
	}
	if k, err := s.tokens.Verify(t.Context(), made.Secret); err != nil || !slices.Equal(k.Applications, made.Applications) {
		t.Errorf("%+v, %v", k, err)
	}
	refuse(t, s, call{method: "POST", path: "/api/v1/tokens", token: admin, body: `{"name":"x","role":"admin","applications":["shop"]}`}, fault.Invalid, "applications")
	refuse(t, s, call{method: "POST", path: "/api/v1/tokens", token: admin, body: `{"name":"workload:x","role":"events"}`}, fault.Invalid, "name")
}
