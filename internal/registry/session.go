package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// session talks to one repository of one registry, logged in.
type session struct {
	host string // as people are told it
	name string // of the repository, with the host
	base string // URL of the repository's part of the API, ends with a slash
	http *http.Client
	user string // for basic authentication at our own registry; "" and a token elsewhere: not used

	token string

	// patience is the last Retry-After of an answer that the login's transport kept to
	// itself, nanoseconds.
	patience *atomic.Int64
}

type sessionKey struct {
	host, repository string
	push             bool
}

// maxSessions bounds how many logins are kept.
const maxSessions = 256

// loginTimeout bounds the handshake with a foreign registry.
const loginTimeout = 30 * time.Second

// newTransport is http.DefaultTransport with a bound on how long a registry may think.
func newTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.MaxIdleConnsPerHost = 16
	return t
}

// session logs in for ref's repository, or takes the login that it has.
func (c *Client) session(ctx context.Context, ref artifact.Reference, push bool) (*session, error) {
	key := sessionKey{ref.Host, ref.Repository, push}
	c.mu.Lock()
	s := c.sessions[key]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	var err error
	if ref.Host == "" {
		s, err = c.local(ref)
	} else {
		s, err = c.login(ctx, ref, push)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) >= maxSessions {
		clear(c.sessions)
	}
	c.sessions[key] = s
	return s, nil
}

// local is a session with this server's own registry.
func (c *Client) local(ref artifact.Reference) (*session, error) {
	if c.config.Local == "" {
		return nil, fault.New(fault.Invalid, "%s names no host, and this server has no registry of its own", ref).WithHint("write HOST/%s", ref.Repository)
	}
	base := strings.TrimSuffix(c.config.Local, "/")
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse registry address: %w", err)
	}
	s := &session{
		host: "this server's registry", name: ref.Name(), base: base + "/v2/" + ref.Repository + "/",
		http: c.client(guard{inner: c.inner, allowed: func(to *url.URL) bool { return to.Host == u.Host && to.Scheme == u.Scheme }}),
	}
	s.user, s.token = c.config.Auth("")
	return s, nil
}

// login is a session with a foreign registry. go-containerregistry's transport knows the
// ways in which registries want to be logged in to.
func (c *Client) login(ctx context.Context, ref artifact.Reference, push bool) (*session, error) {
	near := loopback(ref.Host)
	var options []name.Option
	if near {
		options = append(options, name.Insecure)
	}
	registry, err := name.NewRegistry(ref.Host, options...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is no registry", ref.Host)
	}
	scope := "repository:" + ref.Repository + ":pull"
	if push {
		scope = "repository:" + ref.Repository + ":push,pull"
	}
	auth := authn.Anonymous
	if user, token := c.config.Auth(ref.Host); token != "" {
		auth = &authn.Basic{Username: cmp.Or(user, "drawbridge"), Password: token}
	}
	s := &session{host: ref.Host, name: ref.Name(), base: "https://" + registry.RegistryStr() + "/v2/" + ref.Repository + "/", patience: &atomic.Int64{}}
	if near {
		s.base = "http" + strings.TrimPrefix(s.base, "https")
	}
	loginCtx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	inner, err := transport.NewWithContext(loginCtx, registry, auth, guard{inner: c.inner, patience: s.patience, allowed: func(to *url.URL) bool {
		// A registry elsewhere cannot send us to this machine, nor anywhere without TLS.
		if loopback(to.Host) {
			return near
		}
		return to.Scheme == "https"
	}}, []string{scope})
	if err != nil {
		if te, ok := errors.AsType[*transport.Error](err); ok {
			return nil, s.refused(te.StatusCode, "the login was refused", s.keptBack(te.StatusCode))
		}
		return nil, s.unreachable(ctx, err)
	}
	s.http = c.client(inner)
	return s, nil
}

func (c *Client) client(t http.RoundTripper) *http.Client {
	client := &http.Client{Transport: t}
	if c.config.HTTP != nil {
		client.Timeout = c.config.HTTP.Timeout
	}
	return client
}

// loopback reports whether host, with or without a port, is this machine's loopback.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

// guard lets only allowed URLs be asked for, redirects and token servers included.
type guard struct {
	inner    http.RoundTripper
	allowed  func(*url.URL) bool
	patience *atomic.Int64 // gets Retry-After, nanoseconds; may be nil
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !g.allowed(r.URL) {
		return nil, fmt.Errorf("%s://%s is not allowed here", r.URL.Scheme, r.URL.Host)
	}
	resp, err := g.inner.RoundTrip(r)
	if err == nil && g.patience != nil {
		if t := throttled(resp); t != nil {
			g.patience.Store(int64(t.After))
		}
	}
	return resp, err
}

// throttled is what an answer says about when to come again; nil when it does not say.
func throttled(resp *http.Response) *bridge.Throttled {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return nil
	}
	t := bridge.ThrottledBy(resp.Header.Get("Retry-After"), resp.Header.Get("Date"), time.Now())
	return &t
}

// keptBack is the same for an answer that the login's transport read and turned into an error.
func (s *session) keptBack(status int) *bridge.Throttled {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return nil
	}
	return &bridge.Throttled{After: time.Duration(s.patience.Load())}
}

// body is the content of a request.
type body struct {
	size int64
	open func() io.Reader
}

func bytesBody(b []byte) *body {
	return &body{int64(len(b)), func() io.Reader { return bytes.NewReader(b) }}
}

// do sends a request for a path of the repository's part of the API; see send.
func (s *session) do(ctx context.Context, method, path string, header http.Header, b *body, want ...int) (*http.Response, error) {
	return s.send(ctx, method, s.base+path, header, b, want...)
}

// send sends a request and returns the answer when its status is one of want; the caller
// closes its body. Anything else is a fault.
func (s *session) send(ctx context.Context, method, to string, header http.Header, b *body, want ...int) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, http.NoBody)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "%s names a place that is no URL", s.host)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	if b != nil {
		r.Body, r.ContentLength = io.NopCloser(b.open()), b.size
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.open()), nil }
	}
	if s.token != "" {
		r.SetBasicAuth(cmp.Or(s.user, "drawbridge"), s.token)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	if slices.Contains(want, resp.StatusCode) {
		return resp, nil
	}
	defer closeBody(resp)
	return nil, s.refused(resp.StatusCode, messageOf(resp), throttled(resp))
}

// read reads an answer's body of at most limit bytes.
func (s *session) read(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "%s answers with more than %d bytes", s.host, limit)
	}
	return b, nil
}

// maxPages bounds how many pages of a listing are read.
const maxPages = 1000

// pages reads a listing page by page, as Link headers connect them. Only their query is
// taken: a registry cannot send us elsewhere.
func (s *session) pages(ctx context.Context, path string, query url.Values, page func(*http.Response, []byte) error) error {
	to := query.Encode()
	for range maxPages {
		resp, err := s.do(ctx, http.MethodGet, path+"?"+to, http.Header{"Accept": {mediaTypeIndex + ", application/json"}}, nil, http.StatusOK)
		if err != nil {
			return err
		}
		b, err := s.read(ctx, resp, MaxManifest)
		closeBody(resp)
		if err != nil {
			return err
		}
		if err := page(resp, b); err != nil {
			return err
		}
		next := nextQuery(resp.Header)
		if next == "" || next == to {
			return nil
		}
		to = next
	}
	return fault.New(fault.TooLarge, "%s answers with more than %d pages", s.host, maxPages)
}

// unreachable is the fault for a request without an answer. Of the URL only what the host
// is called is told: it may carry a signature.
func (s *session) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: %w", s.host, ctx.Err())
	}
	if te, ok := errors.AsType[*transport.Error](err); ok && s.keptBack(te.StatusCode) != nil {
		return s.refused(te.StatusCode, "the login was refused", s.keptBack(te.StatusCode))
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s is out of reach: %v", s.host, err)
}

// refused is the fault for an answer with a status that was not wanted; wait is its cause
// where the registry asks to be left alone.
func (s *session) refused(status int, message string, wait *bridge.Throttled) error {
	kind, hint := fault.Invalid, ""
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind, hint = fault.Forbidden, "check the token for "+s.host
	case status == http.StatusNotFound:
		kind = fault.NotFound
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		kind = fault.Conflict
	case status == http.StatusRequestEntityTooLarge:
		kind = fault.TooLarge
	case status == http.StatusInsufficientStorage:
		kind = fault.Full
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		kind = fault.Unavailable
	}
	var cause error
	if wait != nil {
		cause = *wait
	}
	f := fault.Wrap(kind, cause, "%s: %s (%d)", s.name, message, status)
	if hint != "" {
		f = f.WithHint("%s", hint)
	}
	return f
}
