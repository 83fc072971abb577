package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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

const insertTokenSQL = `INSERT INTO token (id, name, role, hash, last_four, created_by, created_ms, expires_ms, scope, subject)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// workloadKept is how long the row of a workload's token outlives it, for people who look.
// The audit log keeps the exchange for ever.
const workloadKept = 24 * time.Hour

const dropWorkloadsSQL = `DELETE FROM token WHERE subject <> '' AND expires_ms < $1`

// Insert is identity.Store's. A workload's token takes the rows of those with it that ended
// more than a day before, so that the table does not grow with every run of a CI.
func (s *Tokens) Insert(ctx context.Context, t identity.Token, hash identity.Hash) (identity.Token, error) {
	scope, err := scopeText(t.Applications)
	if err != nil {
		return t, err
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		id, err := tx.Next(ctx, "token")
		if err != nil {
			return err
		}
		t.ID = id
		_, err = tx.SQL.ExecContext(ctx, insertTokenSQL, t.ID, t.Name, string(t.Role), hash[:], t.LastFour, t.By,
			Millis(t.Created), nullMillis(t.Expires), scope, t.Subject)
		if err != nil {
			return fmt.Errorf("inserting the token of %s: %w", t.Name, err)
		}
		if t.Subject != "" {
			if _, err := tx.SQL.ExecContext(ctx, dropWorkloadsSQL, Millis(t.Created.Add(-workloadKept))); err != nil {
				return fmt.Errorf("dropping tokens of workloads that ended: %w", err)
			}
		}
		return tx.Record(ctx, tokenEntry("token.create", t, t.By, t.Created, created(t)))
	})
	return t, err
}

// created is what the audit log says of a new token.
func created(t identity.Token) map[string]string {
	detail := map[string]string{"name": t.Name, "role": string(t.Role)}
	if !t.Expires.IsZero() {
		detail["expires"] = t.Expires.Format(time.RFC3339)
	}
	if t.Applications != nil {
		detail["applications"] = strings.Join(t.Applications, " ")
	}
	if t.Subject != "" {
		detail["subject"] = t.Subject
	}
	return detail
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
	byHashSQL   = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms, scope, subject FROM token WHERE hash = $1`
	byIDSQL     = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms, scope, subject FROM token WHERE id = $1`
	listByIDSQL = `SELECT id, name, role, hash, last_four, created_by, created_ms, expires_ms, revoked_ms, scope, subject FROM token
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
	var scope sql.NullString
	err := row.Scan(&t.ID, &t.Name, &role, &hash, &t.LastFour, &t.By, &created, &expires, &revoked, &scope, &t.Subject)
	if err != nil {
		return t, stored, fmt.Errorf("reading a token: %w", err)
	}
	t.Role, t.Created, t.Expires, t.Revoked = identity.Role(role), Time(created), nullTime(expires), nullTime(revoked)
	copy(stored[:], hash)
	if scope.Valid {
		if err := json.Unmarshal([]byte(scope.String), &t.Applications); err != nil {
			return t, stored, fmt.Errorf("reading the applications of token %d: %w", t.ID, err)
		}
	}
	return t, stored, nil
}

// scopeText is the column scope: an array, also when it is empty, which stands for no application at all.
func scopeText(applications []string) (sql.NullString, error) {
	if applications == nil {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(applications)
	return sql.NullString{String: string(b), Valid: true}, err
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
