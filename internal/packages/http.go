package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// maxDocument bounds an answer of an API, bytes; an npm package's own document lists all of
// its versions.
const maxDocument = 32 << 20

// maxRedirects is how often a request may be sent on.
const maxRedirects = 5

// site is what may be asked for on behalf of one Spec.
type site struct {
	f      *Fetcher
	origin string // scheme and host of the Spec's address
	host   string // the host alone, with the port
}

// site is what may be asked for on behalf of the Spec with that origin.
func (f *Fetcher) site(origin string) site {
	_, host, _ := strings.Cut(origin, "://")
	return site{f, origin, host}
}

func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// get asks for a URL and returns an answer of status 200, whose body the caller closes.
func (s site) get(ctx context.Context, method, to string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, http.NoBody)
	if err != nil {
		return nil, fault.New(fault.Refused, "%s names a place that is no URL", s.host)
	}
	maps.Copy(r.Header, header)
	// The bytes are wanted as they are stored: a .tgz must not be unpacked on the way.
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", "drawbridge")
	client := http.Client{Transport: s, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fault.New(fault.Refused, "%s sends on more than %d times", s.host, maxRedirects)
		}
		return nil
	}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, unreachable(ctx, r.URL.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer closeBody(resp)
		return nil, s.refused(resp)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		defer closeBody(resp)
		return nil, fault.New(fault.Unavailable, "%s answers in the encoding %.20q, which was not asked for", resp.Request.URL.Host, e)
	}
	return resp, nil
}

// RoundTrip implements http.RoundTripper: it lets only allowed requests out, and logs in.
func (s site) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := s.allowed(r.URL); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Del("Referer") // an address may carry a signature
	r.Header.Del("Authorization")
	if originOf(r.URL) == s.origin {
		if a := s.f.config.Auth(s.host); a != "" {
			r.Header.Set("Authorization", a)
		}
	}
	return s.f.inner.RoundTrip(r)
}

func (s site) allowed(u *url.URL) error {
	own := originOf(u) == s.origin && loopback(u.Hostname()) // Spec.base lets no other one be without TLS
	if u.Scheme != "https" && (u.Scheme != "http" || !own) {
		return fault.New(fault.Refused, "%s leads to %s://%s; only https is followed", s.host, u.Scheme, u.Host)
	}
	if u.User != nil {
		return fault.New(fault.Refused, "%s leads to an address with a login", s.host)
	}
	return s.f.config.Guard.Host(u)
}

// document reads a JSON answer into v.
func (s site) document(ctx context.Context, to string, header http.Header, v any) error {
	body, _, err := s.read(ctx, to, header, maxDocument)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fault.Wrap(fault.Unavailable, err, "%s answers with a document of another form", s.host)
	}
	return nil
}

// read reads an answer of at most limit bytes, and its header.
func (s site) read(ctx context.Context, to string, header http.Header, limit int64) ([]byte, http.Header, error) {
	resp, err := s.get(ctx, http.MethodGet, to, header)
	if err != nil {
		return nil, nil, err
	}
	defer closeBody(resp)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, nil, unreachable(ctx, resp.Request.URL.Host, err)
	}
	if int64(len(body)) > limit {
		return nil, nil, fault.New(fault.TooLarge, "%s answers with more than %d bytes", resp.Request.URL.Host, limit)
	}
	return body, resp.Header, nil
}

// unreachable is the fault for a request without an answer. Of the URL only the host is told:
// the rest may carry a signature.
func unreachable(ctx context.Context, host string, err error) error {
	if f := fault.As(err); f != nil {
		return f // the guard's word
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: %w", host, ctx.Err())
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s is out of reach: %v", host, err)
}

// refused is the fault for an answer that is not 200.
func (s site) refused(resp *http.Response) error {
	host, status := resp.Request.URL.Host, resp.StatusCode
	limited := resp.Header.Get("X-Ratelimit-Remaining") == "0" || resp.Header.Get("Retry-After") != ""
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || (status == http.StatusForbidden && limited):
		return fault.Wrap(fault.Unavailable, patience(resp.Header), "%s wants to be left alone for a while (%d)", host, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.New(fault.Forbidden, "%s lets us not read it (%d)", host, status).WithHint("check the token for %s", s.host)
	case status == http.StatusNotFound || status == http.StatusGone:
		return fault.New(fault.NotFound, "%s has no %s", host, strings.TrimPrefix(resp.Request.URL.Path, "/"))
	}
	return fault.New(fault.Unavailable, "%s answers with status %d", host, status)
}

// patience reads how long a host wants to be left alone: Retry-After, or the time at which
// GitHub's quota is full again, in seconds since 1970. Times are measured by the host's own clock.
func patience(h http.Header) bridge.Throttled {
	retry, date := h.Get("Retry-After"), h.Get("Date")
	now, err := http.ParseTime(date)
	if reset, bad := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); retry == "" && bad == nil && err == nil {
		retry = strconv.FormatInt(max(reset-now.Unix(), 0), 10)
	}
	if _, bad := strconv.Atoi(retry); bad != nil && err != nil {
		return bridge.Throttled{} // a date, and none to measure it by
	}
	return bridge.ThrottledBy(retry, date, now)
}

// closeBody reads a little more, so that the connection may be used again, and closes.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // its end, or not
	_ = resp.Body.Close()                         // only read from
}

// bounded is ctx with the time limit of one file.
func (f *Fetcher) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, f.config.Timeout, fault.New(fault.Unavailable, "it took longer than %s", f.config.Timeout.Round(time.Millisecond)))
}
