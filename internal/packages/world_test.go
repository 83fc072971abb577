package packages_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/packages"
)

// host is a server that answers what a test tells it, over TLS, and remembers what it was asked.
type host struct {
	*httptest.Server
	Host string

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by escaped path, with the query where there is one
	asked   []*http.Request
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{answers: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewTLSServer(h)
	t.Cleanup(h.Close)
	u, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	h.Host = u.Host
	return h
}

// ServeHTTP implements http.Handler.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r)
	answer := h.answers[r.URL.RequestURI()]
	h.mu.Unlock()
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

func (h *host) on(path string, answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[path] = answer
}

// text answers with text, JSON with a document.
func (h *host) text(path, text string) {
	h.on(path, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	})
}

func (h *host) json(path string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	h.text(path, string(raw))
}

// requests returns what was asked for that has this in its path.
func (h *host) requests(part string) []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*http.Request
	for _, r := range h.asked {
		if strings.Contains(r.URL.RequestURI(), part) {
			found = append(found, r)
		}
	}
	return found
}

// anywhere is a guard that lets requests go to some hosts, with their ports; nil means all.
type anywhere []string

func (a anywhere) Host(u *url.URL) error {
	if a != nil && !slices.Contains(a, u.Host) {
		return fault.New(fault.Refused, "%s is not allowed", u.Host)
	}
	return nil
}

func (a anywhere) Address(string, netip.Addr) error { return nil }

// fetcher trusts the test hosts' certificate and logs in with "Bearer HOST".
func (h *host) fetcher(change func(*packages.Config)) *packages.Fetcher {
	config := packages.Config{
		Guard: anywhere(nil), Transport: h.Client().Transport,
		Auth: func(host string) string { return "Bearer " + host },
	}
	if change != nil {
		change(&config)
	}
	return packages.New(config)
}

func sri512(content string) string {
	sum := sha512.Sum512([]byte(content))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func sri256(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func hex512(content string) string {
	sum := sha512.Sum512([]byte(content))
	return hex.EncodeToString(sum[:])
}

// bundle is a bundle, unsigned, of a kind.
func bundle(kind string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":%q}}`, base64.StdEncoding.EncodeToString([]byte(kind))))
}

func find(t *testing.T, f *packages.Fetcher, spec packages.Spec, version string) []packages.File {
	t.Helper()
	files, err := f.Find(t.Context(), spec, version)
	if err != nil {
		t.Fatalf("Find(%+v, %q) = %v", spec, version, err)
	}
	return files
}

// wantContent fetches a file and compares it, and the bundles beside it.
func wantContent(t *testing.T, f *packages.Fetcher, file packages.File, content string, bundles ...string) {
	t.Helper()
	dir := t.TempDir()
	path, digest, err := f.Fetch(t.Context(), file, dir)
	if err != nil {
		t.Errorf("Fetch(%s) = %v", file.Name, err)
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content || digest != artifact.DigestOf([]byte(content)) || path != filepath.Join(dir, file.Name) {
		t.Errorf("Fetch(%s) = %s, %s with %d bytes, %v", file.Name, path, digest, len(got), err)
	}
	raw, err := f.Bundles(t.Context(), file, digest)
	if err != nil {
		t.Errorf("Bundles(%s) = %v", file.Name, err)
	}
	var kinds []string
	for _, b := range raw {
		kinds = append(kinds, kindOf(t, b))
	}
	if !slices.Equal(kinds, bundles) {
		t.Errorf("Bundles(%s) = %q, want %q", file.Name, kinds, bundles)
	}
	wantAlone(t, dir, file.Name)
}

func kindOf(t *testing.T, raw []byte) string {
	t.Helper()
	var b struct{ DSSEEnvelope struct{ Payload []byte } }
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	return string(b.DSSEEnvelope.Payload)
}

// wantAlone checks that a directory holds these names and nothing else.
func wantAlone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("the directory holds %q, want %q", got, names)
	}
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v (%s), want a fault of kind %s", what, err, fault.KindOf(err), kind)
	}
	if f := fault.As(err); f != nil && strings.ContainsAny(f.Message, "\n\r") {
		t.Errorf("%s: the message %q has more than one line", what, f.Message)
	}
}
