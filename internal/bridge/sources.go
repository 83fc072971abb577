package bridge

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/artifact"
)

// Images is what the bridge reads of registries beyond Evidence: which tags there are, and
// what stands under a digest. Implementations are safe for concurrent use. A registry that
// asks for patience gives a fault of kind Unavailable that wraps Throttled.
type Images interface {
	// Tags lists all tags of image's repository, sorted, each once. Its tag and digest mean
	// nothing. With what an earlier list of the same image left, an answer that did not
	// change is Unchanged, cheaply. NotFound when the registry knows no such repository,
	// TooLarge when there are more than MaxTags, Refused when its next page leads to another
	// host, Unavailable when it is out of reach.
	Tags(ctx context.Context, image artifact.Reference, since TagPage) (TagList, error)
	// Inspect says what ref is, which must name a digest. Everything is read by digest and
	// checked against it. NotFound when it is not there, Invalid when it is no image,
	// TooLarge over MaxPlatforms or MaxConfig, Unavailable when the registry is out of reach.
	Inspect(ctx context.Context, ref artifact.Reference) (Image, error)
}

// TagPage is what an earlier list of tags left, for the next one; its zero value is none.
type TagPage struct {
	ETag string // TagList's; opaque
}

// TagList is the tags of one image.
type TagList struct {
	Tags      []string // sorted; nil when Unchanged
	ETag      string   // opaque, ASCII, at most MaxETag bytes; "" where the registry gives no state
	Unchanged bool     // they are what they were when ETag was given
}

// Image is what stands under a digest. It says what its builder wrote: a hint, beside the
// evidence, for rules that choose among tags.
type Image struct {
	Digest    artifact.Digest
	MediaType string            // of the manifest or the index
	Platforms []string          // "linux/amd64", "linux/arm64/v8", sorted; empty for what has none, as a chart
	Created   time.Time         // label org.opencontainers.image.created, else the config's time, else zero; UTC
	Labels    map[string]string // of the config, over annotations; of an index, those of its first image
	Commit    string            // label org.opencontainers.image.revision; shown, never believed
	Layers    []artifact.Digest // of a manifest, in its order; nil for an index
}

// Limits of what is read of a registry.
const (
	MaxTags      = 50_000   // tags of one repository
	MaxETag      = 64 << 10 // bytes of TagList.ETag
	MaxPlatforms = 50       // manifests of one index
	MaxConfig    = 1 << 20  // bytes of one image's config
)

// Sources reads Git repositories, on this server by name or elsewhere by URL. Commits are
// named by 40 or 64 lower-case hex digits. Nothing of a repository is ever run.
// Implementations are safe for concurrent use. A host that asks for patience gives a fault of
// kind Unavailable that wraps Throttled; a repository that may not be asked one of kind Invalid
// or Forbidden; one that is not there, or not for us, NotFound or Forbidden.
type Sources interface {
	// Refs is the commit that each branch and tag names now, by its whole name
	// ("refs/heads/main"). An annotated tag counts as its commit.
	Refs(ctx context.Context, repository string) (map[string]string, error)
	// Commit reads one commit. NotFound when there is none of that id.
	Commit(ctx context.Context, repository, commit string) (Commit, error)
	// Files reads the regular files directly in the directory dir of a commit, by their names
	// without it; "" is the root. Links and submodules are left out. NotFound when there is
	// no such commit or directory, TooLarge over MaxFiles or MaxFile.
	Files(ctx context.Context, repository, commit, dir string) (map[string][]byte, error)
	// Ancestor reports whether old is new or one of its ancestors. An old that the
	// repository does not know is none; NotFound when it does not know new.
	Ancestor(ctx context.Context, repository, old, new string) (bool, error)
}

// Limits of what is read of a Git repository.
const (
	MaxFiles  = 200       // files of one directory
	MaxFile   = 256 << 10 // bytes of one of them
	MaxCommit = 1 << 20   // bytes of one commit object
)

// Throttled says that whoever was asked wants to be left alone for a while. It is the cause
// of a fault of kind Unavailable; find it with errors.As.
type Throttled struct {
	After time.Duration // from when it was asked; 0 where it did not say how long
}

// Error implements error.
func (t Throttled) Error() string {
	if t.After == 0 {
		return "asked to wait"
	}
	return fmt.Sprintf("asked to wait %s", t.After)
}

// maxThrottle bounds what a host may ask for.
const maxThrottle = 24 * time.Hour

// ThrottledBy reads the Retry-After header of an answer with status 429 or 503: seconds, or
// an HTTP date, which is measured against the answer's own Date header where it has one, so
// that two clocks need not agree. What cannot be read is 0, more than a day is a day.
func ThrottledBy(retryAfter, date string, now time.Time) Throttled {
	retryAfter = strings.TrimSpace(retryAfter)
	if n, err := strconv.ParseUint(retryAfter, 10, 64); err == nil {
		return Throttled{time.Duration(min(n, uint64(maxThrottle/time.Second))) * time.Second}
	}
	until, ok := httpDate(retryAfter)
	if !ok {
		return Throttled{}
	}
	if theirs, ok := httpDate(date); ok {
		now = theirs
	}
	return Throttled{min(max(until.Sub(now), 0), maxThrottle)}
}

// httpDate reads the three forms of RFC 9110, section 5.6.7.
func httpDate(s string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
