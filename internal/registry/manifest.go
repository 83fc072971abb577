package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/handlers"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// acceptManifests are the media types of manifests, as an Accept header.
const acceptManifests = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, " +
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// manifest is a manifest or an index: what this package writes and reads of either.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// artifactType is what the specification says referrers are filtered by.
func (m manifest) artifactType() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

// putManifest stores a manifest: judged before anything is written, then written through,
// then its rows, then the answer.
func (e *Embedded) putManifest(w http.ResponseWriter, r *http.Request, access Access, at place) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxManifest+1))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the manifest could not be read to its end")
	}
	if len(body) > MaxManifest {
		return fault.New(fault.TooLarge, "a manifest has at most %d bytes", MaxManifest)
	}
	p := put{
		place: at, app: e.app, rows: e.config.Rows, access: access, body: body,
		digest: artifact.DigestOf(body), mediaType: mediaTypeOf(r.Header), now: e.config.Now(),
	}
	if err := p.parse(); err != nil {
		return err
	}
	// A client that leaves now must not leave half of it behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	if p.tag != "" {
		release, err := e.locks.acquire(ctx, at.repository+":"+p.tag)
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "tag %s is being written by others", p.tag)
		}
		defer release()
	}
	answer, err := p.do(ctx)
	if err != nil {
		return err
	}
	answer.copyTo(w)
	return nil
}

// put is one write of a manifest.
type put struct {
	place
	app       *handlers.App
	rows      Rows
	access    Access
	body      []byte
	digest    artifact.Digest // of body
	mediaType string          // as the client sent it
	now       time.Time

	manifest manifest
	subject  artifact.Digest // zero: none
	tag      string          // empty: written by digest
}

// parse reads the manifest and refuses what it may not be. Whether it is complete is left
// to the library.
func (p *put) parse() error {
	if err := json.Unmarshal(p.body, &p.manifest); err != nil {
		return fault.Wrap(fault.Invalid, err, "the manifest is no valid JSON of a manifest: %v", err)
	}
	if strings.Contains(p.reference, ":") {
		if p.reference != p.digest.String() {
			return &answer{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the manifest's digest is %s, not %s", p.digest, p.reference)}
		}
	} else {
		p.tag = p.reference
	}
	for _, l := range p.manifest.Layers {
		if len(l.URLs) > 0 {
			return fault.New(fault.Invalid, "layer %s is elsewhere; an artifact is kept whole", l.Digest)
		}
	}
	if p.manifest.Subject == nil {
		return nil
	}
	subject, err := artifact.ParseDigest(p.manifest.Subject.Digest)
	if err != nil {
		return fault.New(fault.Invalid, "the manifest's subject has no sha256 digest")
	}
	p.subject = subject
	size := 0
	for k, v := range p.manifest.Annotations {
		size += len(k) + len(v)
	}
	if size > MaxAnnotations {
		return fault.New(fault.TooLarge, "a referrer's annotations have at most %d bytes, not %d", MaxAnnotations, size)
	}
	return nil
}

// do writes. The caller holds the lock of the tag.
func (p *put) do(ctx context.Context) (*recorder, error) {
	if err := p.mayWrite(ctx); err != nil {
		return nil, err
	}
	stored := p.inner(ctx, http.MethodPut, p.body)
	if stored.status != http.StatusCreated {
		return stored, nil
	}
	if !p.subject.IsZero() {
		if err := p.rows.AddReferrer(ctx, Referrer{
			Repository: p.repository, Subject: p.subject, Manifest: p.digest, ArtifactType: p.manifest.artifactType(),
			MediaType: p.mediaType, Size: int64(len(p.body)), Annotations: p.manifest.Annotations,
		}); err != nil {
			return nil, fmt.Errorf("write referrer %s of %s: %w", p.digest, p.repository, err)
		}
		stored.header.Set("OCI-Subject", p.subject.String())
	}
	if p.tag != "" && !fallbackTag(p.tag) {
		if err := p.rows.WriteTag(ctx, Tag{
			Repository: p.repository, Name: p.tag, Digest: p.digest, MediaType: p.mediaType, ArtifactType: p.manifest.artifactType(),
			Actor: p.access.Name, Report: p.subject.IsZero() && !p.access.CI, At: p.now.UTC().Truncate(time.Millisecond),
		}); err != nil {
			return nil, fmt.Errorf("write tag %s of %s: %w", p.tag, p.repository, err)
		}
	}
	return stored, nil
}

// mayWrite refuses to move a tag, and to shrink the list behind a fallback tag.
func (p *put) mayWrite(ctx context.Context) error {
	if p.tag == "" {
		return nil
	}
	current := p.inner(ctx, http.MethodGet, nil)
	switch {
	case current.status == http.StatusNotFound:
		return nil
	case current.status != http.StatusOK:
		return fmt.Errorf("look at tag %s of %s: status %d", p.tag, p.repository, current.status)
	}
	digest := artifact.DigestOf(current.body.Bytes())
	switch {
	case digest == p.digest:
		return nil
	case !fallbackTag(p.tag):
		return fault.New(fault.Conflict, "tag %s of %s names %s already; tags do not move", p.tag, p.repository, digest)
	}
	var old manifest
	if err := json.Unmarshal(current.body.Bytes(), &old); err != nil {
		return fmt.Errorf("read tag %s of %s: %w", p.tag, p.repository, err)
	}
	has := map[string]bool{}
	for _, d := range append(p.manifest.Manifests, p.manifest.Layers...) {
		has[d.Digest] = true
	}
	for _, d := range append(old.Manifests, old.Layers...) {
		if !has[d.Digest] {
			return fault.New(fault.Conflict, "tag %s of %s may only grow, and %s is missing; read it again and repeat", p.tag, p.repository, d.Digest)
		}
	}
	return nil
}

// inner asks the library for the manifest that p writes.
func (p *put) inner(ctx context.Context, method string, body []byte) *recorder {
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	path := "http://registry.invalid/v2/" + p.repository + "/manifests/" + p.reference
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		rec.status = http.StatusInternalServerError
		return rec
	}
	if method == http.MethodPut {
		r.Header.Set("Content-Type", p.mediaType)
	}
	r.Header.Set("Accept", acceptManifests)
	p.app.ServeHTTP(rec, r)
	return rec
}

// recorder keeps an answer back until it may be given.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.body.Write(b)
}

func (r *recorder) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	// The status is out; a client that has gone cannot be told more.
	_, _ = w.Write(r.body.Bytes())
}
