// Package client speaks the HTTP API: the command line and CI's outbox use it.
//
// A problem that the server answers comes back as the fault that it stands for; a server
// that does not answer, or that answers with something else, is a fault of kind
// Unavailable. Nothing is retried: the caller knows whether that is safe.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// maxAnswer is the largest JSON answer that is read, in bytes.
const maxAnswer = 64 << 20

// Config says which server to speak to.
type Config struct {
	Server string       // base URL, for example "http://127.0.0.1:8080"; a bare host:port means http
	Token  string       // secret of a token; may be empty
	HTTP   *http.Client // nil means one without a time limit: contexts bound the calls
}

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  http.Client
}

// New returns a client. A malformed server address is a fault of kind Invalid.
func New(cfg Config) (*Client, error) {
	text := cfg.Server
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fault.New(fault.Invalid, "%.80q is no server address", cfg.Server).
			WithHint("write http://HOST:PORT in --server or DRAWBRIDGE_SERVER")
	}
	c := &Client{base: base, token: cfg.Token}
	if cfg.HTTP != nil {
		c.http = *cfg.HTTP
	}
	// The token goes to the server that was named and to no other.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Get reads the JSON at path (with query) into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.Send(ctx, http.MethodGet, path, nil, out)
}

// Send makes a request with in as its JSON body and reads the JSON answer into out; each
// may be nil.
func (c *Client) Send(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return c.exchange(ctx, method, path, "application/json", body, out)
}

// Post hands one CloudEvent (structured JSON) to the bridge. It returns nil once the
// server has committed the event, or knew it before.
func (c *Client) Post(ctx context.Context, event []byte) error {
	return c.exchange(ctx, http.MethodPost, "/api/v1/events", api.CloudEventType, event, nil)
}

// Upload sends content of another media type and reads the JSON answer into out, which may be nil.
func (c *Client) Upload(ctx context.Context, method, path, media string, content []byte, out any) error {
	return c.exchange(ctx, method, path, media, content, out)
}

func (c *Client) exchange(ctx context.Context, method, path, media string, body []byte, out any) error {
	resp, err := c.do(ctx, method, path, media, body, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below, or given up
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return c.broken(ctx, err)
	}
	if len(b) > maxAnswer {
		return fault.New(fault.TooLarge, "the answer has more than %d bytes", maxAnswer).WithHint("ask for fewer with a limit")
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return c.foreign(resp)
	}
	return nil
}

// Open returns the answer's body as it is, a log for example. The caller closes it; ctx
// ends it.
func (c *Client) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, path, "", nil, "*/*")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// do sends a request and returns the answer if it is a success; the caller closes its body.
func (c *Client) do(ctx context.Context, method, path, media string, body []byte, accept string) (*http.Response, error) {
	target, err := c.base.Parse(strings.TrimSuffix(c.base.Path, "/") + path)
	if err != nil || target.Host != c.base.Host || target.Scheme != c.base.Scheme {
		return nil, fault.New(fault.Invalid, "%.80q is no path of the server", path)
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	req.Header.Set("Accept", accept)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only the problem in it matters
	return nil, c.problem(resp)
}

// problem is the fault that an answer stands for.
func (c *Client) problem(resp *http.Response) error {
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && media == api.ProblemType {
		var p api.Problem
		if json.NewDecoder(io.LimitReader(resp.Body, api.MaxBody)).Decode(&p) == nil && p.Kind != "" {
			return p.Fault()
		}
	}
	return c.foreign(resp)
}

// foreign is the fault of an answer that no Drawbridge server gives.
func (c *Client) foreign(resp *http.Response) error {
	return fault.New(fault.Unavailable, "%s answers %s, not as a Drawbridge server does", c.base.Redacted(), resp.Status).
		WithHint("check --server, and the proxies on the way")
}

// broken is the fault of a server that cannot be reached or broke off.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s does not answer: %v", c.base.Redacted(), err).
		WithHint("is the server running? start it with drawbridge server")
}

// Each yields every item of the list at path, page by page; path may have a query. It
// ends after the first error.
func Each[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		after := ""
		for {
			var page api.List[T]
			if err := c.Get(ctx, withQuery(path, "after", after), &page); err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if page.Next == after {
				yield(none, fault.New(fault.Internal, "the server sends the page after %.80q again", after))
				return
			}
			after = page.Next
		}
	}
}

func withQuery(path, key, value string) string {
	if value == "" {
		return path
	}
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + url.Values{key: {value}}.Encode()
}
