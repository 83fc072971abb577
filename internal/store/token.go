package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

// Tokens keeps a plane's tokens; it is identity.Store over the table token.
type Tokens struct{ db *DB }

var _ identity.Store = (*Tokens)(nil)

// Tokens returns the tokens of db's plane.
func (db *DB) Tokens() *Tokens { return &Tokens{db} }

const insertTokenSQL = `INSERT INTO token (id, name, role, hash, last_four, created_by, created_ms, expires_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// Insert is identity.Store's.
func (s *Tokens) Insert(ctx context.Context, t identity.Token, hash identity.Hash) (identity.Token, error) {
	err := s.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		id, err := tx.Next(ctx, "token")
		if err != nil {
			return err
		}
		t.ID = id
		_, err = tx.SQL.ExecContext(ctx, insertTokenSQL, t.ID, t.Name, string(t.Role), hash[:], t.LastFour, t.By, Millis(t.Created), nullMillis(t.Expires))
		if err != nil {
			return fmt.Errorf("inserting the token of %s: %w", t.Name, err)
		}
		detail := map[string]string{"name": t.Name, "role": string(t.Role)}
		if !t.Expires.IsZero() {
			detail["expires"] = t.Expires.Format(time.RFC3339)
		}
		return tx.Record(ctx, tokenEntry("token.create", t, t.By, t.Created, detail))
	})
	return t, err
}

const revokeTokenSQL = `UPDATE token SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL`

// Revoke is identity.Store's.
func (s *Tokens) Revoke(ctx context.Context, id int64, by string, at time.Time) (identity.Token, error) {
	var t identity.Token
	err := s.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		if t, err = oneToken(tx.SQL.QueryRowContext(ctx, byIDSQL, id)); err != nil {
			return err
		}
		res, err := tx.SQL.ExecContext(ctx, revokeTokenSQL, Millis(at), id)
		if err != nil {
			return fmt.Errorf("revoking token %d: %w", id, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err // it was revoked before
		}
		t.Revoked = at
		return tx.Record(ctx, tokenEntry("token.revoke", t, by, at, map[string]string{"name": t.Name}))
	})
	return t, err
}

// tokenEntry is the audit entry of a change; a server that makes its first token acts itself.
func tokenEntry(action string, t identity.Token, by string, at time.Time, detail map[string]string) audit.Entry {
	if by == "" {
		by = identity.ServerName
	}
	return audit.Entry{At: at, Actor: by, Action: action, Subject: "token/" + strconv.FormatInt(t.ID, 10), Detail: detail}
}

const (
	byHashSQL   = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms FROM token WHERE hash = $1`
	byIDSQL     = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms FROM token WHERE id = $1`
	listByIDSQL = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms FROM token
WHERE id > $1 ORDER BY id LIMIT $2`
)

// ByHash is identity.Reader's.
func (s *Tokens) ByHash(ctx context.Context, hash identity.Hash) (identity.Token, identity.Hash, error) {
	t, stored, err := scanToken(s.db.Reader().QueryRowContext(ctx, byHashSQL, hash[:]))
	return t, stored, Fault(missing(err))
}

// List is identity.Reader's.
func (s *Tokens) List(ctx context.Context, after int64, limit int) ([]identity.Token, error) {
	rows, err := s.db.Reader().QueryContext(ctx, listByIDSQL, after, limit)
	if err != nil {
		return nil, Fault(fmt.Errorf("listing tokens: %w", err))
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var list []identity.Token
	for rows.Next() {
		t, _, err := scanToken(rows)
		if err != nil {
			return nil, Fault(err)
		}
		list = append(list, t)
	}
	return list, Fault(rows.Err())
}

func oneToken(row *sql.Row) (identity.Token, error) {
	t, _, err := scanToken(row)
	return t, missing(err)
}

func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no such token").WithHint("drawbridge token list")
	}
	return err
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

func scanToken(row scanner) (identity.Token, identity.Hash, error) {
	var t identity.Token
	var stored identity.Hash
	var role string
	var hash []byte
	var created int64
	var expires, revoked sql.NullInt64
	err := row.Scan(&t.ID, &t.Name, &role, &hash, &t.LastFour, &t.By, &created, &expires, &revoked)
	if err != nil {
		return t, stored, fmt.Errorf("reading a token: %w", err)
	}
	t.Role, t.Created, t.Expires, t.Revoked = identity.Role(role), Time(created), nullTime(expires), nullTime(revoked)
	copy(stored[:], hash)
	return t, stored, nil
}

func nullMillis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: Millis(t), Valid: !t.IsZero()}
}

func nullTime(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return Time(ms.Int64)
}
