package registry_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

func getBlob(t testing.TB, s *registrytest.Server, repository string, d artifact.Digest, header http.Header) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/"+repository+"/blobs/"+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.SetBasicAuth("test", registrytest.Bob)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func TestGetBlob(t *testing.T) {
	t.Parallel()
	dir := ""
	s := registrytest.Serve(t, func(c *registry.Config) { dir = c.Dir })
	content := strings.Repeat("evidence ", 1000)
	putBlob(t, s, "shop/web", content)
	putBlob(t, s, "other", "{}")
	d := artifact.DigestOf([]byte(content))
	tag := `"` + d.String() + `"`
	for _, row := range []struct {
		name, repository string
		header           http.Header
		status           int
		body             string
	}{
		{"whole", "shop/web", nil, 200, content},
		{"part", "shop/web", http.Header{"Range": {"bytes=9-16"}}, 206, "evidence"},
		{"known already", "shop/web", http.Header{"If-None-Match": {tag}}, 304, ""},
		{"beyond its end", "shop/web", http.Header{"Range": {"bytes=9000000-"}}, 416, "invalid range: failed to overlap\n"},
	} {
		status, h, body := getBlob(t, s, row.repository, d, row.header)
		if status != row.status || body != row.body {
			t.Errorf("%s: %d with %d bytes, want %d with %d", row.name, status, len(body), row.status, len(row.body))
		}
		if status < 300 && (h.Get("Docker-Content-Digest") != d.String() || h.Get("Etag") != tag || h.Get("Content-Type") != "application/octet-stream") {
			t.Errorf("%s: header %v", row.name, h)
		}
	}
	// A blob that lies in another repository alone is not readable through this one.
	for _, repository := range []string{"other", "nowhere"} {
		if status, _, body := getBlob(t, s, repository, d, nil); status != 404 || strings.Contains(body, "evidence") {
			t.Errorf("through %s: %d %.60s", repository, status, body)
		}
	}
	// This is where the library keeps it: elsewhere, getBlob would leave every answer to it.
	for _, file := range []string{"blobs/sha256/" + d.Hex()[:2] + "/" + d.Hex() + "/data", "repositories/shop/web/_layers/sha256/" + d.Hex() + "/link"} {
		if _, err := os.Stat(filepath.Join(dir, "docker/registry/v2", file)); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkGetBlob is what one bundle costs.
func BenchmarkGetBlob(b *testing.B) {
	s := registrytest.Serve(b, nil)
	content := strings.Repeat("b", 3000)
	putBlob(b, s, "shop/web", content)
	d := artifact.DigestOf([]byte(content))
	b.ReportAllocs()
	for b.Loop() {
		if status, _, _ := getBlob(b, s, "shop/web", d, nil); status != http.StatusOK {
			b.Fatal(status)
		}
	}
}
