package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// service is the one service of a host that is used.
const service = "git-upload-pack"

// ask sends a request, after the host was judged, and returns the answer when its status is
// 200 and its content of the type; the caller closes it.
func (r *Remote) ask(ctx context.Context, method, to string, body []byte, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the address of the repository cannot be used")
	}
	host := req.URL.Host
	if err := r.options.Allow(req.URL.Hostname()); err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "git/2.0 (drawbridge)") // some hosts serve Git to what looks like it alone
	req.Header.Set("Git-Protocol", "version=2")
	req.Header.Set("Accept", contentType)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-"+service+"-request")
	}
	if req.URL.Scheme == "https" || loopback(req.URL.Hostname()) {
		if user, token := r.options.Auth(host); token != "" {
			req.SetBasicAuth(cmp.Or(user, "drawbridge"), token)
		}
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, unreachable(ctx, host, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close() // nothing of it is read
		return nil, r.refused(host, resp)
	}
	if got, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || got != contentType {
		_ = resp.Body.Close() // nothing of it is read
		return nil, fault.New(fault.Invalid, "%s serves no Git repository there", host).WithHint("name the address that git clone takes")
	}
	return resp, nil
}

// unreachable is the fault for a request without an answer.
func unreachable(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, host)
	}
	if f := fault.As(err); f != nil {
		return f // the dialler's or the redirect's
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s is out of reach: %v", host, err)
}

// ended is the error of a call that took too long or was given up.
func ended(ctx context.Context, host string) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return fault.Wrap(fault.Unavailable, errTimeout, "%s does not answer in time", host)
	}
	return fmt.Errorf("ask %s: %w", host, context.Cause(ctx))
}

// errTimeout ends a call after Options.Timeout.
var errTimeout = errors.New("the time for a repository is over")

// refused is the fault for an answer that is no success.
func (r *Remote) refused(host string, resp *http.Response) error {
	status := resp.StatusCode
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		wait := bridge.ThrottledBy(resp.Header.Get("Retry-After"), resp.Header.Get("Date"), r.options.Now())
		return fault.Wrap(fault.Unavailable, wait, "%s asks to wait (%d)", host, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.New(fault.Forbidden, "%s does not let this server read the repository (%d)", host, status).
			WithHint("give the server a credential for %s, and check that the repository is there", host)
	case status == http.StatusNotFound || status == http.StatusGone:
		return fault.New(fault.NotFound, "%s has no such repository", host)
	case status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return fault.New(fault.Unavailable, "%s cannot answer (%d)", host, status)
	}
	return fault.New(fault.Invalid, "%s refuses to answer (%d)", host, status)
}

// link is a host that has said what it can do for one repository.
type link struct {
	remote *Remote
	host   string
	base   string            // address of the repository, as the host wants it
	two    bool              // protocol version 2; else 0 or 1
	can    map[string]string // capabilities and their values
	refs   []ref             // of versions 0 and 1, all that there are
}

// connect asks what there is. An address that the host does not know is tried once more
// with ".git", which events and people leave away.
func (r *Remote) connect(ctx context.Context, at *url.URL) (*link, error) {
	l, err := r.discover(ctx, at.String())
	if fault.Is(err, fault.NotFound) && !strings.HasSuffix(at.Path, ".git") {
		return r.discover(ctx, at.String()+".git")
	}
	return l, err
}

func (r *Remote) discover(ctx context.Context, base string) (*link, error) {
	const suffix = "/info/refs"
	resp, err := r.ask(ctx, http.MethodGet, base+suffix+"?service="+service, nil, "application/x-"+service+"-advertisement")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	u := *resp.Request.URL  // after redirects
	path, ok := strings.CutSuffix(u.Path, suffix)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s serves no Git repository there", u.Host)
	}
	l := &link{remote: r, host: u.Host, base: u.Scheme + "://" + u.Host + path, can: map[string]string{}}
	if err := l.advertised(newPackets(l.limit(resp.Body, maxRefBytes))); err != nil {
		return nil, l.broken(ctx, err)
	}
	return l, nil
}

// post sends one request of the protocol and hands the answer's packets to read.
func (l *link) post(ctx context.Context, m *message, limit int64, read func(*packets) error) error {
	resp, err := l.remote.ask(ctx, http.MethodPost, l.base+"/"+service, m.b.Bytes(), "application/x-"+service+"-result")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return l.broken(ctx, read(newPackets(l.limit(resp.Body, limit))))
}

// broken is the fault for an answer that could not be read to its end; nil stays nil.
func (l *link) broken(ctx context.Context, err error) error {
	var said *refusal
	switch {
	case err == nil || fault.As(err) != nil:
		return err
	case ctx.Err() != nil:
		return ended(ctx, l.host)
	case errors.As(err, &said) && (strings.Contains(said.message, "not our ref") || strings.Contains(said.message, "unadvertised object") || strings.Contains(said.message, "not valid")):
		return fault.New(fault.NotFound, "%s has no such commit: %s", l.host, said.message)
	case errors.As(err, &said):
		return fault.New(fault.Unavailable, "%s says: %s", l.host, said.message)
	}
	return fault.Wrap(fault.Unavailable, err, "%s does not answer as a Git host: %v", l.host, err)
}

// limit ends reading with a fault of kind TooLarge after n bytes.
func (l *link) limit(r io.Reader, n int64) io.Reader { return &bounded{r, n, n, l.host} }

type bounded struct {
	inner io.Reader
	left  int64
	limit int64
	host  string
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fault.New(fault.TooLarge, "%s answers with more than %d bytes", b.host, b.limit)
	}
	n, err := b.inner.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// printable is text in one short line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), "?"))
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:200]) + "…"
	}
	return s
}
