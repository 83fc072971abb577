package registry

import (
	"strings"

	"drawbridge/internal/artifact"
)

// placeKind says which part of the registry's API a path is of.
type placeKind int

const (
	atBase placeKind = iota
	atCatalog
	atManifest
	atBlob
	atUpload
	atTags
	atReferrers
)

// place is a path of the registry's API, taken apart.
type place struct {
	kind       placeKind
	repository string
	reference  string // tag or digest for manifests, digest for blobs and referrers
}

// parsePath takes a path apart from its end, where the position of the keyword decides, so
// that a repository called "manifests" is no way around a check. Names and references that
// are not well formed give false.
func parsePath(path string) (place, bool) {
	rest, ok := strings.CutPrefix(path, "/v2")
	if !ok {
		return place{}, false
	}
	switch rest {
	case "", "/":
		return place{kind: atBase}, true
	case "/_catalog":
		return place{kind: atCatalog}, true
	}
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	n := len(parts)
	if n < 3 || rest[0] != '/' {
		return place{}, false
	}
	at := place{repository: strings.Join(parts[:n-2], "/"), reference: parts[n-1]}
	switch keyword := parts[n-2]; {
	case keyword == "manifests" && (artifact.ValidTag(at.reference) || isDigest(at.reference)):
		at.kind = atManifest
	case keyword == "referrers" && at.reference != "":
		at.kind = atReferrers
	case keyword == "tags" && at.reference == "list":
		at.kind = atTags
	case keyword == "blobs" && isDigest(at.reference):
		at.kind = atBlob
	case keyword == "uploads" && n > 3 && parts[n-3] == "blobs":
		at.kind, at.repository = atUpload, strings.Join(parts[:n-3], "/")
	default:
		return place{}, false
	}
	return at, validRepository(at.repository)
}

// isDigest reports whether s looks like a digest of any algorithm; the library and the
// handlers judge it in full.
func isDigest(s string) bool {
	algorithm, hex, ok := strings.Cut(s, ":")
	return ok && algorithm != "" && hex != "" && !strings.ContainsAny(hex, ":%")
}

// validRepository reports whether name is a repository name. A host goes before it,
// so that a first element like "localhost" is not taken for one.
func validRepository(name string) bool {
	r, err := artifact.ParseReference("registry.invalid/" + name)
	return err == nil && r.Repository == name && r.Tag == "" && r.Digest.IsZero()
}

// fallbackTag reports whether a tag is of the referrers tag schema ("sha256-" and the
// subject's hex digits) or of the older one that adds ".sig", ".att" or ".sbom". Such a tag
// names a growing list, not an artifact.
func fallbackTag(tag string) bool {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	if !ok {
		return false
	}
	hex, suffix, _ := strings.Cut(hex, ".")
	_, err := artifact.ParseDigest("sha256:" + hex)
	return err == nil && (suffix == "" || suffix == "sig" || suffix == "att" || suffix == "sbom")
}
