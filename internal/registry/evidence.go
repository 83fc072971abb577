package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// mediaTypeBundle is the artifact type of an attached Sigstore bundle, and the media type
// of its one layer.
const mediaTypeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"

// maxListed bounds how many referrers of any type are looked at for one artifact.
const maxListed = 10_000

// List implements bridge.Evidence. Where a registry has no referrers API it reads the
// index under the subject's fallback tag.
func (c *Client) List(ctx context.Context, ref artifact.Reference) ([]bridge.Referrer, error) {
	if ref.Digest.IsZero() {
		return nil, fault.New(fault.Invalid, "%s names no digest", ref)
	}
	s, err := c.session(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	found := listing{ref: ref}
	err = s.pages(ctx, "referrers/"+ref.Digest.String(), url.Values{"artifactType": {mediaTypeBundle}}, func(resp *http.Response, body []byte) error {
		if mediaTypeOf(resp.Header) != mediaTypeIndex {
			return errNoReferrers
		}
		return found.add(body)
	})
	if noReferrers(err) {
		found = listing{ref: ref}
		err = s.listFallback(ctx, ref.Digest, &found)
	}
	if err != nil {
		return nil, err
	}
	return c.bundles(ctx, found)
}

// errNoReferrers says that a registry has no referrers API.
var errNoReferrers = fault.New(fault.NotFound, "the registry lists no referrers")

// noReferrers reports whether an error says that. Registries without the API answer its
// path with 404, 400 or 405; a registry that has it never does for a well-formed digest.
func noReferrers(err error) bool {
	return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid)
}

// listFallback reads the list under the fallback tag. No such tag means no referrers.
func (s *session) listFallback(ctx context.Context, subject artifact.Digest, found *listing) error {
	body, mediaType, err := s.manifest(ctx, fallbackName(subject))
	if fault.Is(err, fault.NotFound) || (err == nil && mediaType != mediaTypeIndex) {
		return nil
	}
	if err != nil {
		return err
	}
	return found.add(body)
}

// fallbackName is the tag under which the referrers tag schema lists a subject's referrers.
func fallbackName(subject artifact.Digest) string { return "sha256-" + subject.Hex() }

// listing gathers the pages of one list of referrers.
type listing struct {
	ref     artifact.Reference
	listed  int
	bundles map[artifact.Digest]int64 // manifest sizes
	unknown map[artifact.Digest]int64 // of manifests whose type the list does not say
}

// add takes one page. Entries that cannot be bundles are counted and dropped.
func (l *listing) add(body []byte) error {
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(body, &index); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the list of referrers of %s is malformed", l.ref)
	}
	if l.bundles == nil {
		l.bundles, l.unknown = map[artifact.Digest]int64{}, map[artifact.Digest]int64{}
	}
	if l.listed += len(index.Manifests); l.listed > maxListed {
		return l.tooMany(maxListed)
	}
	for _, m := range index.Manifests {
		digest, err := artifact.ParseDigest(m.Digest)
		if err != nil {
			continue // a digest of another algorithm is none of ours
		}
		switch {
		case m.ArtifactType == mediaTypeBundle:
			l.bundles[digest] = max(m.Size, 0)
		case (m.ArtifactType == "" || m.ArtifactType == mediaTypeEmpty) && m.MediaType == mediaTypeManifest:
			// Some registries list the type of the config, or none.
			l.unknown[digest] = max(m.Size, 0)
		}
	}
	if len(l.bundles) > bridge.MaxReferrers || len(l.unknown) > bridge.MaxReferrers {
		return l.tooMany(bridge.MaxReferrers)
	}
	return nil
}

func (l *listing) tooMany(n int) error {
	return fault.New(fault.TooLarge, "%s has more than %d referrers", l.ref, n)
}

// bundles is the listing's result. Manifests whose type the list does not say are read.
func (c *Client) bundles(ctx context.Context, l listing) ([]bridge.Referrer, error) {
	var found []bridge.Referrer
	for digest, size := range l.bundles {
		found = append(found, bridge.Referrer{Manifest: digest, Size: size})
	}
	for digest, size := range l.unknown {
		m, err := c.readManifest(ctx, l.ref.WithDigest(digest))
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
			continue // listed, but gone or no manifest: it carries no evidence
		}
		if err != nil {
			return nil, err
		}
		if m.artifactType() == mediaTypeBundle {
			found = append(found, bridge.Referrer{Manifest: digest, Size: size})
		}
	}
	if len(found) > bridge.MaxReferrers {
		return nil, l.tooMany(bridge.MaxReferrers)
	}
	slices.SortFunc(found, func(a, b bridge.Referrer) int { return cmp.Compare(a.Manifest.Hex(), b.Manifest.Hex()) })
	return found, nil
}

func (c *Client) readManifest(ctx context.Context, ref artifact.Reference) (manifest, error) {
	var m manifest
	body, _, err := c.byDigest(ctx, ref)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fault.Wrap(fault.Invalid, err, "%s is no manifest", ref)
	}
	return m, nil
}

// Fetch implements bridge.Evidence. A referrer that is no bundle of ref, whatever the
// registry listed, is a fault of kind Invalid.
func (c *Client) Fetch(ctx context.Context, ref artifact.Reference, r bridge.Referrer) ([]byte, error) {
	m, err := c.readManifest(ctx, ref.WithDigest(r.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read referrer %s: %w", r.Manifest, err)
	}
	switch {
	case m.Subject == nil || m.Subject.Digest != ref.Digest.String():
		return nil, fault.New(fault.Invalid, "referrer %s does not refer to %s", r.Manifest, ref)
	case m.artifactType() != mediaTypeBundle || len(m.Layers) != 1 || m.Layers[0].MediaType != mediaTypeBundle:
		return nil, fault.New(fault.Invalid, "referrer %s is no Sigstore bundle", r.Manifest)
	case m.Layers[0].Size > bridge.MaxBundle:
		return nil, fault.New(fault.TooLarge, "the bundle of referrer %s has more than %d bytes", r.Manifest, bridge.MaxBundle)
	}
	digest, err := artifact.ParseDigest(m.Layers[0].Digest)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the bundle of referrer %s has no sha256 digest", r.Manifest)
	}
	return c.smallBlob(ctx, ref, digest, bridge.MaxBundle)
}

// smallBlob reads a blob of at most limit bytes, through the cache.
func (c *Client) smallBlob(ctx context.Context, ref artifact.Reference, d artifact.Digest, limit int64) ([]byte, error) {
	if body, _, ok := c.cache.get(d); ok {
		return body, nil
	}
	s, err := c.session(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(ctx, http.MethodGet, "blobs/"+d.String(), nil, nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	body, err := s.read(ctx, resp, limit)
	if err != nil {
		return nil, err
	}
	if artifact.DigestOf(body) != d {
		return nil, fault.Wrap(fault.Unavailable, errDigest, "%s answers with other content than %s", s.host, d)
	}
	c.cache.put(d, body, "")
	return body, nil
}
