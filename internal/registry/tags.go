package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Limits of a list of tags.
const (
	maxTagPage   = 8 << 20 // bytes of one page: some registries give all tags at once
	maxValidator = 256     // bytes of one page's ETag
)

// Tags implements bridge.Images. The tags of the referrers tag schema are left out.
//
// A list has as many ETags as pages. All of them are asked again, each for its own page, and
// only when every one still holds is the list Unchanged; else all pages are read.
func (c *Client) Tags(ctx context.Context, image artifact.Reference, since bridge.TagPage) (bridge.TagList, error) {
	s, err := c.session(ctx, image, false)
	if err != nil {
		return bridge.TagList{}, err
	}
	known := parseTagState(since.ETag)
	if len(known) > 0 {
		same, err := s.sameTags(ctx, known)
		if err != nil {
			return bridge.TagList{}, err
		}
		if same {
			return bridge.TagList{ETag: since.ETag, Unchanged: true}, nil
		}
	}
	var tags []string
	var state tagState
	err = s.tagPages(ctx, func(page tagPage, body []byte) error {
		var list struct{ Tags []string }
		if err := json.Unmarshal(body, &list); err != nil {
			return fault.Wrap(fault.Unavailable, err, "%s answers with no list of tags", s.host)
		}
		if len(tags)+len(list.Tags) > bridge.MaxTags {
			return fault.New(fault.TooLarge, "%s has more than %d tags", image.Name(), bridge.MaxTags).
				WithHint("remove tags, or name the artifact's own repository")
		}
		for _, t := range list.Tags {
			if artifact.ValidTag(t) && !fallbackTag(t) {
				tags = append(tags, t)
			}
		}
		page.tags = len(list.Tags)
		state = append(state, page)
		return nil
	})
	if err != nil {
		return bridge.TagList{}, err
	}
	slices.Sort(tags)
	return bridge.TagList{Tags: slices.Compact(tags), ETag: state.text()}, nil
}

// sameTags reports whether each page of an earlier list still has its ETag, and the last is
// still the last. The Link header that says so may be missing in such an answer: see tagState.text.
func (s *session) sameTags(ctx context.Context, known tagState) (bool, error) {
	for i, page := range known {
		resp, err := s.do(ctx, http.MethodGet, "tags/list?"+page.Query, tagHeader(page.ETag), nil, http.StatusOK, http.StatusNotModified)
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
			return false, nil // the page's place is gone: the whole list says what holds
		}
		if err != nil {
			return false, err
		}
		closeBody(resp)
		if resp.StatusCode != http.StatusNotModified {
			return false, nil
		}
		next, err := s.nextTags(resp, page.Query)
		if err != nil {
			return false, err
		}
		if last := i == len(known)-1; last && next != "" {
			return false, nil
		}
	}
	return true, nil
}

// tagPages reads all pages.
func (s *session) tagPages(ctx context.Context, take func(tagPage, []byte) error) error {
	page := tagPage{Query: url.Values{"n": {"1000"}}.Encode()}
	for range maxPages {
		resp, err := s.do(ctx, http.MethodGet, "tags/list?"+page.Query, tagHeader(""), nil, http.StatusOK)
		if err != nil {
			return err
		}
		body, err := s.read(ctx, resp, maxTagPage)
		closeBody(resp)
		if err != nil {
			return err
		}
		next, err := s.nextTags(resp, page.Query)
		if err != nil {
			return err
		}
		page.ETag = resp.Header.Get("ETag")
		if err := take(page, body); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		page = tagPage{Query: next}
	}
	return fault.New(fault.TooLarge, "%s answers with more than %d pages", s.host, maxPages)
}

func tagHeader(etag string) http.Header {
	h := http.Header{"Accept": {"application/json"}}
	if etag != "" {
		h.Set("If-None-Match", etag)
	}
	return h
}

// nextTags is the query of the page after this one, "" when it is the last. A link to
// another host is refused, and of one to this host only the query is followed.
func (s *session) nextTags(resp *http.Response, query string) (string, error) {
	link := nextLink(resp.Header)
	if link == nil {
		return "", nil
	}
	base, err := url.Parse(s.base)
	if err != nil {
		return "", err
	}
	if to := base.ResolveReference(link); !strings.EqualFold(hostPort(to), hostPort(base)) {
		return "", fault.New(fault.Refused, "%s says that its list of tags goes on at another host, %.100q", s.host, to.Host)
	}
	if link.RawQuery == query {
		return "", nil // some link the last page to itself
	}
	return link.RawQuery, nil
}

// hostPort is a URL's host without the port that its scheme implies.
func hostPort(u *url.URL) string {
	return strings.TrimSuffix(strings.TrimSuffix(u.Host, ":443"), ":80")
}

// tagPage is one page of a list as an ETag keeps it.
type tagPage struct {
	Query string `json:"q"`
	ETag  string `json:"e"`
	tags  int    // that it shows
}

// tagState is all pages of a list.
type tagState []tagPage

// text is the state as TagList.ETag, "" when a page has no ETag by which to ask again. A new
// tag changes what a page shows, and so its ETag, unless it comes after a last page that is
// full. What is full only the registry knows, but page sizes are round numbers.
func (t tagState) text() string {
	if len(t) > 0 && t[len(t)-1].tags > 0 && t[len(t)-1].tags%10 == 0 {
		return ""
	}
	for _, p := range t {
		if p.ETag == "" || len(p.ETag) > maxValidator || !plainText(p.ETag+p.Query) {
			return ""
		}
	}
	b, err := json.Marshal(t)
	if err != nil || len(b) > bridge.MaxETag {
		return ""
	}
	return string(b)
}

// parseTagState reads what text wrote; anything else is no state.
func parseTagState(s string) tagState {
	var t tagState
	if len(s) > bridge.MaxETag || json.Unmarshal([]byte(s), &t) != nil || len(t) > maxPages || t.text() == "" {
		return nil
	}
	return t
}

// plainText reports whether s is printable ASCII without spaces, as a header and a query are.
func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
