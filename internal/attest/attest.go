// Package attest signs and verifies what is said about artifacts: in-toto statements in
// DSSE envelopes, carried as Sigstore bundles v0.3. It knows bytes, keys and times only:
// fetching bundles is somebody else's work, and the time is an argument.
//
// Sign makes one bundle. ParseTrust reads who is believed for what. Verify takes every
// bundle that refers to an artifact and returns the Evidence that gates read, or the
// Refusals that say exactly what is wrong. A value counts only when it was signed by a
// signer that the demand names, that is valid now, and that may state this type of
// predicate; the type is always taken from the signed statement.
package attest

import (
	"slices"

	"drawbridge/internal/artifact"
)

// Media types of what Sign makes.
const (
	BundleMediaType  = "application/vnd.dev.sigstore.bundle.v0.3+json" // of a bundle
	PayloadMediaType = "application/vnd.in-toto+json"                  // of the statement inside
	statementType    = "https://in-toto.io/Statement/v1"
)

// Predicate types, as they stand in signed statements.
const (
	TypeSignature  = "https://sigstore.dev/cosign/sign/v1"
	TypeProvenance = "https://slsa.dev/provenance/v1"
	TypeCycloneDX  = "https://cyclonedx.org/bom"
	TypeSPDX       = "https://spdx.dev/Document"
	TypeTests      = "https://in-toto.io/attestation/test-result/v0.1"
	TypeCoverage   = "https://drawbridge.dev/attestation/coverage/v1"
	TypeFindings   = "https://in-toto.io/attestation/vulns/v0.1"
	TypeCosignVuln = "https://cosign.sigstore.dev/attestation/vuln/v1" // read, never written
	TypeVSA        = "https://slsa.dev/verification_summary/v1"
)

// Limits of what Verify reads about one artifact. What is over a limit is refused, never cut.
const (
	MaxBundles     = 200      // bundles of one artifact
	MaxBundle      = 32 << 20 // bytes of one bundle
	MaxBundleTotal = 64 << 20 // bytes of all bundles of one artifact together
	MaxSubjects    = 1024     // subjects of one statement
	MaxNames       = 500      // names that a test result lists of each kind; counts have no such limit
	maxDepth       = 128      // nesting of objects and arrays in a statement or bundle
)

// Subject is what a statement is about: one artifact. The digest decides; the name is for
// people, and tells the image where a foreign provenance does not.
type Subject struct {
	Name   string          // [host/]repository, as artifact.Reference.Name gives it
	Digest artifact.Digest // of the artifact's manifest
}

// Predicate is what a statement says of its subject. The predicates of this package are
// signed in their standard's form, while json.Marshal gives the plain form that Evidence
// shows; any other predicate is signed as json.Marshal gives it.
type Predicate interface {
	// Type is the predicate type, an absolute URI.
	Type() string
}

// kinds maps the short names that people write to predicate types. Order is the order in
// which messages list them.
var kinds = []struct {
	name  string
	types []string
}{
	{"signature", []string{TypeSignature}},
	{"provenance", []string{TypeProvenance}},
	{"sbom", []string{TypeCycloneDX, TypeSPDX}},
	{"tests", []string{TypeTests}},
	{"coverage", []string{TypeCoverage}},
	{"findings", []string{TypeFindings, TypeCosignVuln}},
	{"vsa", []string{TypeVSA}},
}

// Names lists the short names of predicates that trust and delivery files may use.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// ShortName is the short name of a predicate type, "" when it has none.
func ShortName(predicateType string) string {
	for _, k := range kinds {
		if slices.Contains(k.types, predicateType) {
			return k.name
		}
	}
	return ""
}

// display is how messages call a predicate type: by its short name where it has one.
func display(predicateType string) string {
	if n := ShortName(predicateType); n != "" {
		return n
	}
	return clip(predicateType)
}

// clip keeps text from outside short enough for a one-line message.
func clip(s string) string {
	const limit = 120
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
