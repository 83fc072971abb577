// Package identity knows who acts and what they may do: tokens, roles and actions.
//
// A token is a random secret with a name and a role. The name is the identity: it is
// what an approval, an audit entry and a run record, and several tokens may carry the
// same name. The secret is shown once; only its SHA-256 is kept. Each plane has a
// token table of its own, behind Store.
package identity

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// Token is one token without its secret.
type Token struct {
	ID       int64     // from 1, in the order of creation
	Name     string    // the identity that it stands for, as ValidName has it
	Role     Role      // what it may do
	Created  time.Time // UTC, whole milliseconds
	Expires  time.Time // UTC, whole milliseconds; zero means never
	Revoked  time.Time // UTC, whole milliseconds; zero means that it holds
	By       string    // the identity that made it; empty for the first token of a server
	LastFour string    // the last four characters of the secret, to tell tokens apart

	// Applications are those that events of this token may concern, sorted; nil means all. Only
	// tokens of the role Events have any.
	Applications []string
	// Subject is whom the issuer of a workload's identity named, for people and the audit log;
	// empty for every token that was not exchanged for such an identity.
	Subject string
}

// First reports whether t is the token that a server made for itself at its first
// start. It serves to make other tokens: /git and /v2 refuse it.
func (t Token) First() bool { return t.By == "" }

// Live reports whether t holds at now: not revoked and not expired.
func (t Token) Live(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// notFirst are the actions that the first token of a server may not do.
var notFirst = []Action{Fetch, Push, RegistryPull, RegistryPush}

// May reports whether t may do action: what its role may, except that the first token
// of a server reaches neither Git nor the registry.
func (t Token) May(action Action) bool {
	if t.First() && slices.Contains(notFirst, action) {
		return false
	}
	return Can(t.Role, action)
}

// Require is nil when t may do action, else a fault of kind Forbidden that names the
// roles that may.
func (t Token) Require(action Action) error {
	if t.May(action) {
		return nil
	}
	if t.First() && Can(t.Role, action) {
		return fault.New(fault.Forbidden, "the server's first token may not %s", action).
			WithHint("make a token of your own: drawbridge token create NAME --role %s", t.Role)
	}
	return fault.New(fault.Forbidden, "%s has the role %s, which may not %s", t.Name, t.Role, action).
		WithHint("these roles may: %s", strings.Join(rolesFor(action), ", "))
}

// ServerName is the actor of what a server does by itself; no identity has this name.
const ServerName = "server"

var name = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$`)

// ValidName is nil when s may name an identity: lower-case letters, digits, dot,
// underscore and hyphen, the first and last a letter or digit, at most 64, not
// ServerName. Else it is a fault of kind Invalid.
func ValidName(s string) error {
	if s == ServerName {
		return fault.New(fault.Invalid, "%q is the server itself", s).WithField("name").WithHint("choose another name")
	}
	if name.MatchString(s) {
		return nil
	}
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fault.New(fault.Invalid, "%q cannot name an identity", s).WithField("name").
		WithHint("use 1 to 64 of a-z 0-9 . _ - and start and end with a letter or digit")
}

// Secret is the token that r carries: the bearer token, or the password of basic
// authentication (the user name is not looked at); empty when there is none.
func Secret(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}
