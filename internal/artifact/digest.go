// Package artifact names immutable things: a Digest, a Reference to an OCI object and a
// package URL. Outside text is parsed once; a value that parsed is valid everywhere.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"drawbridge/internal/fault"
)

// Digest is a SHA-256 content digest. Only ParseDigest, DigestOf and ReadDigest make one
// that is not zero. Digests are comparable with ==.
type Digest struct{ hex string }

// ParseDigest reads "sha256:" followed by 64 lower-case hex digits. Anything else is
// a fault of kind Invalid.
func ParseDigest(s string) (Digest, error) {
	const prefix = "sha256:"
	if len(s) != len(prefix)+64 || s[:len(prefix)] != prefix {
		return Digest{}, badDigest(s)
	}
	for _, c := range s[len(prefix):] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Digest{}, badDigest(s)
		}
	}
	return Digest{s[len(prefix):]}, nil
}

func badDigest(s string) error {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fault.New(fault.Invalid, "%q is no digest", s).WithHint("write sha256: and 64 lower-case hex digits")
}

// DigestOf is the digest of b.
func DigestOf(b []byte) Digest {
	h := sha256.Sum256(b)
	return Digest{hex.EncodeToString(h[:])}
}

// ReadDigest reads r to its end and returns the digest of what it read.
func ReadDigest(r io.Reader) (Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return Digest{}, err
	}
	return Digest{hex.EncodeToString(h.Sum(nil))}, nil
}

// String is "sha256:" and the hex digits; "" for the zero Digest.
func (d Digest) String() string {
	if d.hex == "" {
		return ""
	}
	return "sha256:" + d.hex
}

// Hex is the 64 lower-case hex digits alone; "" for the zero Digest.
func (d Digest) Hex() string { return d.hex }

// Short is the first 12 hex digits, for people to read, never for looking up.
func (d Digest) Short() string {
	if d.hex == "" {
		return ""
	}
	return d.hex[:12]
}

// IsZero reports whether d is no digest at all.
func (d Digest) IsZero() bool { return d.hex == "" }

// MarshalText writes what String gives.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero Digest.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	p, err := ParseDigest(string(b))
	*d = p
	return err
}
