package bridge

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"drawbridge/internal/fault"
)

// TagRule says which tags a trigger takes, what version each stands for, and which of two is
// newer. At most one of Semver, Newest, Lexical and Digest is set; with none, every tag is
// taken and the one built last is the newest. A rule that Check accepts can be used.
type TagRule struct {
	Semver  string   `json:"semver,omitempty"`  // range of semantic versions, ">=1.0.0 <2"; a tag needs all three numbers, a leading v is allowed
	Regex   string   `json:"regex,omitempty"`   // RE2, over the whole tag; its group named "version", else its first, is the version
	Newest  bool     `json:"newest,omitempty"`  // the one built last is the newest
	Lexical bool     `json:"lexical,omitempty"` // the last by bytes is the newest: good for 2026-11-05, not for build-9 and build-10
	Digest  string   `json:"digest,omitempty"`  // the one tag that moves, such as "latest": each digest that it names is a version
	Ignore  []string `json:"ignore,omitempty"`  // globs of tags that are never taken: * any text, ? one character, [a-z] a set
}

// Candidate is one tag that a rule takes, to be compared with another.
type Candidate struct {
	Tag     string
	Version string    // as Match gave it; empty means the tag
	Built   time.Time // when the build ended, by the image's label or the signed provenance; zero means unknown, older than any
}

// Limits of a rule.
const (
	maxPattern = 1000 // bytes of a range, a regular expression or a glob
	maxIgnore  = 100  // globs
)

// tagName is what a registry allows as a tag.
var tagName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// attached is a tag under which registries without the referrers API keep what is attached
// to an image: signatures, attestations and indexes of them, never an image.
var attached = regexp.MustCompile(`^sha256-[0-9a-f]{64}(?:\..*)?$`)

// Attached reports whether tag names what is attached to an image, by the convention of
// cosign and of the distribution specification, and not an image.
func Attached(tag string) bool { return attached.MatchString(tag) }

// Check reports what is wrong with r: a fault of kind Invalid with the field "semver",
// "regex", "digest" or "ignore", or without one where two fields contradict each other.
func (r TagRule) Check() error {
	if err := r.checkTogether(); err != nil {
		return err
	}
	if len(r.Semver) > maxPattern {
		return field("semver", "has at most %d characters", maxPattern)
	}
	if r.Semver != "" {
		if _, err := semver.NewConstraint(r.Semver); err != nil {
			return field("semver", "%q is no range of versions: %v", r.Semver, err).WithHint("write for example >=1.2.0 or ~1.4 or ^2")
		}
	}
	if len(r.Regex) > maxPattern {
		return field("regex", "has at most %d characters", maxPattern)
	}
	if _, err := r.pattern(); err != nil {
		return field("regex", "%q is no regular expression: %v", r.Regex, err).WithHint("write RE2 as Go does: without look-ahead and back references")
	}
	if r.Digest != "" && !tagName.MatchString(r.Digest) {
		return field("digest", "%q is no tag", r.Digest).WithHint("name the tag that moves, for example latest")
	}
	return r.checkIgnore()
}

// checkTogether refuses fields that contradict each other.
func (r TagRule) checkTogether() error {
	orders := 0
	for _, set := range []bool{r.Semver != "", r.Newest, r.Lexical, r.Digest != ""} {
		if set {
			orders++
		}
	}
	switch {
	case orders > 1:
		return fault.New(fault.Invalid, "a rule has one of semver, newest, lexical and digest, not %d of them", orders).
			WithHint("keep the one that says which tag is newer")
	case r.Digest != "" && (r.Regex != "" || len(r.Ignore) > 0):
		return fault.New(fault.Invalid, "digest follows one tag, so regex and ignore have nothing to choose from").
			WithHint("remove regex and ignore, or digest")
	}
	return nil
}

func (r TagRule) checkIgnore() error {
	if len(r.Ignore) > maxIgnore {
		return field("ignore", "has at most %d globs", maxIgnore)
	}
	for _, g := range r.Ignore {
		if g == "" || len(g) > maxPattern {
			return field("ignore", "a glob has 1 to %d characters", maxPattern)
		}
		if _, err := glob(g, ""); err != nil {
			return field("ignore", "%q is no glob", g).WithHint("write * for any text, ? for one character, [a-z] for a set, and \\ before a character that stands for itself")
		}
	}
	return nil
}

// Match reports whether the rule takes tag, and which version it then stands for: what the
// regular expression captures, else the tag; empty for a Digest rule, whose versions are
// made of digests. If it does not, why says so in one line.
func (r TagRule) Match(tag string) (version string, ok bool, why string) {
	if r.Digest != "" {
		if tag != r.Digest {
			return "", false, fmt.Sprintf("tag %s is not %s", shown(tag), r.Digest)
		}
		return "", true, ""
	}
	for _, g := range r.Ignore {
		hit, err := glob(g, tag)
		if err != nil {
			return "", false, fmt.Sprintf("the glob %s cannot be read", shown(g))
		}
		if hit {
			return "", false, fmt.Sprintf("tag %s is ignored by %s", shown(tag), shown(g))
		}
	}
	version, why = r.capture(tag)
	if why != "" {
		return "", false, why
	}
	if why = r.meets(tag, version); why != "" {
		return "", false, why
	}
	return version, true, ""
}

// capture is the version in tag; why says what stands against it.
func (r TagRule) capture(tag string) (version, why string) {
	if tag == "" {
		return "", "there is no tag"
	}
	re, err := r.pattern()
	if err != nil {
		return "", "the regular expression " + shown(r.Regex) + " cannot be read"
	}
	if re == nil {
		return tag, ""
	}
	m := re.FindStringSubmatch(tag)
	if m == nil {
		return "", fmt.Sprintf("tag %s does not match %s", shown(tag), shown(r.Regex))
	}
	version = m[0]
	if i := re.SubexpIndex("version"); i > 0 {
		version = m[i]
	} else if len(m) > 1 {
		version = m[1]
	}
	if version == "" {
		return "", fmt.Sprintf("%s captures no version in tag %s", shown(r.Regex), shown(tag))
	}
	return version, ""
}

// meets says why version does not meet the range; "" when it does.
func (r TagRule) meets(tag, version string) string {
	if r.Semver == "" {
		return ""
	}
	c, err := semver.NewConstraint(r.Semver)
	if err != nil {
		return "the range " + shown(r.Semver) + " cannot be read"
	}
	what, constraint := "tag "+shown(tag), strings.Join(strings.Fields(r.Semver), " ")
	if version != tag {
		what = fmt.Sprintf("version %s of tag %s", shown(version), shown(tag))
	}
	v, err := parseVersion(version)
	switch {
	case err != nil:
		return what + " is no semantic version"
	case c.Check(v):
		return ""
	case v.Prerelease() != "" && c.Check(semver.New(v.Major(), v.Minor(), v.Patch(), "", "")):
		return fmt.Sprintf("%s does not meet %s, which names no pre-release", what, constraint)
	}
	return what + " does not meet " + constraint
}

// Newer reports whether a is newer than b: by the precedence of semantic versions, by bytes,
// or by the time when they were built. Of two that are equal neither is.
func (r TagRule) Newer(a, b Candidate) bool {
	switch {
	case r.Semver != "":
		va, errA := parseVersion(a.version())
		vb, errB := parseVersion(b.version())
		if errA != nil || errB != nil {
			return errA == nil && errB != nil
		}
		return va.GreaterThan(vb)
	case r.Lexical:
		if a.version() != b.version() {
			return a.version() > b.version()
		}
		return a.Tag > b.Tag
	}
	return a.Built.After(b.Built)
}

func (c Candidate) version() string {
	if c.Version == "" {
		return c.Tag
	}
	return c.Version
}

// parseVersion reads a semantic version with all three numbers, so that neither a commit of
// seven digits nor the year 2026 is taken for one.
func parseVersion(s string) (*semver.Version, error) {
	return semver.StrictNewVersion(strings.TrimPrefix(s, "v"))
}

// pattern is the regular expression over a whole tag; nil where there is none.
func (r TagRule) pattern() (*regexp.Regexp, error) {
	if r.Regex == "" {
		return nil, nil
	}
	if _, err := regexp.Compile(r.Regex); err != nil { // alone first: "a)|(b" is none
		return nil, err
	}
	return regexp.Compile("^(?:" + r.Regex + ")$")
}

// glob reports whether the glob g matches the whole of name. Unlike in a path, * goes over
// slashes: in tags of Git they are letters like others.
func glob(g, name string) (bool, error) {
	const other = "\x00" // no tag has it
	return path.Match(strings.ReplaceAll(g, "/", other), strings.ReplaceAll(name, "/", other))
}

// shown is s for a message, quoted and cut where it is not plain and short.
func shown(s string) string {
	const most = 128
	plain := s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
	if plain {
		return s
	}
	if len(s) > most {
		s = s[:most]
	}
	return fmt.Sprintf("%q", s)
}
