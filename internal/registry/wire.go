package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// mediaTypeOf is the content type of a message without its parameters; "" when there is none.
func mediaTypeOf(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// closeBody ends the use of an answer. A little of what is left is read, so that the
// connection can be used again.
func closeBody(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // what matters of the answer was read
	_ = resp.Body.Close()                         // nothing was written that a Close could lose
}

// messageOf is the first message of a registry's error answer, cut to one short line of
// printable characters, else the status text.
func messageOf(resp *http.Response) string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	if err != nil || json.Unmarshal(b, &e) != nil || len(e.Errors) == 0 {
		return http.StatusText(resp.StatusCode)
	}
	message := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, cmp.Or(e.Errors[0].Message, e.Errors[0].Code))
	if runes := []rune(message); len(runes) > 200 {
		message = string(runes[:200]) + "…"
	}
	return cmp.Or(strings.TrimSpace(message), http.StatusText(resp.StatusCode))
}

// nextQuery is the query of the next page, "" when this is the last.
func nextQuery(h http.Header) string {
	if u := nextLink(h); u != nil {
		return u.RawQuery
	}
	return ""
}

// nextLink is where a Link header says that the next page is; nil when this is the last.
func nextLink(h http.Header) *url.URL {
	for _, link := range h.Values("Link") {
		_, rest, ok := strings.Cut(link, "<")
		target, parameters, closed := strings.Cut(rest, ">")
		if !ok || !closed || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
			continue
		}
		if u, err := url.Parse(target); err == nil {
			return u
		}
	}
	return nil
}

// verifier reads content and gives an error at its end when it does not have the digest.
type verifier struct {
	io.ReadCloser
	want artifact.Digest
	hash hash.Hash
}

func newVerifier(r io.ReadCloser, want artifact.Digest) *verifier {
	return &verifier{r, want, sha256.New()}
}

// Read implements io.Reader.
func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.ReadCloser.Read(b)
	v.hash.Write(b[:n])
	if err == io.EOF && hex.EncodeToString(v.hash.Sum(nil)) != v.want.Hex() {
		return n, fault.Wrap(fault.Unavailable, errDigest, "the registry answers with other content than %s", v.want)
	}
	return n, err
}
