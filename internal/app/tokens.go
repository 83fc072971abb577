package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"drawbridge/internal/identity"
	"drawbridge/internal/store"
)

// mirrored keeps the tokens of people in the databases of both planes, each with its own
// audit log, so that either plane knows them by itself. The first database gives the ids.
type mirrored struct{ first, second *store.Tokens }

// Insert is identity.Store's.
func (m mirrored) Insert(ctx context.Context, t identity.Token, hash identity.Hash) (identity.Token, error) {
	t, err := m.first.Insert(ctx, t, hash)
	if err != nil {
		return t, err
	}
	if _, err := m.second.Insert(ctx, t, hash); err != nil {
		return t, fmt.Errorf("keep token %d in the second plane too: %w", t.ID, err)
	}
	return t, nil
}

// Revoke takes the token's twin first: a token that one plane still takes must still be
// there to be revoked.
func (m mirrored) Revoke(ctx context.Context, id int64, by string, at time.Time) (identity.Token, error) {
	list, err := m.first.List(ctx, id-1, 1)
	if err != nil {
		return identity.Token{}, err
	}
	if len(list) == 1 && list[0].ID == id {
		if err := m.revokeTwin(ctx, list[0], by, at); err != nil {
			return identity.Token{}, err
		}
	}
	return m.first.Revoke(ctx, id, by, at)
}

// revokeTwin revokes t in the second database, where its id may be another one.
func (m mirrored) revokeTwin(ctx context.Context, t identity.Token, by string, at time.Time) error {
	for after := int64(0); ; {
		list, err := m.second.List(ctx, after, identity.MaxPage)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, o := range list {
			after = o.ID
			if o.Name == t.Name && o.LastFour == t.LastFour && o.Created.Equal(t.Created) {
				_, err := m.second.Revoke(ctx, o.ID, by, at)
				return err
			}
		}
	}
}

// ByHash is identity.Reader's.
func (m mirrored) ByHash(ctx context.Context, hash identity.Hash) (identity.Token, identity.Hash, error) {
	return m.first.ByHash(ctx, hash)
}

// List is identity.Reader's.
func (m mirrored) List(ctx context.Context, after int64, limit int) ([]identity.Token, error) {
	return m.first.List(ctx, after, limit)
}

// firstToken writes DIR/admin.token when nobody has a token yet. A server that was killed
// before it wrote the file has a token whose secret nobody knows: that one is revoked, and
// another made.
func firstToken(ctx context.Context, dir string, tokens *identity.Tokens) error {
	path := filepath.Join(dir, "admin.token")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	list, err := tokens.List(ctx, 0, identity.MaxPage)
	if err != nil {
		return err
	}
	for _, t := range list {
		if !t.First() && t.By != identity.ServerName {
			return nil // a person has one, or had
		}
	}
	for _, t := range list {
		if t.First() && t.Revoked.IsZero() {
			if _, err := tokens.Revoke(ctx, t.ID, identity.ServerName); err != nil {
				return err
			}
		}
	}
	_, secret, err := tokens.CreateFirst(ctx, "admin")
	if err != nil {
		return err
	}
	return writeFile(path, []byte(secret+"\n"), 0o600)
}

// bridgeToken is the token with which this server's CI posts to this server's bridge. It
// may do nothing else.
func bridgeToken(ctx context.Context, dir string, tokens *identity.Tokens) (string, error) {
	path := filepath.Join(dir, "ci", "bridge.token")
	if secret, err := tokenFile("", path); err == nil {
		if _, err := tokens.Verify(ctx, secret); err == nil {
			return secret, nil
		}
	}
	_, secret, err := tokens.Create(ctx, identity.Request{Name: "ci", Role: identity.Events, By: identity.ServerName})
	if err != nil {
		return "", fmt.Errorf("make CI's token for events: %w", err)
	}
	return secret, writeFile(path, []byte(secret+"\n"), 0o600)
}
