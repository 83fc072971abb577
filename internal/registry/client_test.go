package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

const predicate = "https://slsa.dev/provenance/v1"

// place is a registry under test: a client of it and a repository in it.
type place struct {
	name   string
	client *registry.Client
	image  artifact.Reference
}

// places are our own registry and foreign ones with and without the referrers API.
func places(t *testing.T) []place {
	t.Helper()
	all := []place{{"embedded", registrytest.Serve(t, nil).Client(t, registrytest.Alice), web}}
	for _, api := range []bool{true, false} {
		s := httptest.NewServer(ggcr.New(ggcr.WithReferrersSupport(api), ggcr.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(s.Close)
		image := web
		image.Host = strings.TrimPrefix(s.URL, "http://")
		all = append(all, place{fmt.Sprintf("foreign, referrers API %t", api), newClient(t, registry.ClientConfig{}), image})
	}
	return all
}

func newClient(t *testing.T, config registry.ClientConfig) *registry.Client {
	t.Helper()
	config.Temp = t.TempDir()
	c, err := registry.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPushTagAttachListFetch(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ref := push(t, p.client, p.image, "first")
			other := push(t, p.client, p.image, "second")
			for range 2 {
				if err := p.client.Tag(t.Context(), ref, "1.0.0"); err != nil {
					t.Fatalf("Tag = %v, want nil", err)
				}
			}
			wantKind(t, "moving the tag", p.client.Tag(t.Context(), other, "1.0.0"), fault.Conflict)
			if d, err := p.client.Resolve(t.Context(), p.image.WithTag("1.0.0")); err != nil || d != ref.Digest {
				t.Errorf("Resolve = %s, %v, want %s", d, err, ref.Digest)
			}
			if d, err := p.client.Resolve(t.Context(), ref); err != nil || d != ref.Digest {
				t.Errorf("Resolve by digest = %s, %v, want %s", d, err, ref.Digest)
			}
			_, err := p.client.Resolve(t.Context(), p.image.WithTag("2.0.0"))
			wantKind(t, "Resolve of no tag", err, fault.NotFound)
			_, err = p.client.Resolve(t.Context(), p.image.WithDigest(artifact.DigestOf([]byte("x"))))
			wantKind(t, "Resolve of no manifest", err, fault.NotFound)
			_, err = p.client.Resolve(t.Context(), p.image)
			wantKind(t, "Resolve of no name", err, fault.Invalid)

			if rs, err := p.client.List(t.Context(), ref); err != nil || len(rs) != 0 {
				t.Errorf("List = %v, %v, want none", rs, err)
			}
			bundle := []byte(`{"a":"bundle"}`)
			first, err := p.client.Attach(t.Context(), ref, bundle, predicate, created)
			if err != nil {
				t.Fatalf("Attach = %v, want nil", err)
			}
			again, err := p.client.Attach(t.Context(), ref, bundle, predicate, created)
			if err != nil || again != first {
				t.Errorf("Attach again = %s, %v, want %s", again, err, first)
			}
			rs, err := p.client.List(t.Context(), ref)
			if err != nil || len(rs) != 1 || rs[0].Manifest != first || rs[0].Size == 0 {
				t.Fatalf("List = %v, %v, want %s", rs, err, first)
			}
			for range 2 { // from the registry, then from the cache
				if b, err := p.client.Fetch(t.Context(), ref, rs[0]); err != nil || string(b) != string(bundle) {
					t.Errorf("Fetch = %s, %v, want %s", b, err, bundle)
				}
			}
			_, err = p.client.Fetch(t.Context(), other, rs[0])
			wantKind(t, "Fetch for another artifact", err, fault.Invalid)
			_, err = p.client.Fetch(t.Context(), ref, bridge.Referrer{Manifest: other.Digest})
			wantKind(t, "Fetch of what is no referrer", err, fault.Invalid)
			if list, err := p.client.Tags(t.Context(), p.image, bridge.TagPage{}); err != nil || !slices.Equal(list.Tags, []string{"1.0.0"}) {
				t.Errorf("Tags = %v, %v, want 1.0.0 alone", list, err)
			}
			_, err = p.client.Attach(t.Context(), p.image.WithDigest(artifact.DigestOf([]byte("x"))), bundle, predicate, created)
			wantKind(t, "Attach to nothing", err, fault.NotFound)
		})
	}
}

func TestParallelAttachesAreAllListed(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			const n = 12
			ref := push(t, p.client, p.image, "content")
			digests := make([]artifact.Digest, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					var err error
					if digests[i], err = p.client.Attach(t.Context(), ref, fmt.Appendf(nil, "bundle %d", i), predicate, created); err != nil {
						t.Errorf("Attach = %v, want nil", err)
					}
				})
			}
			wg.Wait()
			rs, err := p.client.List(t.Context(), ref)
			if err != nil || len(rs) != n {
				t.Fatalf("List = %d, %v, want %d", len(rs), err, n)
			}
			for _, r := range rs {
				if !slices.Contains(digests, r.Manifest) {
					t.Errorf("%s is listed and was not attached", r.Manifest)
				}
			}
		})
	}
}

// TestLostFallbackEntriesAreWrittenAgain has a registry without the referrers API that
// forgets the first write of the fallback tag, as if another writer had replaced it.
func TestLostFallbackEntriesAreWrittenAgain(t *testing.T) {
	t.Parallel()
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	var mu sync.Mutex
	writes := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") {
			mu.Lock()
			writes++
			lost := writes == 1
			mu.Unlock()
			if lost {
				w.WriteHeader(http.StatusCreated)
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	image := web
	image.Host = strings.TrimPrefix(s.URL, "http://")
	c := newClient(t, registry.ClientConfig{})
	ref := push(t, c, image, "content")
	want, err := c.Attach(t.Context(), ref, []byte("bundle"), predicate, created)
	if err != nil {
		t.Fatalf("Attach = %v, want nil", err)
	}
	if rs, err := c.List(t.Context(), ref); err != nil || len(rs) != 1 || rs[0].Manifest != want || writes != 2 {
		t.Errorf("List = %v, %v after %d writes, want %s after 2", rs, err, writes, want)
	}
}

func TestTagRepeatsTheRow(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	c := s.Client(t, registrytest.Alice)
	ref := push(t, c, web, "content")
	s.Rows.FailNext(errors.New("killed"))
	wantKind(t, "Tag", c.Tag(t.Context(), ref, "1.0.0"), fault.Unavailable)
	if err := c.Tag(t.Context(), ref, "1.0.0"); err != nil {
		t.Errorf("Tag repeated = %v, want nil", err)
	}
	if got := events(s.Rows); len(got) != 1 {
		t.Errorf("events = %v, want one", got)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	ref := push(t, s.Client(t, registrytest.Alice), web, "content")
	for token, kind := range map[string]fault.Kind{"": fault.Forbidden, "wrong": fault.Forbidden, registrytest.Bob: fault.Forbidden} {
		c := s.Client(t, token)
		wantKind(t, "Tag with "+token, c.Tag(t.Context(), ref, "1.0.0"), kind)
		_, err := c.Push(t.Context(), web, archive(t, file("a", token)), registry.ImageConfig{}, registry.Limits{})
		wantKind(t, "Push with "+token, err, kind)
	}
	// The same server, named by its address, as a foreign registry that asks for basic authentication.
	foreign := ref
	foreign.Host = strings.TrimPrefix(s.URL, "http://")
	c := newClient(t, registry.ClientConfig{Auth: func(host string) (string, string) {
		if host != foreign.Host {
			t.Errorf("a token was asked for host %q", host)
		}
		return "", registrytest.Alice
	}})
	if d, err := c.Resolve(t.Context(), foreign); err != nil || d != ref.Digest {
		t.Errorf("Resolve at the address = %s, %v, want %s", d, err, ref.Digest)
	}
	_, err := newClient(t, registry.ClientConfig{}).Resolve(t.Context(), foreign)
	wantKind(t, "Resolve without a token", err, fault.Forbidden)
	_, err = newClient(t, registry.ClientConfig{}).Resolve(t.Context(), ref)
	wantKind(t, "Resolve without a registry of one's own", err, fault.Invalid)
}

// endless gives the same bytes for ever.
func endless(w http.ResponseWriter, r *http.Request, b string) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, b); err != nil {
			return
		}
	}
}

func TestHostileRegistries(t *testing.T) {
	t.Parallel()
	d := artifact.DigestOf([]byte("x"))
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, `,{"mediaType":%q,"artifactType":%q,"digest":%q,"size":3}`, imageType, bundleType, artifact.DigestOf(fmt.Append(nil, i)))
	}
	page := `{"schemaVersion":2,"manifests":[` + many.String()[1:] + `]}`
	index := func(w http.ResponseWriter) { w.Header().Set("Content-Type", indexType) }
	ref := web.WithDigest(d)
	resolve := func(ctx context.Context, c *registry.Client) error {
		_, _, err := c.Manifest(ctx, ref)
		return err
	}
	list := func(ctx context.Context, c *registry.Client) error {
		_, err := c.List(ctx, ref)
		return err
	}
	for _, row := range []struct {
		name   string
		handle http.HandlerFunc
		call   func(context.Context, *registry.Client) error
		kind   fault.Kind
	}{
		{"manifest without end", func(w http.ResponseWriter, r *http.Request) { endless(w, r, strings.Repeat(" ", 1<<16)) }, resolve, fault.TooLarge},
		{"other content", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, resolve, fault.Unavailable},
		{"error without end", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			endless(w, r, strings.Repeat("x", 1<<16))
		}, resolve, fault.Unavailable},
		{"too many requests", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, resolve, fault.Unavailable},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, resolve, fault.Unavailable},
		{"redirect elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://registry.invalid/x", http.StatusFound)
		}, resolve, fault.Unavailable},
		{"10,000 referrers", func(w http.ResponseWriter, _ *http.Request) { index(w); _, _ = io.WriteString(w, page) }, list, fault.TooLarge},
		{"10,000 referrers under the fallback tag", func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			index(w)
			_, _ = io.WriteString(w, page)
		}, list, fault.TooLarge},
		{"referrers in pages without end", func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			index(w)
			w.Header().Set("Link", fmt.Sprintf(`<?n=%d>; rel="next"`, n+1))
			_, _ = fmt.Fprintf(w, `{"manifests":[%s{}]}`, strings.Repeat("{},", 500))
		}, list, fault.TooLarge},
		{"referrers that are no list", func(w http.ResponseWriter, _ *http.Request) { index(w); _, _ = io.WriteString(w, "{") }, list, fault.Unavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(row.handle)
			t.Cleanup(s.Close)
			wantKind(t, "call", row.call(t.Context(), newClient(t, registry.ClientConfig{Local: s.URL})), row.kind)
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	err := resolve(t.Context(), newClient(t, registry.ClientConfig{Local: gone.URL}))
	wantKind(t, "nobody there", err, fault.Unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := resolve(ctx, newClient(t, registry.ClientConfig{Local: gone.URL})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled = %v, want the context's error", err)
	}
}

func TestBlobIsVerified(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "wrong") }))
	t.Cleanup(s.Close)
	r, err := newClient(t, registry.ClientConfig{Local: s.URL}).Blob(t.Context(), web, artifact.DigestOf([]byte("right")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wantKind(t, "reading other content", err, fault.Unavailable)
}

// TestPlainHTTP sees to it that no registry away from this machine is asked without TLS,
// and that none can send us to this machine.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Scheme+"://"+r.URL.Host)
		if r.URL.Path != "/v2/" {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"https://127.0.0.1/x"}}, Body: http.NoBody, Request: r}, nil
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	})
	for _, host := range []string{"10.1.2.3:5000", "registry.local", "registry.example.com"} {
		c := newClient(t, registry.ClientConfig{HTTP: &http.Client{Transport: transport, Timeout: time.Minute}})
		ref := web.WithTag("1.0.0")
		ref.Host = host
		_, err := c.Resolve(t.Context(), ref)
		wantKind(t, host, err, fault.Unavailable)
	}
	for _, to := range asked {
		if !strings.HasPrefix(to, "https://") || strings.Contains(to, "127.0.0.1") {
			t.Errorf("asked %s", to)
		}
	}
	if len(asked) == 0 {
		t.Error("nobody was asked")
	}
	for _, local := range []string{"127.0.0.1:8080", "ftp://x", "http://", "http://x?y", "http://a:b@x", "://"} {
		_, err := registry.NewClient(registry.ClientConfig{Local: local})
		wantKind(t, local, err, fault.Invalid)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
