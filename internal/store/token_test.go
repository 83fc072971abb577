package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/store/storetest"
)

func TestTokens(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		identitytest.Run(t, func(t *testing.T) identity.Store {
			return storetest.Open(t, storetest.SQLite(t, "cd", nil)).Tokens()
		})
	})
	t.Run("postgres", func(t *testing.T) {
		identitytest.Run(t, func(t *testing.T) identity.Store {
			return storetest.Open(t, storetest.PostgresConfig(t, "cd", nil)).Tokens()
		})
	})
}

// Each change has one audit entry, which never holds the secret.
func TestTokensAreAudited(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "cd", nil))
	tokens := identity.New(db.Tokens(), time.Now)
	if _, _, err := tokens.CreateFirst(t.Context(), "admin"); err != nil {
		t.Fatal(err)
	}
	alice, _, err := tokens.Create(t.Context(), identity.Request{Name: "alice", Role: identity.Developer, By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := tokens.Revoke(t.Context(), alice.ID, "admin"); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := db.AuditEntries(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, e := range entries {
		got = append(got, []string{e.Actor, e.Action, e.Subject, e.Detail["name"]})
	}
	want := [][]string{
		{"server", "token.create", "token/1", "admin"},
		{"admin", "token.create", "token/2", "alice"},
		{"admin", "token.revoke", "token/2", "alice"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Text that would end a statement elsewhere is only a value here.
func TestTokensTakeHostileText(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t, "cd", nil)).Tokens()
	hostile := identity.Token{Name: "x'); DROP TABLE token; --", Role: "viewer", Created: time.UnixMilli(1).UTC(), By: "ops", LastFour: "\"';"}
	if _, err := s.Insert(t.Context(), hostile, identity.HashOf("a")); err != nil {
		t.Fatal(err)
	}
	got, _, err := s.ByHash(t.Context(), identity.HashOf("a"))
	hostile.ID = 1
	if diff := cmp.Diff(hostile, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// A workload's token is audited with whom it stands for; its row goes a day after its end, and
// no other row with it.
func TestWorkloadTokens(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t, "cd", nil))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	workload := identity.Token{
		Name: "workload:github", Role: identity.Events, By: "workload:github", Applications: []string{"shop"}, Subject: "repo:acme/shop:ref:refs/heads/main",
	}
	person := identity.Token{Name: "alice", Role: identity.Viewer, By: "ops"}
	for i, test := range []struct {
		token identity.Token
		at    time.Time
		want  []int64 // ids afterwards
	}{
		{workload, now, []int64{1}},
		{person, now, []int64{1, 2}},
		{workload, now.Add(24 * time.Hour), []int64{1, 2, 3}},
		{person, now.Add(25 * time.Hour), []int64{1, 2, 3, 4}},
		{workload, now.Add(25 * time.Hour), []int64{2, 3, 4, 5}},
	} {
		test.token.Created, test.token.Expires = test.at, test.at.Add(10*time.Minute)
		if _, err := db.Tokens().Insert(t.Context(), test.token, identity.HashOf(string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
		list, err := db.Tokens().List(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, k := range list {
			ids = append(ids, k.ID)
		}
		if diff := cmp.Diff(test.want, ids); diff != "" {
			t.Errorf("after token %d: %s", i+1, diff)
		}
	}
	entries, err := db.AuditEntries(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"name": "workload:github", "role": "events", "expires": "2026-01-02T03:14:05Z", "applications": "shop", "subject": "repo:acme/shop:ref:refs/heads/main",
	}
	if diff := cmp.Diff(want, entries[0].Detail); diff != "" || entries[0].Actor != "workload:github" {
		t.Error(entries[0].Actor, diff)
	}
}
