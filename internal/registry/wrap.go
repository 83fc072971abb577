package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// TypePackage is the artifact type of a file of a package registry or of a release that was
// wrapped. It is stored and sent.
const TypePackage = "application/vnd.drawbridge.package.v1"

// titleAnnotation names the file that a layer is, as OCI clients write it when they pull.
const titleAnnotation = "org.opencontainers.image.title"

// maxTitle bounds a wrapped file's name, bytes.
const maxTitle = 255

// PackageFile is a file that is to become an artifact.
type PackageFile struct {
	Name      string            // of the file alone, without any path
	MediaType string            // of the content; empty means application/octet-stream
	Content   *io.SectionReader // is read two times; stays the caller's
	Bundles   [][]byte          // Sigstore bundles about the content, in any order
}

// Wrap makes a file an artifact in into's repository: one manifest of type TypePackage with an
// empty config and the file as its only layer, under its name. It returns the manifest's
// digest; it sets no tag, and into must name none. The same name, media type and content
// give the same digest, and a repetition changes nothing.
//
// The bundles become referrers of that manifest, as Attach makes them. What they state is
// about the file, not about the manifest: their subject is the layer's digest.
//
// A name that is no file's and a bundle that carries no statement are faults of kind Invalid;
// more than bridge.MaxReferrers bundles, one over bridge.MaxBundle, or all over bridge.MaxEvidence, is one of kind TooLarge.
func (c *Client) Wrap(ctx context.Context, into artifact.Reference, file PackageFile) (artifact.Digest, error) {
	if into.Tag != "" || !into.Digest.IsZero() {
		return artifact.Digest{}, fault.New(fault.Invalid, "%s: a file is wrapped by digest; name the repository alone", into)
	}
	types, err := file.check()
	if err != nil {
		return artifact.Digest{}, err
	}
	digest, err := c.wrap(ctx, into, file)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("wrap %s: %w", file.Name, err)
	}
	for i, b := range file.Bundles {
		// No time but the same one every time makes the same referrer every time.
		if _, err := c.Attach(ctx, into.WithDigest(digest), b, types[i], time.Unix(0, 0)); err != nil {
			return artifact.Digest{}, fmt.Errorf("wrap %s: %w", file.Name, err)
		}
	}
	return digest, nil
}

// check judges the file before anything is written, and returns the predicate type of each bundle.
func (f PackageFile) check() ([]string, error) {
	bad := f.Name == "" || f.Name == "." || f.Name == ".." || len(f.Name) > maxTitle || strings.ContainsAny(f.Name, `/\`) ||
		strings.ContainsFunc(f.Name, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
	if bad {
		return nil, fault.New(fault.Invalid, "%.50q cannot be the name of a file", f.Name)
	}
	if len(f.Bundles) > bridge.MaxReferrers {
		return nil, fault.New(fault.TooLarge, "%s has %d attestations; at most %d are kept", f.Name, len(f.Bundles), bridge.MaxReferrers)
	}
	types := make([]string, len(f.Bundles))
	total := 0
	for i, b := range f.Bundles {
		if total += len(b); len(b) > bridge.MaxBundle || total > bridge.MaxEvidence {
			return nil, fault.New(fault.TooLarge, "the attestations of %s are too large: at most %d bytes each, %d together", f.Name, bridge.MaxBundle, bridge.MaxEvidence)
		}
		var err error
		if types[i], err = predicateType(b); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "attestation %d of %s carries no statement", i+1, f.Name)
		}
	}
	return types, nil
}

// wrap pushes the manifest and its two blobs.
func (c *Client) wrap(ctx context.Context, into artifact.Reference, file PackageFile) (artifact.Digest, error) {
	content := func() io.Reader { return io.NewSectionReader(file.Content, 0, file.Content.Size()) }
	digest, err := artifact.ReadDigest(content())
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("read the file: %w", err)
	}
	layer := descriptor{
		MediaType: orElse(file.MediaType, "application/octet-stream"), Digest: digest.String(), Size: file.Content.Size(),
		Annotations: map[string]string{titleAnnotation: file.Name},
	}
	raw, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: mediaTypeManifest, ArtifactType: TypePackage,
		Config: describe(mediaTypeEmpty, emptyConfig), Layers: []descriptor{layer},
	})
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("write manifest: %w", err)
	}
	s, err := c.session(ctx, into, true)
	if err != nil {
		return artifact.Digest{}, err
	}
	whole := artifact.DigestOf(raw)
	if _, err := s.head(ctx, whole.String()); !fault.Is(err, fault.NotFound) {
		return whole, err // it is there, with its blobs
	}
	if err := s.putBlob(ctx, digest, body{file.Content.Size(), content}); err != nil {
		return artifact.Digest{}, err
	}
	if err := s.putBlob(ctx, artifact.DigestOf(emptyConfig), *bytesBody(emptyConfig)); err != nil {
		return artifact.Digest{}, err
	}
	if _, err := s.putManifest(ctx, whole.String(), mediaTypeManifest, raw); err != nil {
		return artifact.Digest{}, err
	}
	return whole, nil
}

// predicateType reads what kind of statement a bundle carries. It is a label: nothing is
// verified, and subjects of any kind of digest are taken, which are the verifier's to judge.
func predicateType(bundle []byte) (string, error) {
	var b struct {
		DSSEEnvelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		return "", fmt.Errorf("read bundle: %w", err)
	}
	var statement struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(b.DSSEEnvelope.Payload, &statement); err != nil {
		return "", fmt.Errorf("read statement: %w", err)
	}
	t := statement.PredicateType
	if t == "" || len(t) > 256 || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%.50q is no predicate type", t)
	}
	return t, nil
}
