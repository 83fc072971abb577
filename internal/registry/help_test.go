package registry_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

const (
	imageType  = "application/vnd.oci.image.manifest.v1+json"
	indexType  = "application/vnd.oci.image.index.v1+json"
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	emptyType  = "application/vnd.oci.empty.v1+json"
)

var (
	web     = artifact.Reference{Repository: "shop/web"}
	created = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
)

func TestMemory(t *testing.T) {
	t.Parallel()
	registrytest.Rows(t, func(*testing.T) registrytest.Backend {
		m := &registrytest.Memory{}
		return registrytest.Backend{Rows: m, Events: func(*testing.T) []string { return events(m) }}
	})
}

func events(m *registrytest.Memory) []string {
	var names []string
	for _, e := range m.Events() {
		names = append(names, e.Repository+":"+e.Name+"@"+e.Digest.String())
	}
	return names
}

// archive is a tar stream of headers; content is the Linkname of a regular file.
func archive(t testing.TB, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		var content string
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("WriteHeader(%q): %v", h.Name, err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
}

// push pushes an image that holds content alone.
func push(t testing.TB, c *registry.Client, image artifact.Reference, content string) artifact.Reference {
	t.Helper()
	d, err := c.Push(t.Context(), image, archive(t, file("web", content)), registry.ImageConfig{Created: created}, registry.Limits{})
	if err != nil {
		t.Fatalf("Push(%s) = %v, want nil", image, err)
	}
	return image.WithDigest(d)
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v (%s), want a fault of kind %s", what, err, fault.KindOf(err), kind)
	}
}

// reply is an answer whose body was read.
type reply struct {
	StatusCode int
	Header     http.Header
}

// call sends one request to a registry.
func call(t testing.TB, method, url, token, contentType string, body []byte) (reply, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.SetBasicAuth("x", token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.Header.Set("Accept", imageType+", "+indexType)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header}, b
}

func wantStatus(t testing.TB, what string, resp reply, body []byte, want int) {
	t.Helper()
	if resp.StatusCode != want {
		t.Errorf("%s = %d %s, want %d", what, resp.StatusCode, strings.TrimSpace(string(body)), want)
	}
}

// bareManifest is a small manifest with an empty config; more is added to it.
func bareManifest(t testing.TB, more map[string]any) []byte {
	t.Helper()
	m := map[string]any{
		"schemaVersion": 2, "mediaType": imageType,
		"config": descriptor(emptyType, "{}"), "layers": []any{descriptor(emptyType, "{}")},
	}
	maps.Copy(m, more)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func descriptor(mediaType, content string) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": artifact.DigestOf([]byte(content)).String(), "size": len(content)}
}

// putBlob uploads a blob by hand.
func putBlob(t testing.TB, s *registrytest.Server, repository, content string) {
	t.Helper()
	resp, body := call(t, http.MethodPost, s.URL+"/v2/"+repository+"/blobs/uploads/", registrytest.Alice, "", nil)
	wantStatus(t, "start upload", resp, body, http.StatusAccepted)
	to := fmt.Sprintf("%s%s&digest=%s", s.URL, resp.Header.Get("Location"), artifact.DigestOf([]byte(content)))
	resp, body = call(t, http.MethodPut, to, registrytest.Alice, "application/octet-stream", []byte(content))
	wantStatus(t, "end upload", resp, body, http.StatusCreated)
}
