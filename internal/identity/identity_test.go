package identity_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
)

func TestMemory(t *testing.T) {
	identitytest.Run(t, func(*testing.T) identity.Store { return &identitytest.Memory{} })
}

// clock is a clock that stands until it is moved.
type clock struct{ now time.Time }

func open(t *testing.T) (*identity.Tokens, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)}
	return identity.New(&identitytest.Memory{}, func() time.Time { return c.now }), c
}

func TestVerify(t *testing.T) {
	tokens, clock := open(t)
	created, secret, err := tokens.Create(t.Context(), identity.Request{Name: "alice", Role: identity.Developer, Life: time.Hour, By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Verify(t.Context(), secret); err != nil || !cmp.Equal(got, created) {
		t.Fatalf("Verify(secret) = %v, %v, want %v", got, err, created)
	}
	if !strings.HasSuffix(secret, created.LastFour) || len(secret) != 67 {
		t.Errorf("secret has %d characters, last four %q", len(secret), created.LastFour)
	}
	flipped := secret[:len(secret)-1] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", secret[66])+1)%16])
	for name, wrong := range map[string]string{
		"empty": "", "prefix alone": "db_", "cut": secret[:66], "longer": secret + "0", "another": flipped,
		"upper case": strings.ToUpper(secret), "space": secret + " ", "the hash": "db_" + strings.Repeat("0", 64), "huge": strings.Repeat("a", 1<<20),
	} {
		if _, err := tokens.Verify(t.Context(), wrong); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: Verify = %v, want unauthenticated", name, err)
		}
	}
	clock.now = clock.now.Add(time.Hour)
	if _, err := tokens.Verify(t.Context(), secret); !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Verify after the token's life = %v, want expired", err)
	}
}

func TestRevoke(t *testing.T) {
	tokens, _ := open(t)
	created, secret, err := tokens.Create(t.Context(), identity.Request{Name: "bob", Role: identity.Approver, By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Revoke(t.Context(), created.ID, "ops"); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(t.Context(), secret); !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("Verify of a revoked token = %v", err)
	}
}

func TestLives(t *testing.T) {
	tokens, clock := open(t)
	for name, test := range map[string]struct {
		role identity.Role
		life time.Duration
		want time.Duration // 0: never
	}{
		"person, none named":  {identity.Viewer, 0, identity.DefaultLife},
		"machine, none named": {identity.Events, 0, 0},
		"ci, none named":      {identity.CI, 0, 0},
		"named":               {identity.Admin, time.Minute, time.Minute},
		"machine, named":      {identity.Events, time.Minute, time.Minute},
	} {
		got, _, err := tokens.Create(t.Context(), identity.Request{Name: "x", Role: test.role, Life: test.life, By: "ops"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if test.want == 0 != got.Expires.IsZero() || test.want != 0 && !got.Expires.Equal(clock.now.Truncate(time.Millisecond).Add(test.want)) {
			t.Errorf("%s: expires %v, want %v after %v", name, got.Expires, test.want, clock.now)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	tokens, _ := open(t)
	good := identity.Request{Name: "alice", Role: identity.Viewer, By: "ops"}
	for name, change := range map[string]func(*identity.Request){
		"no name":      func(r *identity.Request) { r.Name = "" },
		"upper case":   func(r *identity.Request) { r.Name = "Alice" },
		"hyphen first": func(r *identity.Request) { r.Name = "-alice" },
		"dot last":     func(r *identity.Request) { r.Name = "alice." },
		"line break":   func(r *identity.Request) { r.Name = "alice\n" },
		"too long":     func(r *identity.Request) { r.Name = strings.Repeat("a", 65) },
		"lookalike":    func(r *identity.Request) { r.Name = "аlice" },
		"the server":   func(r *identity.Request) { r.Name = "server" },
		"no role":      func(r *identity.Request) { r.Role = "" },
		"unknown role": func(r *identity.Request) { r.Role = "root" },
		"negative":     func(r *identity.Request) { r.Life = -1 },
		"too long a life": func(r *identity.Request) {
			r.Life = identity.MaxLife + 1
		},
		"nobody asks":       func(r *identity.Request) { r.By = "" },
		"a workload's":      func(r *identity.Request) { r.Name = "workload:github" },
		"scope of a person": func(r *identity.Request) { r.Applications = []string{"shop"} },
		"bad application":   func(r *identity.Request) { r.Role, r.Applications = identity.Events, []string{"shop", "*"} },
		"many applications": func(r *identity.Request) {
			r.Role, r.Applications = identity.Events, nil
			for i := range identity.MaxApplications + 1 {
				r.Applications = append(r.Applications, fmt.Sprint("a", i))
			}
		},
	} {
		r := good
		change(&r)
		if _, _, err := tokens.Create(t.Context(), r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: Create = %v, want invalid", name, err)
		}
	}
	if list, err := tokens.List(t.Context(), 0, 0); err != nil || len(list) != 0 {
		t.Errorf("after refusals there are tokens: %v, %v", list, err)
	}
}

func TestScope(t *testing.T) {
	tokens, _ := open(t)
	for _, test := range []struct{ in, want []string }{
		{nil, nil}, {[]string{}, nil}, {[]string{"till", "shop", "till"}, []string{"shop", "till"}},
	} {
		got, secret, err := tokens.Create(t.Context(), identity.Request{Name: "jenkins", Role: identity.Events, By: "ops", Applications: test.in})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := tokens.Verify(t.Context(), secret); err != nil || !cmp.Equal(v, got) || !cmp.Equal(v.Applications, test.want) || v.Subject != "" {
			t.Errorf("for %v: %+v, %v", test.in, v, err)
		}
	}
}

func TestFirst(t *testing.T) {
	tokens, clock := open(t)
	_, secret, err := tokens.CreateFirst(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	first, err := tokens.Verify(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Require(identity.ManageTokens); err != nil {
		t.Errorf("the first token makes others: %v", err)
	}
	for _, a := range []identity.Action{identity.Fetch, identity.Push, identity.RegistryPull, identity.RegistryPush} {
		if err := first.Require(a); !fault.Is(err, fault.Forbidden) {
			t.Errorf("the first token may %s", a)
		}
	}
	clock.now = clock.now.Add(24 * time.Hour)
	if _, err := tokens.Verify(t.Context(), secret); err == nil {
		t.Error("the first token outlives a day")
	}
}

// The table of who may what, as people would say it.
func TestCan(t *testing.T) {
	people := []identity.Role{identity.Viewer, identity.Developer, identity.Approver, identity.Releaser, identity.Admin}
	for action, least := range map[identity.Action]identity.Role{
		identity.Read: identity.Viewer, identity.ReadAudit: identity.Viewer, identity.Fetch: identity.Viewer, identity.RegistryPull: identity.Viewer,
		identity.Push: identity.Developer, identity.Promote: identity.Developer, identity.Approve: identity.Approver,
		identity.ApplyDelivery: identity.Releaser, identity.Rollback: identity.Releaser,
		identity.CreateRepository: identity.Admin, identity.ApplyTrust: identity.Admin, identity.ManageTokens: identity.Admin,
		identity.ApplyPolicy: identity.Admin, identity.ManageReceivers: identity.Admin, identity.ManageWorkloads: identity.Admin,
		identity.PauseTrigger: identity.Releaser, identity.Freeze: identity.Releaser, identity.Redrive: identity.Releaser, identity.TestTrigger: identity.Developer,
		identity.PostEvents: identity.Admin, identity.RegistryPush: identity.Admin,
	} {
		may := false
		for _, role := range people {
			may = may || role == least
			if got := identity.Can(role, action); got != may {
				t.Errorf("Can(%s, %s) = %v, want %v", role, action, got, may)
			}
		}
		if got, want := identity.Can(identity.Events, action), action == identity.PostEvents; got != want {
			t.Errorf("Can(events, %s) = %v, want %v", action, got, want)
		}
		if got, want := identity.Can(identity.CI, action), action == identity.RegistryPull || action == identity.RegistryPush; got != want {
			t.Errorf("Can(ci, %s) = %v, want %v", action, got, want)
		}
	}
	for _, role := range append(identity.Roles(), "", "root") {
		if identity.Can(role, "") || identity.Can(role, "launch missiles") {
			t.Errorf("%s may do what is no action", role)
		}
	}
}

func TestSecret(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer abc": "abc", "bearer  abc ": "abc", "Basic YWxpY2U6c2VjcmV0": "secret", "Basic !!": "", "Digest x": "", "Bearer": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		if got := identity.Secret(r); got != want {
			t.Errorf("Secret(%q) = %q, want %q", header, got, want)
		}
	}
}

// A store that is out of reach is no wrong token.
func TestVerifyKeepsUnavailable(t *testing.T) {
	tokens := identity.New(broken{&identitytest.Memory{}}, func() time.Time { return time.Time{} })
	_, err := tokens.Verify(t.Context(), "db_"+strings.Repeat("a", 64))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("Verify = %v, want unavailable", err)
	}
}

type broken struct{ *identitytest.Memory }

func (broken) ByHash(context.Context, identity.Hash) (identity.Token, identity.Hash, error) {
	return identity.Token{}, identity.Hash{}, fault.New(fault.Unavailable, "the database is away")
}
