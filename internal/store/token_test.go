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
