package ci

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// Repository is a Git repository whose pushes start runs.
type Repository struct {
	Name      string    // [a-z0-9][a-z0-9-]*, at most 63 characters
	Protected []string  // ref patterns, each exact or with a trailing *; only these refs may publish
	Created   time.Time // UTC, whole milliseconds
}

// RefChange is one ref that a push has moved. Old is forty zeros for a new ref, New is
// forty zeros for a deleted one.
type RefChange struct {
	Ref    string    // "refs/heads/main"
	Old    string    // 40 lower-case hex digits
	New    string    // 40 lower-case hex digits
	Pusher string    // the authenticated identity, never Git's author text
	At     time.Time // when the push was received, UTC
}

// NoCommit stands for "no commit" in a RefChange.
const NoCommit = "0000000000000000000000000000000000000000"

var (
	repositoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	commitHex      = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// DefaultProtected is what a new repository protects: its main branch and version tags.
func DefaultProtected() []string { return []string{"refs/heads/main", "refs/tags/v*"} }

// ValidRepository returns a fault of kind Invalid unless name may name a repository.
func ValidRepository(name string) error {
	if repositoryName.MatchString(name) {
		return nil
	}
	return fault.New(fault.Invalid, "%q cannot name a repository", name).WithField("name").
		WithHint("use 1 to 63 lower-case letters, digits and hyphens, and start with a letter or a digit")
}

// Protects reports whether ref is one of r's protected refs.
func (r Repository) Protects(ref string) bool {
	for _, p := range r.Protected {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(ref, prefix) {
			return true
		}
		if p == ref {
			return true
		}
	}
	return false
}

// Validate returns a fault of kind Invalid that names the field when c is malformed.
func (c RefChange) Validate() error {
	switch {
	case !strings.HasPrefix(c.Ref, "refs/") || len(c.Ref) > 255 || strings.ContainsRune(c.Ref, 0) || !utf8.ValidString(c.Ref):
		return fault.New(fault.Invalid, "%q is no ref", c.Ref).WithField("ref")
	case !commitHex.MatchString(c.Old):
		return fault.New(fault.Invalid, "%q is no commit", c.Old).WithField("old")
	case !commitHex.MatchString(c.New):
		return fault.New(fault.Invalid, "%q is no commit", c.New).WithField("new")
	case c.Pusher == "":
		return fault.New(fault.Invalid, "a push has an authenticated pusher").WithField("pusher")
	}
	return nil
}
