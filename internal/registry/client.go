package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// ClientConfig says how a client reaches registries.
type ClientConfig struct {
	// Local is the base URL of this server's registry, for references without a host,
	// for example "http://127.0.0.1:8080". Empty: such references are refused.
	Local string
	// Auth returns what to log in with at a host, "" standing for Local. An empty token
	// means anonymous; an empty user is sent as "drawbridge". nil means anonymous everywhere.
	Auth func(host string) (user, token string)
	// HTTP gives the transport and the timeout of each request; nil means a transport of
	// its own and no timeout but the context's.
	HTTP *http.Client
	// Cache bounds what is kept in memory of manifests and bundles, bytes; 0 means 64 MiB.
	Cache int64
	// Temp is where images are spooled while they are built; empty means os.TempDir.
	Temp string
}

// Client reads from and writes to registries. What it returns for a digest has that digest.
// It is safe for concurrent use.
//
// Its faults are NotFound, Forbidden (no or too weak a token), Unavailable (out of reach,
// overloaded, failing; it wraps bridge.Throttled when the registry asks to wait), Full, TooLarge, Conflict, and Invalid for what is malformed. It
// does not retry: whoever calls it runs in a job that does.
type Client struct {
	config  ClientConfig
	inner   http.RoundTripper
	cache   *cache
	writing locks // fallback indexes, by name

	mu       sync.Mutex
	sessions map[sessionKey]*session
}

var (
	_ bridge.Evidence = (*Client)(nil)
	_ bridge.Images   = (*Client)(nil)
)

// NewClient makes a client; it connects to nothing yet. A Local that is no http or https
// URL is a fault of kind Invalid.
func NewClient(config ClientConfig) (*Client, error) {
	if config.Local != "" {
		u, err := url.Parse(config.Local)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
			return nil, fault.New(fault.Invalid, "%q is no address of a registry", config.Local).WithHint("write http://HOST:PORT or https://HOST")
		}
	}
	if config.Auth == nil {
		config.Auth = func(string) (string, string) { return "", "" }
	}
	c := &Client{config: config, cache: newCache(cmp.Or(config.Cache, 64<<20)), sessions: map[sessionKey]*session{}}
	c.inner = newTransport()
	if config.HTTP != nil && config.HTTP.Transport != nil {
		c.inner = config.HTTP.Transport
	}
	return c, nil
}

// Resolve returns the digest that ref names now. A reference with a digest is checked to
// exist, whatever its tag; one with neither is a fault of kind Invalid.
func (c *Client) Resolve(ctx context.Context, ref artifact.Reference) (artifact.Digest, error) {
	name, err := nameOf(ref)
	if err != nil {
		return artifact.Digest{}, err
	}
	s, err := c.session(ctx, ref, false)
	if err != nil {
		return artifact.Digest{}, err
	}
	digest, err := s.head(ctx, name)
	if err != nil || !digest.IsZero() {
		return digest, err
	}
	// The registry did not say the digest: compute it.
	body, _, err := s.manifest(ctx, name)
	if err != nil {
		return artifact.Digest{}, err
	}
	return artifact.DigestOf(body), nil
}

// Manifest returns the manifest that ref names, by digest when it has one, and its media
// type. It has at most MaxManifest bytes. One named by digest may come from the cache.
func (c *Client) Manifest(ctx context.Context, ref artifact.Reference) (body []byte, mediaType string, err error) {
	name, err := nameOf(ref)
	if err != nil {
		return nil, "", err
	}
	if body, mediaType, ok := c.cache.get(ref.Digest); ok {
		return body, mediaType, nil
	}
	s, err := c.session(ctx, ref, false)
	if err != nil {
		return nil, "", err
	}
	body, mediaType, err = s.manifest(ctx, name)
	if err != nil {
		return nil, "", err
	}
	c.cache.put(artifact.DigestOf(body), body, mediaType)
	return body, mediaType, nil
}

// Blob opens the blob d of ref's repository. The last Read gives an error instead of io.EOF
// when the content does not have that digest: use nothing of it before. The caller closes
// it, and bounds how much it reads.
func (c *Client) Blob(ctx context.Context, ref artifact.Reference, d artifact.Digest) (io.ReadCloser, error) {
	s, err := c.session(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(ctx, http.MethodGet, "blobs/"+d.String(), nil, nil, http.StatusOK) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, err
	}
	return newVerifier(resp.Body, d), nil
}

// Tag makes tag name ref's digest. It is idempotent; a tag that names another digest
// already is a fault of kind Conflict and stays.
func (c *Client) Tag(ctx context.Context, ref artifact.Reference, tag string) error {
	if !artifact.ValidTag(tag) {
		return fault.New(fault.Invalid, "%q is no tag", tag).WithHint("use letters, digits, dots, dashes and underscores, at most 128")
	}
	body, mediaType, err := c.byDigest(ctx, ref)
	if err != nil {
		return err
	}
	s, err := c.session(ctx, ref, true)
	if err != nil {
		return err
	}
	current, _, err := s.manifest(ctx, tag)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return err
	case artifact.DigestOf(current) != ref.Digest:
		return fault.New(fault.Conflict, "tag %s of %s names %s already; tags do not move", tag, ref.Name(), artifact.DigestOf(current))
	case ref.Host != "":
		return nil // others may refuse to write the same once more
	}
	// Our own registry is always written to: the tag may stand there without its row.
	_, err = s.putManifest(ctx, tag, mediaType, body)
	return err
}

// byDigest returns the manifest of a reference that must have a digest.
func (c *Client) byDigest(ctx context.Context, ref artifact.Reference) (body []byte, mediaType string, err error) {
	if ref.Digest.IsZero() {
		return nil, "", fault.New(fault.Invalid, "%s names no digest", ref)
	}
	return c.Manifest(ctx, ref)
}

// nameOf is the part of a reference by which a registry knows a manifest.
func nameOf(ref artifact.Reference) (string, error) {
	switch {
	case !ref.Digest.IsZero():
		return ref.Digest.String(), nil
	case ref.Tag != "":
		return ref.Tag, nil
	}
	return "", fault.New(fault.Invalid, "%s names neither a tag nor a digest", ref).WithHint("add :TAG or @sha256:…")
}

// head asks which digest a tag or digest names. The zero digest, without an error, means
// that it exists and the registry did not say.
func (s *session) head(ctx context.Context, name string) (artifact.Digest, error) {
	resp, err := s.do(ctx, http.MethodHead, "manifests/"+name, http.Header{"Accept": {acceptManifests}}, nil, http.StatusOK)
	if err != nil {
		return artifact.Digest{}, err
	}
	closeBody(resp)
	if strings.Contains(name, ":") {
		return artifact.ParseDigest(name)
	}
	digest, err := artifact.ParseDigest(resp.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return artifact.Digest{}, nil //nolint:nilerr // no digest said is an answer too
	}
	return digest, nil
}

// manifest reads a manifest by tag or digest, and checks it when it is named by digest.
func (s *session) manifest(ctx context.Context, name string) (body []byte, mediaType string, err error) {
	resp, err := s.do(ctx, http.MethodGet, "manifests/"+name, http.Header{"Accept": {acceptManifests}}, nil, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer closeBody(resp)
	body, err = s.read(ctx, resp, MaxManifest)
	if err != nil {
		return nil, "", err
	}
	if strings.Contains(name, ":") && artifact.DigestOf(body).String() != name {
		return nil, "", fault.New(fault.Unavailable, "%s answers with other content than %s", s.host, name)
	}
	var m struct{ MediaType string }
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, "", fault.Wrap(fault.Invalid, err, "%s of %s is no manifest", name, s.name)
	}
	return body, cmp.Or(m.MediaType, mediaTypeOf(resp.Header)), nil
}

// putManifest writes a manifest under a tag or its digest. It reports whether the registry
// keeps referrers itself, which it says by naming the subject.
func (s *session) putManifest(ctx context.Context, name, mediaType string, body []byte) (keepsReferrers bool, err error) {
	resp, err := s.do(ctx, http.MethodPut, "manifests/"+name, http.Header{"Content-Type": {mediaType}}, bytesBody(body), http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return false, err
	}
	closeBody(resp)
	return resp.Header.Get("OCI-Subject") != "", nil
}

// putBlob uploads a blob unless it is there. open gives its content anew.
func (s *session) putBlob(ctx context.Context, d artifact.Digest, b body) error {
	resp, err := s.do(ctx, http.MethodHead, "blobs/"+d.String(), nil, nil, http.StatusOK)
	if err == nil {
		closeBody(resp)
		return nil
	}
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	resp, err = s.do(ctx, http.MethodPost, "blobs/uploads/", nil, nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	closeBody(resp)
	location, err := resp.Location()
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "%s gives no place to upload to", s.host)
	}
	q := location.Query()
	q.Set("digest", d.String())
	location.RawQuery = q.Encode()
	resp, err = s.send(ctx, http.MethodPut, location.String(), http.Header{"Content-Type": {"application/octet-stream"}}, &b, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return fmt.Errorf("upload %s: %w", d, err)
	}
	closeBody(resp)
	return nil
}

// errDigest says that content does not have the digest that it was asked for by.
var errDigest = errors.New("content does not have its digest")
