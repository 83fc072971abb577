// Package commitsig tells who signed a Git commit, by the keys that a Policy gives and by
// nothing else: no key server, no web of trust, no file of the repository that is judged.
//
// SSH signatures are SSHSIG (PROTOCOL.sshsig of OpenSSH) in the namespace "git"; GPG ones are
// OpenPGP (RFC 9580) detached signatures. Both sign the commit object without its own signature
// header, as git commit -S does. What does not verify is a fault of kind Refused that says why in
// one line; nothing is kept, and a Policy may be used by many at once.
package commitsig

import (
	"fmt"
	"regexp"
	"time"

	"drawbridge/internal/fault"
)

// MaxCommit is the largest commit object that Verify reads, in bytes.
const MaxCommit = 1 << 20

// Kind says by which tool a commit was signed.
type Kind string

// The kinds of signatures.
const (
	SSH Kind = "ssh"
	GPG Kind = "gpg"
)

// Signer is somebody whose signed commits count. One identity may stand in several signers, for
// example with an old key until a day and a new one from that day on; one key in one signer only.
type Signer struct {
	Identity string    `json:"identity"`       // whom approvals and the audit log name: "alice"
	SSH      []string  `json:"ssh,omitempty"`  // lines of an authorized_keys file, without options
	GPG      []string  `json:"gpg,omitempty"`  // armoured public keys
	From     time.Time `json:"from,omitzero"`  // when the keys begin to hold; zero: no bound
	Until    time.Time `json:"until,omitzero"` // when they cease to; zero: no bound
}

// Policy is all signers that count. The zero Policy is valid and believes nobody.
type Policy struct {
	Signers []Signer `json:"signers"`
}

// Signature is the signature of a commit that verified.
type Signature struct {
	Identity string    `json:"identity"` // of the signer
	Key      string    `json:"key"`      // fingerprint: "SHA256:…" of an SSH key, hex of a GPG certificate's primary key
	Kind     Kind      `json:"kind"`
	At       time.Time `json:"at"` // as the signer says: when a GPG signature was made, else the committer's time; UTC
}

// identityForm is what can be the name of an identity: people, tokens and workloads.
var identityForm = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._@+:/-]{0,126}[A-Za-z0-9])?$`)

// Check looks for what a person who writes the policy can correct: malformed, weak, revoked or
// repeated keys, and times in the wrong order. The first mistake is a fault of kind Invalid whose
// field is its path in the policy, such as signers[1].ssh[0].
func (p Policy) Check() error {
	ring, err := p.keys(SSH, GPG)
	if err != nil {
		return err
	}
	for _, k := range ring.gpg {
		if err := usable(k); err != nil {
			return err
		}
	}
	return nil
}

// Verify tells who signed a commit. The raw object is the commit without the header line of the
// object store ("commit N\0"); id is its name, 40 or 64 hex digits, which must be the SHA-1 or
// SHA-256 of it; now is the time at which the signer must hold and the key must be neither
// expired nor revoked, so that nobody gains from a date in the past. Whatever does not verify is
// Refused, a commit over MaxCommit TooLarge, and a policy with a malformed key Invalid: it
// decides nothing.
func (p Policy) Verify(raw []byte, id string, now time.Time) (Signature, error) {
	c, err := parseCommit(raw, id)
	if err != nil {
		return Signature{}, err
	}
	kind, err := c.kind()
	if err != nil {
		return Signature{}, err
	}
	ring, err := p.keys(kind)
	if err != nil {
		return Signature{}, err
	}
	verify := ring.verifySSH
	if kind == GPG {
		verify = ring.verifyGPG
	}
	s, by, err := verify(c, now)
	if err != nil {
		return Signature{}, err
	}
	if err := p.Signers[by].holds(now); err != nil {
		return Signature{}, err
	}
	s.Identity, s.Kind = p.Signers[by].Identity, kind
	return s, nil
}

// holds reports whether the signer's keys hold at a time.
func (s Signer) holds(now time.Time) error {
	switch {
	case !s.From.IsZero() && now.Before(s.From):
		return refused("signer %s's key holds from %s on", s.Identity, stamp(s.From))
	case !s.Until.IsZero() && !now.Before(s.Until):
		return refused("signer %s's key holds until %s", s.Identity, stamp(s.Until))
	}
	return nil
}

// check looks at what does not need the keys.
func (s Signer) check(path string) error {
	switch {
	case !identityForm.MatchString(s.Identity):
		return invalid(path+".identity", "%.80q is no identity", s.Identity).WithHint("write the name that approvals show, such as alice")
	case len(s.SSH)+len(s.GPG) == 0:
		return invalid(path, "signer %s has no key", s.Identity).WithHint("write ssh or gpg")
	case !s.From.IsZero() && !s.Until.IsZero() && !s.From.Before(s.Until):
		return invalid(path+".until", "until is not after from")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func at(signer int, list string, i int) string {
	return fmt.Sprintf("signers[%d].%s[%d]", signer, list, i)
}

func refused(format string, args ...any) *fault.Error {
	return fault.New(fault.Refused, format, args...)
}

func invalid(path, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithField(path)
}
