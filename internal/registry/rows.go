package registry

import (
	"context"
	"time"

	"drawbridge/internal/artifact"
)

// Rows is where the embedded registry keeps what must be committed with an event: its
// tags and its referrers. Every implementation passes registrytest.Rows. It is safe for
// concurrent use; each write returns once it is committed. Faults of kind Unavailable and
// Full are told to the client, which repeats; anything else is an internal error.
type Rows interface {
	// WriteTag records that t.Name names t.Digest. The first write for a repository and
	// name counts; a repetition with the same digest changes nothing, neither time nor
	// actor, and makes no second event. Another digest under an existing tag is a fault of
	// kind Conflict ("tag 1.0.0 of shop/web names sha256:… already; tags do not move").
	// When t.Report, the first write commits the event for the bridge in the same
	// transaction. A first write without Report settles that there is none.
	WriteTag(ctx context.Context, t Tag) error
	// AddReferrer records one referrer; a repetition changes nothing.
	AddReferrer(ctx context.Context, r Referrer) error
	// Referrers lists the referrers of subject in repository, sorted by manifest digest,
	// those after the given one (zero: from the start), at most limit. An empty
	// artifactType means every type. None is no error.
	Referrers(ctx context.Context, q ReferrerQuery) ([]Referrer, error)
}

// Tag is one tag of the embedded registry.
type Tag struct {
	Repository   string // "shop/web"
	Name         string // "1.0.0"
	Digest       artifact.Digest
	MediaType    string    // of the manifest
	ArtifactType string    // of the manifest; for an image, the media type of its config
	Actor        string    // the identity that pushed
	Report       bool      // whether the bridge is told
	At           time.Time // UTC, whole milliseconds
}

// Referrer is one manifest with a subject.
type Referrer struct {
	Repository   string
	Subject      artifact.Digest   // what it refers to; need not exist
	Manifest     artifact.Digest   // of the referrer itself
	ArtifactType string            // may be empty
	MediaType    string            // of the referrer's manifest
	Size         int64             // of the referrer's manifest, bytes
	Annotations  map[string]string // at most MaxAnnotations bytes; may be nil
}

// ReferrerQuery asks for one page of referrers.
type ReferrerQuery struct {
	Repository   string
	Subject      artifact.Digest
	ArtifactType string          // empty: every type
	After        artifact.Digest // the last manifest of the page before; zero: the first page
	Limit        int             // at least 1
}

// Limits of what the embedded registry takes.
const (
	MaxManifest    = 4 << 20  // bytes of a manifest
	MaxAnnotations = 16 << 10 // bytes of a referrer's annotations, keys and values together
)
