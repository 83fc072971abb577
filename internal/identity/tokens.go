package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// Lifetimes of tokens.
const (
	DefaultLife = 90 * 24 * time.Hour  // of a person's token that names none
	MaxLife     = 400 * 24 * time.Hour // of any token that expires
	FirstLife   = 24 * time.Hour       // of the first token of a server
)

// MaxPage is the most tokens that List returns at once.
const MaxPage = 1000

const (
	prefix     = "db_"
	secretSize = 32 // random bytes
)

// Hash is the SHA-256 of a secret: the only form in which a secret is kept.
type Hash [sha256.Size]byte

// HashOf is the hash of a secret.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// Store keeps the tokens of one plane. Insert and Revoke return once the change and its
// audit entry are committed together.
type Store interface {
	Reader
	// Insert keeps t under its hash and returns it with the ID that it got.
	Insert(ctx context.Context, t Token, hash Hash) (Token, error)
	// Revoke marks the token as revoked at a time by an identity and returns it. A token that
	// is revoked already stays as it is. NotFound when there is none.
	Revoke(ctx context.Context, id int64, by string, at time.Time) (Token, error)
}

// Reader finds tokens.
type Reader interface {
	// ByHash returns the token, revoked or expired ones too, and the hash that is stored with
	// it; NotFound when there is none.
	ByHash(ctx context.Context, hash Hash) (Token, Hash, error)
	// List returns at most limit tokens with an ID above after, in the order of ID.
	List(ctx context.Context, after int64, limit int) ([]Token, error)
}

// Tokens makes, checks and revokes the tokens of one plane. It is safe for concurrent use.
type Tokens struct {
	store Store
	now   func() time.Time
}

// New returns the tokens that store keeps; now is the clock.
func New(store Store, now func() time.Time) *Tokens { return &Tokens{store: store, now: now} }

// Request asks for a new token.
type Request struct {
	Name string        // the identity
	Role Role          // what it may do
	Life time.Duration // 0 means DefaultLife for people and for ever for machines; at most MaxLife
	By   string        // the identity that asks

	Applications []string // those that its events may concern, for the role Events alone; nil means all
}

// MaxApplications is the most applications that one token or one rule names.
const MaxApplications = 100

// Create makes a token and returns its secret, which is nowhere else. A malformed
// request is a fault of kind Invalid that names the field.
func (t *Tokens) Create(ctx context.Context, r Request) (Token, string, error) {
	if r.By == "" {
		return Token{}, "", fault.New(fault.Invalid, "a token is made by somebody").WithField("by")
	}
	if r.Life == 0 && r.Role != Events && r.Role != CI {
		r.Life = DefaultLife
	}
	if err := ValidName(r.Name); err != nil {
		return Token{}, "", err
	}
	return t.create(ctx, r, "")
}

// CreateFirst makes the first token of a server: an admin named name for FirstLife, refused
// by Git and by the registry.
func (t *Tokens) CreateFirst(ctx context.Context, name string) (Token, string, error) {
	if err := ValidName(name); err != nil {
		return Token{}, "", err
	}
	return t.create(ctx, Request{Name: name, Role: Admin, Life: FirstLife}, "")
}

// create makes the token that r asks for, whose name is checked; subject is a workload's.
func (t *Tokens) create(ctx context.Context, r Request, subject string) (Token, string, error) {
	role, err := ParseRole(string(r.Role))
	if err != nil {
		return Token{}, "", err
	}
	if r.Life < 0 || r.Life > MaxLife {
		return Token{}, "", fault.New(fault.Invalid, "a token lives for more than 0 and at most %d days", MaxLife/(24*time.Hour)).WithField("ttl")
	}
	applications, err := scope(r)
	if err != nil {
		return Token{}, "", err
	}
	raw := make([]byte, secretSize)
	if _, err := rand.Read(raw); err != nil {
		return Token{}, "", err
	}
	secret := prefix + hex.EncodeToString(raw)
	token := Token{
		Name: r.Name, Role: role, By: r.By, LastFour: secret[len(secret)-4:],
		Created: t.now().UTC().Truncate(time.Millisecond), Applications: applications, Subject: subject,
	}
	if r.Life > 0 {
		token.Expires = token.Created.Add(r.Life).Truncate(time.Millisecond)
	}
	token, err = t.store.Insert(ctx, token, HashOf(secret))
	if err != nil {
		return Token{}, "", err
	}
	return token, secret, nil
}

// scope is the applications that r names, sorted, each once.
func scope(r Request) ([]string, error) {
	if len(r.Applications) == 0 {
		return nil, nil
	}
	if r.Role != Events {
		return nil, fault.New(fault.Invalid, "only a token of the role events is for some applications alone").WithField("applications").
			WithHint("leave the applications out, or make a token with the role events")
	}
	list := slices.Compact(slices.Sorted(slices.Values(r.Applications)))
	if len(list) > MaxApplications {
		return nil, fault.New(fault.Invalid, "a token is for at most %d applications", MaxApplications).WithField("applications")
	}
	for _, a := range list {
		if err := validApplication(a); err != nil {
			return nil, err.WithField("applications")
		}
	}
	return list, nil
}

var applicationName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// validApplication is nil when s may name an application, as the file of a delivery has it.
func validApplication(s string) *fault.Error {
	if applicationName.MatchString(s) {
		return nil
	}
	return fault.New(fault.Invalid, "%.80q cannot name an application", s).
		WithHint("use 1 to 63 of a-z 0-9 - and start and end with a letter or digit")
}

// Verify returns the live token that secret belongs to. Every other secret, unknown,
// malformed, expired or revoked, is a fault of kind Unauthenticated; only the holder of
// a real token learns that it has expired or was revoked.
func (t *Tokens) Verify(ctx context.Context, secret string) (Token, error) {
	if !wellFormed(secret) {
		return Token{}, unknown()
	}
	hash := HashOf(secret)
	token, stored, err := t.store.ByHash(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return Token{}, unknown()
	}
	if err != nil {
		return Token{}, err
	}
	if subtle.ConstantTimeCompare(hash[:], stored[:]) != 1 {
		return Token{}, unknown()
	}
	switch {
	case !token.Revoked.IsZero():
		return Token{}, fault.New(fault.Unauthenticated, "this token of %s was revoked", token.Name).WithHint("ask an admin for another")
	case !token.Live(t.now()):
		return Token{}, fault.New(fault.Unauthenticated, "this token of %s has expired", token.Name).WithHint("ask an admin for another")
	}
	return token, nil
}

// List returns at most limit tokens with an ID above after; a limit outside 1 to MaxPage
// means MaxPage.
func (t *Tokens) List(ctx context.Context, after int64, limit int) ([]Token, error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	return t.store.List(ctx, after, limit)
}

// Revoke ends a token at once. Revoking it again changes nothing. NotFound when there is none.
func (t *Tokens) Revoke(ctx context.Context, id int64, by string) (Token, error) {
	return t.store.Revoke(ctx, id, by, t.now().UTC().Truncate(time.Millisecond))
}

func wellFormed(secret string) bool {
	digits, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(digits) != hex.EncodedLen(secretSize) {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}

func unknown() error {
	return fault.New(fault.Unauthenticated, "no valid token").
		WithHint("give a token with --token or DRAWBRIDGE_TOKEN; an admin makes one with drawbridge token create")
}
