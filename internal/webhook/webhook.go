// Package webhook reads what other systems post: Git hosts, registries, trackers, alert
// managers and anyone who speaks CloudEvents or Standard Webhooks. For each sender it knows
// how a delivery proves who sent it, which id makes it the same delivery when it is
// repeated, and which facts it tells.
//
// A fact is a hint and never evidence: nothing here resolves a tag or trusts a digest. The
// package keeps nothing, reads no clock and opens no connection; a TokenVerifier is the only
// thing that it asks. All functions are safe for concurrent use.
//
// Read, Key, Headers and Handshake may be called for a body that is not authentic, but what
// they say is worth nothing before Authenticate has returned nil.
package webhook

import (
	"context"
	"net/http"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Request is one delivery of a sender as it arrived.
type Request struct {
	Header http.Header
	Path   string // what follows /hooks/NAME/ in the address: the secret of senders that cannot sign; mostly empty
	Body   []byte // as it arrived, not decoded, not changed
}

// Options are settings of the receiver that some senders need.
type Options struct {
	// Host is the address under which the sender's content is fetched, where its deliveries
	// do not say it: "nexus.example.com:8443". A path may follow ("nexus.example.com/docker").
	// Senders that say it take Host in its place when it is set.
	Host string
}

// Check is what a delivery must stand up to.
type Check struct {
	Secrets  [][]byte      // any may match: the present one, and the one before a rotation; an empty one never does
	Now      time.Time     // for signatures that hold a time
	Window   time.Duration // how far such a time may lie from Now, either way; 0 means 5 minutes
	Tokens   TokenVerifier // for SecretToken senders; nil refuses them
	Audience string        // that the token must be for; empty refuses
	Email    string        // of the service account that the token must name; empty refuses
}

// TokenVerifier checks an OIDC token of the issuer that a sender uses.
type TokenVerifier interface {
	// VerifyToken checks raw's signature, issuer and times and returns its claims. A fault of
	// kind Unavailable says that the issuer's keys are out of reach; anything else refuses.
	VerifyToken(ctx context.Context, raw string) (claims map[string]any, err error)
}

// Secret is the kind of secret that a sender proves itself with.
type Secret string

// The kinds of secrets.
const (
	SecretText  Secret = "text"  // any text, the same at both ends: key of a MAC, or sent in a header
	SecretKey   Secret = "key"   // a key in base64, with or without "whsec_" before it
	SecretPath  Secret = "path"  // the last part of the receiver's address
	SecretToken Secret = "token" // none: the sender shows an OIDC token; audience and e-mail are checked
)

// Sender is one kind of system that posts deliveries.
type Sender struct {
	Name    string   // as a receiver names it: "github"
	Title   string   // one line for people
	Secret  Secret   // what a receiver of this kind must be given
	Schemes []string // how a delivery proves who sent it, for people to read
	Signed  bool     // every accepted delivery has its body under the proof, not only a token beside it
	Timed   bool     // a time is under the signature as well: an old delivery is refused
	Host    bool     // Options.Host is needed for some of its deliveries

	proof proof                                         // how Authenticate judges
	ids   []string                                      // headers that hold the id of a delivery, best first
	id    func(Request) string                          // the id in the body, where no header has it; may be nil
	keep  []string                                      // headers that are kept besides the common ones
	read  func(Request, Options) ([]bridge.Fact, error) // the facts
	shake func(Request) ([]byte, bool)                  // Handshake; may be nil
}

// Find returns the sender of that name. An unknown name is a fault of kind Invalid whose
// hint lists the names.
func Find(name string) (Sender, error) {
	var names []string
	for _, s := range Senders() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Sender{}, fault.New(fault.Invalid, "%q is no sender", clean(name, 64)).WithField("sender").
		WithHint("choose one of %s", strings.Join(names, ", "))
}

// Authenticate reports whether r comes from somebody who holds one of c's secrets. If not it
// returns a fault of kind Unauthenticated that is the same whatever was wrong. A check
// without a usable secret refuses everything. Secrets are compared in constant time.
func (s Sender) Authenticate(ctx context.Context, r Request, c Check) error {
	c.Secrets = present(c.Secrets)
	if c.Window <= 0 {
		c.Window = 5 * time.Minute
	}
	ok, err := s.proof(ctx, r, c)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Unauthenticated, "the delivery does not prove that it comes from its sender").
			WithHint("compare the secret at the sender with the receiver's, and both clocks")
	}
	return nil
}

// CheckSecret reports whether secret can serve for this sender: a fault of kind Invalid says
// what is missing.
func (s Sender) CheckSecret(secret []byte) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, format, args...).WithField("secret").
			WithHint("make one with: openssl rand -base64 32")
	}
	switch {
	case s.Secret == SecretToken && len(secret) == 0:
		return nil
	case len(secret) < minSecret:
		return bad("a secret has at least %d bytes, not %d", minSecret, len(secret))
	case s.Secret == SecretKey && standardKey(secret) == nil:
		return bad("the secret is no base64, with or without whsec_ before it")
	case s.Secret == SecretPath && strings.ContainsAny(string(secret), "/?#%+ "):
		return fault.New(fault.Invalid, "the secret stands in an address: only letters, digits, - and _").
			WithField("secret").WithHint("make one with: openssl rand -hex 32")
	}
	return nil
}

// Key is the id by which the sender knows this delivery, the same when it is repeated; where
// there is none, "sha256:" and the hex digest of the body. It has at most 256 bytes.
func (s Sender) Key(r Request) string {
	for _, h := range s.ids {
		if v, ok := one(r.Header, h); ok && plain(v) {
			return v
		}
	}
	if s.id != nil {
		if v := s.id(r); plain(v) {
			return v
		}
	}
	return artifact.DigestOf(r.Body).String()
}

// Read returns the facts in r, at most bridge.MaxFacts. None and no error means that the
// delivery says nothing to the bridge: a ping, or something deleted. What is malformed is a
// fault of kind Invalid, what is too much one of kind TooLarge. r's Path is not looked at,
// and no header that Headers does not keep: a kept delivery can be read again.
func (s Sender) Read(r Request, o Options) ([]bridge.Fact, error) {
	if len(r.Body) > bridge.MaxEvent {
		return nil, fault.New(fault.TooLarge, "a delivery has at most %d bytes, not %d", bridge.MaxEvent, len(r.Body))
	}
	facts, err := s.read(r, o)
	if err != nil {
		return nil, err
	}
	if len(facts) > bridge.MaxFacts {
		return nil, fault.New(fault.TooLarge, "a delivery holds at most %d events, not %d", bridge.MaxFacts, len(facts)).
			WithHint("let the sender post fewer at once")
	}
	for i := range facts {
		facts[i] = tidy(facts[i])
	}
	if len(facts) == 0 {
		return nil, nil
	}
	return facts, nil
}

// Handshake returns what is answered, as JSON, to a delivery with which the sender only asks
// whether this address wants its deliveries; ok is false for any other delivery. Such a
// delivery holds no fact. Authenticate must have returned nil before.
func (s Sender) Handshake(r Request) (response []byte, ok bool) {
	if s.shake == nil {
		return nil, false
	}
	return s.shake(r)
}
