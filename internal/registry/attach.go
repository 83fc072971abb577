package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

const (
	mediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaTypeEmpty    = "application/vnd.oci.empty.v1+json"
)

// emptyConfig is the config of a manifest that has none.
var emptyConfig = []byte("{}")

// Attach attaches a Sigstore bundle to the artifact that ref names by digest, and returns
// the digest of the referrer's manifest. The same arguments give the same digest, and a
// repetition changes nothing. predicateType goes into the annotations, as a hint: what
// counts is in the signed statement.
//
// Where a registry has no referrers API, the list under the fallback tag is written, read
// back, and written again while anything that was ever seen in it is missing. Attaches
// through this client wait for each other there; a writer elsewhere can still undo an
// entry after it was read back.
func (c *Client) Attach(ctx context.Context, ref artifact.Reference, bundle []byte, predicateType string, created time.Time) (artifact.Digest, error) {
	if len(bundle) > bridge.MaxBundle {
		return artifact.Digest{}, fault.New(fault.TooLarge, "a bundle has at most %d bytes, not %d", bridge.MaxBundle, len(bundle))
	}
	subject, mediaType, err := c.byDigest(ctx, ref)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("read subject: %w", err)
	}
	m := manifest{
		SchemaVersion: 2, MediaType: mediaTypeManifest, ArtifactType: mediaTypeBundle,
		Config:  describe(mediaTypeEmpty, emptyConfig),
		Layers:  []descriptor{*describe(mediaTypeBundle, bundle)},
		Subject: describe(mediaType, subject),
		Annotations: map[string]string{
			"dev.sigstore.bundle.content":       "dsse-envelope",
			"dev.sigstore.bundle.predicateType": predicateType,
			"org.opencontainers.image.created":  created.UTC().Format(time.RFC3339),
		},
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("write referrer: %w", err)
	}
	s, err := c.session(ctx, ref, true)
	if err != nil {
		return artifact.Digest{}, err
	}
	digest := artifact.DigestOf(raw)
	if err := s.uploadBundle(ctx, digest, bundle); err != nil {
		return artifact.Digest{}, fmt.Errorf("attach %s to %s: %w", predicateType, ref, err)
	}
	keeps, err := s.putManifest(ctx, digest.String(), mediaTypeManifest, raw)
	if err != nil || keeps {
		return digest, err
	}
	release, err := c.writing.acquire(ctx, ref.Name()+"@"+ref.Digest.String())
	if err != nil {
		return artifact.Digest{}, err
	}
	defer release()
	entry := *describe(mediaTypeManifest, raw)
	entry.ArtifactType, entry.Annotations = m.ArtifactType, m.Annotations
	return digest, s.appendFallback(ctx, ref.Digest, entry)
}

// describe is the descriptor of content.
func describe(mediaType string, content []byte) *descriptor {
	return &descriptor{MediaType: mediaType, Digest: artifact.DigestOf(content).String(), Size: int64(len(content))}
}

// uploadBundle uploads the blobs of a referrer's manifest unless that manifest is there.
func (s *session) uploadBundle(ctx context.Context, digest artifact.Digest, bundle []byte) error {
	if _, err := s.head(ctx, digest.String()); !fault.Is(err, fault.NotFound) {
		return err
	}
	for _, content := range [][]byte{bundle, emptyConfig} {
		if err := s.putBlob(ctx, artifact.DigestOf(content), *bytesBody(content)); err != nil {
			return err
		}
	}
	return nil
}

// fallbackTries bounds how often a fallback index is written for one entry.
const fallbackTries = 6

// appendFallback adds entry to the index under subject's fallback tag.
func (s *session) appendFallback(ctx context.Context, subject artifact.Digest, entry descriptor) error {
	added, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("write referrer: %w", err)
	}
	wanted := &fallbackIndex{}
	wanted.add(entry.Digest, added)
	for range fallbackTries {
		found, err := s.readFallback(ctx, subject)
		if err != nil {
			return err
		}
		if !wanted.merge(found) {
			return nil
		}
		raw, err := wanted.encode()
		if err != nil {
			return err
		}
		if _, err := s.putManifest(ctx, fallbackName(subject), mediaTypeIndex, raw); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "the referrers of %s are being written by others", subject)
}

// fallbackIndex is the list under a fallback tag. Entries keep every field that others wrote.
type fallbackIndex struct {
	order   []string
	entries map[string]json.RawMessage // by digest
}

func (f *fallbackIndex) add(digest string, entry json.RawMessage) {
	if _, ok := f.entries[digest]; ok {
		return
	}
	if f.entries == nil {
		f.entries = map[string]json.RawMessage{}
	}
	f.order = append(f.order, digest)
	f.entries[digest] = entry
}

// merge adds found's entries to f and reports whether found lacks any of f's.
func (f *fallbackIndex) merge(found *fallbackIndex) (lacks bool) {
	for _, digest := range found.order {
		f.add(digest, found.entries[digest])
	}
	return len(found.order) < len(f.order)
}

func (f *fallbackIndex) encode() ([]byte, error) {
	list := make([]json.RawMessage, 0, len(f.order))
	for _, digest := range f.order {
		list = append(list, f.entries[digest])
	}
	raw, err := json.Marshal(struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}{2, mediaTypeIndex, list})
	if err != nil {
		return nil, fmt.Errorf("write list of referrers: %w", err)
	}
	if len(raw) > MaxManifest {
		return nil, fault.New(fault.TooLarge, "the list of referrers has more than %d bytes", MaxManifest)
	}
	return raw, nil
}

// readFallback reads the index under subject's fallback tag; one that is missing is empty.
func (s *session) readFallback(ctx context.Context, subject artifact.Digest) (*fallbackIndex, error) {
	found := &fallbackIndex{}
	body, _, err := s.manifest(ctx, fallbackName(subject))
	if fault.Is(err, fault.NotFound) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the list of referrers of %s is malformed", subject)
	}
	for _, entry := range index.Manifests {
		var d descriptor
		if err := json.Unmarshal(entry, &d); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the list of referrers of %s is malformed", subject)
		}
		found.add(d.Digest, entry)
	}
	return found, nil
}
