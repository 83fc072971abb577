package artifact

import (
	"net/url"
	"regexp"
	"strings"

	"drawbridge/internal/fault"
)

// Reference names an OCI object: [host/]repository[:tag][@digest]. An empty Host means
// this server's own registry; Docker Hub must be written out. References are comparable
// with ==; only ParseReference makes one from outside text.
type Reference struct {
	Host       string // "registry.example.com:5000"; empty means this server's registry
	Repository string // "shop/web", lower case
	Tag        string // may be empty
	Digest     Digest // may be zero
}

var (
	component  = `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`
	repository = regexp.MustCompile(`^` + component + `(?:/` + component + `)*$`)
	tag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	host       = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?$`)
)

// ParseReference reads a reference as people write it. The first path element is a host
// when it holds a dot or a colon or is "localhost". Anything else that is not of the
// form is a fault of kind Invalid.
func ParseReference(s string) (Reference, error) {
	bad := func(what string) error {
		return fault.New(fault.Invalid, "%q is no image reference: %s", s, what).WithHint("write [host/]repository[:tag][@sha256:…]")
	}
	if len(s) > 512 {
		return Reference{}, fault.New(fault.Invalid, "an image reference has at most 512 characters, not %d", len(s))
	}
	var r Reference
	rest := s
	if name, dig, ok := strings.Cut(rest, "@"); ok {
		d, err := ParseDigest(dig)
		if err != nil {
			return Reference{}, bad("the part after @ is no digest")
		}
		r.Digest, rest = d, name
	}
	if first, after, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		if !host.MatchString(first) {
			return Reference{}, bad("the host is malformed")
		}
		r.Host, rest = strings.ToLower(first), after
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		r.Tag, rest = rest[i+1:], rest[:i]
		if !tag.MatchString(r.Tag) {
			return Reference{}, bad("the tag is malformed")
		}
	}
	if len(rest) > 255 || !repository.MatchString(rest) {
		return Reference{}, bad("the repository is malformed")
	}
	r.Repository = rest
	return r, nil
}

// String is the reference as ParseReference reads it.
func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if !r.Digest.IsZero() {
		s += "@" + r.Digest.String()
	}
	return s
}

// Name is [host/]repository, without tag and digest.
func (r Reference) Name() string {
	if r.Host == "" {
		return r.Repository
	}
	return r.Host + "/" + r.Repository
}

// Owner is the first path element of the repository: on this server's registry the
// name of the Git repository that may publish here.
func (r Reference) Owner() string {
	o, _, _ := strings.Cut(r.Repository, "/")
	return o
}

// WithTag returns r naming tag alone.
func (r Reference) WithTag(t string) Reference {
	r.Tag, r.Digest = t, Digest{}
	return r
}

// WithDigest returns r naming d alone.
func (r Reference) WithDigest(d Digest) Reference {
	r.Tag, r.Digest = "", d
	return r
}

// ValidTag reports whether t may stand as a tag.
func ValidTag(t string) bool { return tag.MatchString(t) }

// MarshalText writes what String gives; the zero Reference gives the empty text.
func (r Reference) MarshalText() ([]byte, error) {
	if r == (Reference{}) {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (r *Reference) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = Reference{}
		return nil
	}
	p, err := ParseReference(string(b))
	*r = p
	return err
}

// PackageURL is the purl of an OCI object, for CDEvents subjects:
// pkg:oci/NAME[@DIGEST]?repository_url=HOST/REPOSITORY[&tag=TAG]. r must have a digest or a
// tag; a sender that knows the tag alone leaves it to the receiver to resolve it.
// Format: https://github.com/package-url/purl-spec, type oci.
func (r Reference) PackageURL() string {
	name := r.Repository[strings.LastIndexByte(r.Repository, '/')+1:]
	q := url.Values{"repository_url": {r.Name()}}
	if r.Tag != "" {
		q.Set("tag", r.Tag)
	}
	if !r.Digest.IsZero() {
		name += "@" + strings.Replace(r.Digest.String(), ":", "%3A", 1)
	}
	return "pkg:oci/" + name + "?" + q.Encode()
}

// ParsePackageURL reads what PackageURL wrote, and what others write for OCI objects. The
// reference has a digest, a tag or both.
func ParsePackageURL(s string) (Reference, error) {
	bad := func(what string) error {
		return fault.New(fault.Invalid, "%q is no package URL of an OCI object: %s", s, what).
			WithHint("write pkg:oci/NAME@sha256%%3A…?repository_url=HOST/REPOSITORY")
	}
	rest, ok := strings.CutPrefix(s, "pkg:oci/")
	if !ok || len(s) > 1024 {
		return Reference{}, bad("it does not start with pkg:oci/ or is too long")
	}
	rest, query, _ := strings.Cut(rest, "?")
	_, version, exact := strings.Cut(rest, "@")
	version, err := url.PathUnescape(version)
	if err != nil {
		return Reference{}, bad("the digest is malformed")
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return Reference{}, bad("the qualifiers are malformed")
	}
	text := q.Get("repository_url")
	t := q.Get("tag")
	switch {
	case strings.Contains(text+t, "@"):
		return Reference{}, bad("the digest stands after the name")
	case !exact && t == "":
		return Reference{}, bad("it names neither digest nor tag")
	}
	if t != "" {
		text += ":" + t
	}
	if exact {
		text += "@" + version
	}
	r, err := ParseReference(text)
	if err != nil {
		return Reference{}, bad("repository_url, tag and digest make no reference")
	}
	return r, nil
}
