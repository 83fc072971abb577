package api

import (
	"time"

	"drawbridge/internal/identity"
)

// Token is a token without its secret.
type Token struct {
	ID       int64         `json:"id"`                // from 1
	Name     string        `json:"name"`              // the identity
	Role     identity.Role `json:"role"`              // what it may do
	Created  time.Time     `json:"created"`           // UTC
	Expires  *time.Time    `json:"expires,omitempty"` // UTC; absent: never
	Revoked  *time.Time    `json:"revoked,omitempty"` // UTC; absent: it holds
	By       string        `json:"by,omitempty"`      // who made it; absent for the server's first token
	LastFour string        `json:"lastFour"`          // of the secret

	Applications []string `json:"applications,omitempty" jsonschema:"description=Those that its events may concern; absent: all."` // sorted
	Subject      string   `json:"subject,omitempty" jsonschema:"description=Whom the issuer of a workload's identity named."`      // of a workload's token
}

// NewToken asks for a token.
type NewToken struct {
	Name string        `json:"name"`                                                                                                                      // the identity
	Role identity.Role `json:"role"`                                                                                                                      // what it may do
	TTL  string        `json:"ttl,omitempty" jsonschema:"description=How long it lives\\, as 24h or 90m; omitted: 90 days\\, and for ever for machines."` // a Go duration

	Applications []string `json:"applications,omitempty" jsonschema:"description=Those that its events may concern\\, for the role events alone; omitted: all."` // at most 100
}

// CreatedToken is a new token with its secret, which is shown this once.
type CreatedToken struct {
	Token
	Secret string `json:"secret"` // 67 characters
}

// TokenOf is t as the API sends it.
func TokenOf(t identity.Token) Token {
	return Token{
		ID: t.ID, Name: t.Name, Role: t.Role, Created: t.Created, By: t.By, LastFour: t.LastFour,
		Expires: optional(t.Expires), Revoked: optional(t.Revoked),
		Applications: t.Applications, Subject: t.Subject,
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
