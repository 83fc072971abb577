package bridge

import (
	"context"

	"drawbridge/internal/artifact"
)

// Evidence is what the bridge needs of registries: to resolve a tag itself, to list what
// refers to an artifact, and to fetch it. Implementations bound counts and sizes
// (MaxReferrers, MaxBundle) and cache what is named by digest.
type Evidence interface {
	// Resolve returns the digest that ref names now. A reference with a digest is checked
	// to exist. NotFound when there is no such object, Unavailable when the registry is out of reach.
	Resolve(ctx context.Context, ref artifact.Reference) (artifact.Digest, error)
	// List returns the referrers of ref's digest whose artifact type is a Sigstore bundle, sorted
	// by digest. None is no error. More than MaxReferrers is a fault of kind TooLarge.
	List(ctx context.Context, ref artifact.Reference) ([]Referrer, error)
	// Fetch returns the bundle that r carries, read by digest and checked against it.
	Fetch(ctx context.Context, ref artifact.Reference, r Referrer) ([]byte, error)
}

// Referrer is one object that refers to an artifact.
type Referrer struct {
	Manifest artifact.Digest // of the referrer's manifest
	Size     int64           // of that manifest, bytes
}

// Limits of what the bridge reads about one artifact.
const (
	MaxReferrers = 200      // objects that refer to one artifact
	MaxBundle    = 32 << 20 // bytes of one bundle
	MaxEvidence  = 64 << 20 // bytes of all bundles of one artifact together
)
