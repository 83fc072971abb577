package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

func TestTagsOfOurOwnRegistry(t *testing.T) {
	t.Parallel()
	c := registrytest.Serve(t, nil).Client(t, registrytest.Alice)
	ref := push(t, c, web, "content")
	for i := range 5 {
		if err := c.Tag(t.Context(), ref, fmt.Sprintf("1.0.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Tags(t.Context(), web, bridge.TagPage{}); err != nil || len(got.Tags) != 5 || got.Unchanged {
		t.Errorf("Tags = %v, %v, want five", got, err)
	}
	_, err := c.Tags(t.Context(), artifact.Reference{Repository: "no/such"}, bridge.TagPage{})
	wantKind(t, "Tags of nothing", err, fault.NotFound)
}

// tagServer is a registry with tags alone: pages of size, each with an ETag.
type tagServer struct {
	mu     sync.Mutex
	tags   []string
	size   int
	asked  int
	full   int  // answers that were not 304
	sparse bool // a 304 has no Link
}

func (s *tagServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	last := r.URL.Query().Get("last")
	from := 0
	if last != "" {
		at, found := slices.BinarySearch(s.tags, last)
		if from = at; found {
			from++
		}
	}
	to := min(from+s.size, len(s.tags))
	body, _ := json.Marshal(map[string]any{"name": "shop/web", "tags": s.tags[from:to]})
	etag := `"` + artifact.DigestOf(body).Hex()[:16] + `"`
	w.Header().Set("ETag", etag)
	same := r.Header.Get("If-None-Match") == etag
	if to < len(s.tags) && (!same || !s.sparse) {
		w.Header().Set("Link", fmt.Sprintf(`</v2/shop/web/tags/list?last=%s&n=%d>; rel="next"`, s.tags[to-1], s.size))
	}
	if same {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.full++
	_, _ = w.Write(body)
}

func (s *tagServer) add(tags ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags = append(s.tags, tags...)
	slices.Sort(s.tags)
}

func (s *tagServer) reset() { s.asked, s.full = 0, 0 }

func TestTagsThatDidNotChangeAreCheap(t *testing.T) {
	t.Parallel()
	for _, sparse := range []bool{false, true} {
		tags := &tagServer{size: 10, sparse: sparse}
		for i := range 25 {
			tags.add(fmt.Sprintf("1.0.%02d", i))
		}
		s := httptest.NewServer(tags)
		t.Cleanup(s.Close)
		c := newClient(t, registry.ClientConfig{Local: s.URL})
		list, err := c.Tags(t.Context(), web, bridge.TagPage{})
		if err != nil || len(list.Tags) != 25 || list.ETag == "" || tags.asked != 3 {
			t.Fatalf("Tags = %d, %q, %v after %d requests", len(list.Tags), list.ETag, err, tags.asked)
		}
		tags.reset()
		again, err := c.Tags(t.Context(), web, bridge.TagPage{ETag: list.ETag})
		if err != nil || !again.Unchanged || again.Tags != nil || again.ETag != list.ETag || tags.full != 0 {
			t.Fatalf("Tags again = %+v, %v with %d full answers", again, err, tags.full)
		}
		for _, added := range []string{"1.0.05a", "9.9.9", "0.0.1"} { // in the middle, at the end, at the start
			tags.add(added)
			next, err := c.Tags(t.Context(), web, bridge.TagPage{ETag: list.ETag})
			if err != nil || next.Unchanged || !slices.Contains(next.Tags, added) {
				t.Fatalf("Tags after %s = %+v, %v", added, next, err)
			}
			list = next
		}
	}
}

// TestFullLastPageHidesNoTag: a tag that comes after a full page changes no page.
func TestFullLastPageHidesNoTag(t *testing.T) {
	t.Parallel()
	tags := &tagServer{size: 10, sparse: true}
	for i := range 20 {
		tags.add(fmt.Sprintf("1.0.%02d", i))
	}
	s := httptest.NewServer(tags)
	t.Cleanup(s.Close)
	c := newClient(t, registry.ClientConfig{Local: s.URL})
	list, err := c.Tags(t.Context(), web, bridge.TagPage{})
	if err != nil || len(list.Tags) != 20 {
		t.Fatalf("Tags = %+v, %v", list, err)
	}
	tags.add("2.0.0")
	if next, err := c.Tags(t.Context(), web, bridge.TagPage{ETag: list.ETag}); err != nil || len(next.Tags) != 21 {
		t.Errorf("Tags = %d, %v, want 21", len(next.Tags), err)
	}
}

func TestForeignStateIsNoState(t *testing.T) {
	t.Parallel()
	tags := &tagServer{size: 10}
	tags.add("1.0.0")
	s := httptest.NewServer(tags)
	t.Cleanup(s.Close)
	c := newClient(t, registry.ClientConfig{Local: s.URL})
	for _, etag := range []string{"x", `"abc"`, "[]", `[{"q":"n=1","e":""}]`, `[{"q":"n=1\r\nHost: evil","e":"x"}]`, `[{"q":"n=1","e":"x\r\nHost: evil"}]`, strings.Repeat("x", bridge.MaxETag+1)} {
		if list, err := c.Tags(t.Context(), web, bridge.TagPage{ETag: etag}); err != nil || len(list.Tags) != 1 {
			t.Errorf("Tags with %.40q = %+v, %v", etag, list, err)
		}
	}
}

func TestHostileTagLists(t *testing.T) {
	t.Parallel()
	link := func(w http.ResponseWriter, to string) { w.Header().Set("Link", "<"+to+`>; rel="next"`) }
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"t%d"`, i)
		}
		return `{"tags":[` + b.String()[1:] + `]}`
	}
	huge := names(bridge.MaxTags + 1)
	for _, row := range []struct {
		name   string
		handle http.HandlerFunc
		kind   fault.Kind
	}{
		{"a list without end", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"tags":["`)
			endless(w, r, strings.Repeat("x", 1<<16))
		}, fault.TooLarge},
		{"pages without end and without tags", func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			link(w, fmt.Sprintf("?n=%d", n+1))
			_, _ = io.WriteString(w, `{"tags":[]}`)
		}, fault.TooLarge},
		{"pages without end", func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			link(w, fmt.Sprintf("?n=%d", n+1))
			_, _ = io.WriteString(w, names(500))
		}, fault.TooLarge},
		{"too many tags", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, huge) }, fault.TooLarge},
		{"a next page elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			link(w, "http://elsewhere.invalid/v2/shop/web/tags/list?last=x")
			_, _ = io.WriteString(w, `{"tags":["1.0.0"]}`)
		}, fault.Refused},
		{"a next page elsewhere, short", func(w http.ResponseWriter, _ *http.Request) {
			link(w, "//169.254.169.254/latest?last=x")
			_, _ = io.WriteString(w, `{"tags":["1.0.0"]}`)
		}, fault.Refused},
		{"no list", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"tags":{"a":1}}`) }, fault.Unavailable},
		{"a redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		}, fault.Unavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(row.handle)
			t.Cleanup(s.Close)
			_, err := newClient(t, registry.ClientConfig{Local: s.URL}).Tags(t.Context(), web, bridge.TagPage{})
			wantKind(t, "Tags", err, row.kind)
		})
	}
}

func TestNamesThatAreNoTagsAreLeftOut(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", `</v2/shop/web/tags/list?`+r.URL.RawQuery+`>; rel="next"`) // to itself
		_, _ = fmt.Fprintf(w, `{"tags":["b","a","b","sha256-%064d","-bad","../x",""]}`, 0)
	}))
	t.Cleanup(s.Close)
	list, err := newClient(t, registry.ClientConfig{Local: s.URL}).Tags(t.Context(), web, bridge.TagPage{})
	if err != nil || !slices.Equal(list.Tags, []string{"a", "b"}) || list.ETag != "" {
		t.Errorf("Tags = %+v, %v", list, err)
	}
}

func TestThrottledRegistry(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status     int
		after      string
		date       string
		want       time.Duration
		throttled  bool
		foreign    bool
		atTheLogin bool
	}{
		"seconds":                {status: 429, after: "7", want: 7 * time.Second, throttled: true},
		"a date":                 {status: 429, after: "Mon, 05 Jan 2026 09:01:00 GMT", date: "Mon, 05 Jan 2026 09:00:00 GMT", want: time.Minute, throttled: true},
		"no time":                {status: 429, throttled: true},
		"out of service":         {status: 503, after: "60", want: time.Minute, throttled: true},
		"broken":                 {status: 500, after: "60"},
		"a foreign registry":     {status: 429, after: "7", want: 7 * time.Second, throttled: true, foreign: true},
		"a registry's login":     {status: 429, after: "9", want: 9 * time.Second, throttled: true, foreign: true, atTheLogin: true},
		"a login out of service": {status: 503, after: "9", want: 9 * time.Second, throttled: true, foreign: true, atTheLogin: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" && !row.atTheLogin {
					return
				}
				if row.date != "" {
					w.Header().Set("Date", row.date)
				}
				if row.after != "" {
					w.Header().Set("Retry-After", row.after)
				}
				w.WriteHeader(row.status)
			}))
			t.Cleanup(s.Close)
			image, config := web, registry.ClientConfig{Local: s.URL}
			if row.foreign {
				image.Host, config.Local = strings.TrimPrefix(s.URL, "http://"), ""
			}
			_, err := newClient(t, config).Tags(t.Context(), image, bridge.TagPage{})
			wantKind(t, "Tags", err, fault.Unavailable)
			var wait bridge.Throttled
			if found := errors.As(err, &wait); found != row.throttled || wait.After != row.want {
				t.Errorf("%v: throttled %t for %s, want %t for %s", err, found, wait.After, row.throttled, row.want)
			}
		})
	}
}
