// Package identitytest holds a store of tokens in memory and the suite that every
// identity.Store passes.
package identitytest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

// Memory is an identity.Store that forgets everything at the end. Its zero value is
// empty and ready. It is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	tokens []identity.Token
	hashes []identity.Hash
}

var _ identity.Store = (*Memory)(nil)

// Insert is identity.Store's.
func (m *Memory) Insert(_ context.Context, t identity.Token, hash identity.Hash) (identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.hashes, hash) {
		return identity.Token{}, errors.New("this hash is there already")
	}
	t.ID = int64(len(m.tokens)) + 1
	m.tokens, m.hashes = append(m.tokens, t), append(m.hashes, hash)
	return t, nil
}

// ByHash is identity.Reader's.
func (m *Memory) ByHash(_ context.Context, hash identity.Hash) (identity.Token, identity.Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, h := range m.hashes {
		if h == hash {
			return m.tokens[i], h, nil
		}
	}
	return identity.Token{}, identity.Hash{}, fault.New(fault.NotFound, "there is no such token")
}

// List is identity.Reader's.
func (m *Memory) List(_ context.Context, after int64, limit int) ([]identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []identity.Token
	for _, t := range m.tokens {
		if t.ID > after && len(list) < limit {
			list = append(list, t)
		}
	}
	return list, nil
}

// Revoke is identity.Store's.
func (m *Memory) Revoke(_ context.Context, id int64, _ string, at time.Time) (identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 1 || id > int64(len(m.tokens)) {
		return identity.Token{}, fault.New(fault.NotFound, "there is no such token")
	}
	t := &m.tokens[id-1]
	if t.Revoked.IsZero() {
		t.Revoked = at
	}
	return *t, nil
}

// Run checks that what open gives, an empty store, keeps the contract of identity.Store.
func Run(t *testing.T, open func(t *testing.T) identity.Store) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	alice := identity.Token{Name: "alice", Role: identity.Developer, Created: now, Expires: now.Add(time.Hour), By: "ops", LastFour: "cafe"}
	machine := identity.Token{Name: "ci", Role: identity.Events, Created: now, By: "ops", LastFour: "beef"}
	scoped := identity.Token{
		Name: "workload:github", Role: identity.Events, Created: now, Expires: now.Add(time.Minute), By: "workload:github", LastFour: "f00d",
		Applications: []string{"shop", "till"}, Subject: "repo:acme/shop:ref:refs/heads/main",
	}
	none := scoped
	none.LastFour, none.Applications = "0001", []string{}

	t.Run("round trip", func(t *testing.T) {
		s := open(t)
		for i, want := range []identity.Token{alice, machine, {Name: "first", Role: identity.Admin, Created: now, LastFour: "0000"}, scoped, none} {
			hash := identity.HashOf(want.LastFour)
			got, err := s.Insert(t.Context(), want, hash)
			if err != nil {
				t.Fatal(err)
			}
			want.ID = int64(i) + 1
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Insert: %s", diff)
			}
			found, stored, err := s.ByHash(t.Context(), hash)
			if err != nil || stored != hash {
				t.Fatalf("ByHash = %v, %v", stored, err)
			}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("ByHash: %s", diff)
			}
		}
	})
	t.Run("a hash is there once", func(t *testing.T) {
		s := open(t)
		mustInsert(t, s, alice, "x")
		if _, err := s.Insert(t.Context(), machine, identity.HashOf("x")); err == nil {
			t.Error("a second token under one hash was taken")
		}
	})
	t.Run("not found", func(t *testing.T) {
		s := open(t)
		if _, _, err := s.ByHash(t.Context(), identity.HashOf("nobody")); !fault.Is(err, fault.NotFound) {
			t.Errorf("ByHash = %v, want not-found", err)
		}
		if _, err := s.Revoke(t.Context(), 1, "ops", now); !fault.Is(err, fault.NotFound) {
			t.Errorf("Revoke = %v, want not-found", err)
		}
	})
	t.Run("pages", func(t *testing.T) {
		s := open(t)
		for _, secret := range []string{"a", "b", "c", "d", "e"} {
			mustInsert(t, s, alice, secret)
		}
		var ids []int64
		for after := int64(0); ; after = ids[len(ids)-1] {
			list, err := s.List(t.Context(), after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			for _, k := range list {
				ids = append(ids, k.ID)
			}
		}
		if diff := cmp.Diff([]int64{1, 2, 3, 4, 5}, ids); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("revoked once", func(t *testing.T) {
		s := open(t)
		id := mustInsert(t, s, alice, "x").ID
		for _, at := range []time.Time{now.Add(time.Second), now.Add(time.Minute)} {
			got, err := s.Revoke(t.Context(), id, "ops", at)
			if err != nil || !got.Revoked.Equal(now.Add(time.Second)) {
				t.Errorf("Revoke at %v = %v, %v; want the first time kept", at, got.Revoked, err)
			}
		}
		if got, _, err := s.ByHash(t.Context(), identity.HashOf("x")); err != nil || got.Revoked.IsZero() {
			t.Errorf("ByHash = %v, %v; want it revoked", got, err)
		}
	})
}

func mustInsert(t *testing.T, s identity.Store, token identity.Token, secret string) identity.Token {
	t.Helper()
	got, err := s.Insert(t.Context(), token, identity.HashOf(secret))
	if err != nil {
		t.Fatal(err)
	}
	return got
}
