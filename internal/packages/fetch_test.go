package packages_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/packages"
)

// Whatever is wrong with a file, nothing of it stays, and nothing that was there goes.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	h, inside := newHost(t), newHost(t)
	f := h.fetcher(func(c *packages.Config) { c.MaxFile, c.Guard = 100, anywhere{h.Host} })
	h.text("/file", "content")
	h.text("/large", strings.Repeat("x", 101))
	h.text("/limit", strings.Repeat("x", 100))
	h.on("/endless", endless)
	h.on("/cut", status(200, http.Header{"Content-Length": {"50"}}))
	h.on("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside.URL+"/secret", http.StatusFound)
	})
	h.on("/plain", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+h.Host+"/file", http.StatusFound)
	})
	h.on("/login", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://me:secret@"+h.Host+"/file", http.StatusFound)
	})
	h.on("/local", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	h.on("/packed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "content")
	})
	for name, row := range map[string]struct {
		path string
		file packages.File
		kind fault.Kind
	}{
		"another checksum":      {"/file", packages.File{Integrity: sri512("other")}, fault.Refused},
		"the weaker one counts": {"/file", packages.File{Integrity: sri256("content") + " " + sri512("other")}, fault.Refused},
		"a broken checksum":     {"/file", packages.File{Integrity: "sha512-AAAA"}, fault.Unavailable},
		"another size":          {"/file", packages.File{Size: 8}, fault.Refused},
		"too large":             {"/large", packages.File{}, fault.TooLarge},
		"said to be too large":  {"/file", packages.File{Size: 101}, fault.TooLarge},
		"endless":               {"/endless", packages.File{}, fault.TooLarge},
		"cut":                   {"/cut", packages.File{}, fault.Unavailable},
		"not there":             {"/none", packages.File{}, fault.NotFound},
		"sent to another host":  {"/away", packages.File{}, fault.Refused},
		"sent on without TLS":   {"/plain", packages.File{}, fault.Refused},
		"sent on with a login":  {"/login", packages.File{}, fault.Refused},
		"sent to a local file":  {"/local", packages.File{}, fault.Refused},
		"packed on the way":     {"/packed", packages.File{}, fault.Unavailable},
		"upwards":               {"/file", packages.File{Name: ".."}, fault.Refused},
		"a path upwards":        {"/file", packages.File{Name: "../old"}, fault.Refused},
		"an absolute path":      {"/file", packages.File{Name: "/etc/cron.d/x"}, fault.Refused},
		"a path for others":     {"/file", packages.File{Name: `..\old`}, fault.Refused},
		"a path below":          {"/file", packages.File{Name: "a/b"}, fault.Refused},
		"an option":             {"/file", packages.File{Name: "-rf"}, fault.Refused},
		"a hidden name":         {"/file", packages.File{Name: ".bashrc"}, fault.Refused},
		"a zero":                {"/file", packages.File{Name: "a\x00b"}, fault.Refused},
		"a long name":           {"/file", packages.File{Name: strings.Repeat("a", 201)}, fault.Refused},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		row.file.URL, row.file.Origin = h.URL+row.path, h.URL
		if row.file.Name == "" {
			row.file.Name = "old"
		}
		_, _, err := f.Fetch(t.Context(), row.file, dir)
		wantKind(t, name, err, row.kind)
		wantAlone(t, dir, "old")
		if got, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(got) != "old" {
			t.Errorf("%s: the file that was there holds %q, %v", name, got, err)
		}
	}
	if n := len(inside.requests("/")); n != 0 {
		t.Errorf("the host that the guard refuses got %d requests", n)
	}
	wantContent(t, f, packages.File{Name: "limit", URL: h.URL + "/limit", Origin: h.URL, Size: 100}, strings.Repeat("x", 100))
}

// A link that stands where the file is to be is replaced, not followed.
func TestFetchFollowsNoLink(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.text("/file", "content")
	dir, precious := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	path, _, err := h.fetcher(nil).Fetch(t.Context(), packages.File{Name: "f", URL: h.URL + "/file", Origin: h.URL}, dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	kept, keptErr := os.ReadFile(precious)
	if err != nil || keptErr != nil || string(got) != "content" || string(kept) != "mine" {
		t.Errorf("the file holds %q, %v; behind the link is %q, %v", got, err, kept, keptErr)
	}
}

func TestFetchTakesNotForEver(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.on("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f := h.fetcher(func(c *packages.Config) { c.Timeout = 50 * time.Millisecond })
	dir := t.TempDir()
	if _, _, err := f.Fetch(t.Context(), packages.File{Name: "f", URL: h.URL + "/slow", Origin: h.URL}, dir); err == nil {
		t.Error("Fetch of a file without end gave no error")
	} else {
		wantKind(t, "a file that comes too slowly", err, fault.Unavailable)
	}
	wantAlone(t, dir)
}

func TestTooManyAssets(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	many := func(n int) []object {
		assets := make([]object, n)
		for i := range assets {
			assets[i] = object{"id": i, "name": fmt.Sprintf("f%d", i), "state": "uploaded", "size": 1}
		}
		return assets
	}
	f := h.fetcher(nil)
	h.json("/api/v1/repos/a/b/releases/tags/v1", object{"tag_name": "v1", "assets": many(packages.MaxAssets + 1)})
	_, err := f.Find(t.Context(), packages.Spec{Kind: packages.Gitea, URL: h.URL, Name: "a/b", Files: []string{"f1"}}, "v1")
	wantKind(t, "too many", err, fault.TooLarge)
	h.json("/api/v1/repos/a/b/releases/tags/v1", object{"tag_name": "v1", "assets": many(packages.MaxFiles + 1)})
	_, err = f.Find(t.Context(), packages.Spec{Kind: packages.Gitea, URL: h.URL, Name: "a/b", Files: []string{"f*"}}, "v1")
	wantKind(t, "too many that match", err, fault.TooLarge)
	h.json("/repos/a/b/releases/tags/v1", object{"id": 1, "tag_name": "v1"})
	for page := 1; page < 100; page++ {
		h.json(fmt.Sprintf("/repos/a/b/releases/1/assets?per_page=100&page=%d", page), many(100))
	}
	_, err = f.Find(t.Context(), packages.Spec{Kind: packages.GitHub, URL: h.URL, Name: "a/b", Files: []string{"f1"}}, "v1")
	wantKind(t, "pages without end", err, fault.TooLarge)
	if n := len(h.requests("/assets")); n > 11 {
		t.Errorf("%d pages were read", n)
	}
}

func TestAssetNames(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	f := h.fetcher(func(c *packages.Config) { c.MaxFile = 100 })
	spec := packages.Spec{Kind: packages.Gitea, URL: h.URL, Name: "a/b", Files: []string{"*", "..", "[.][.]"}}
	for name, row := range map[string]struct {
		assets []object
		kind   fault.Kind
	}{
		"upwards":      {[]object{{"name": ".."}}, fault.Refused},
		"hidden":       {[]object{{"name": ".ssh"}}, fault.Refused},
		"an option":    {[]object{{"name": "--help"}}, fault.Refused},
		"controls":     {[]object{{"name": "a\nb"}}, fault.Refused},
		"a path":       {[]object{{"name": "../a"}}, fault.NotFound}, // no pattern takes a path
		"no name":      {[]object{{"name": ""}}, fault.Refused},
		"twice":        {[]object{{"name": "a"}, {"name": "a"}}, fault.Refused},
		"too large":    {[]object{{"name": "a", "size": 101}}, fault.TooLarge},
		"only bundles": {[]object{{"name": "a.sigstore.json"}, {"name": "a.sigstore.json.sigstore"}}, ""},
	} {
		h.json("/api/v1/repos/a/b/releases/tags/v1", object{"tag_name": "v1", "assets": row.assets})
		_, err := f.Find(t.Context(), spec, "v1")
		if row.kind == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantKind(t, name, err, row.kind)
	}
}

func TestBundlesRefuses(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	f := h.fetcher(nil)
	many := make([]object, bridge.MaxReferrers+1)
	for i := range many {
		many[i] = object{"bundle": bundle(fmt.Sprint(i))}
	}
	h.json("/many", object{"attestations": many})
	var lines strings.Builder
	for i := range many {
		lines.Write(bundle(fmt.Sprint(i)))
		lines.WriteString("\n")
	}
	h.text("/lines", lines.String())
	h.on("/endless", endless)
	h.on("/none", status(403, nil))
	bomb := s2.EncodeSnappy(nil, make([]byte, bridge.MaxBundle+1))
	h.text("/bomb", string(bomb))
	h.json("/bombs", object{"attestations": []object{{"bundle_url": h.URL + "/bomb"}}})
	h.json("/plain", object{"attestations": []object{{"bundle_url": "http://192.0.2.1/x"}}})
	h.on("/pages/"+artifact.DigestOf(nil).String()+"?per_page=100", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", `<?per_page=100>; rel="next"`)
		_, _ = io.WriteString(w, `{"attestations":[]}`)
	})
	for name, row := range map[string]struct {
		path string
		form packages.Form
		kind fault.Kind
	}{
		"too many":             {"/many", packages.FormNPM, fault.TooLarge},
		"too many lines":       {"/lines", packages.FormLines, fault.TooLarge},
		"an endless bundle":    {"/endless", packages.FormBundle, fault.TooLarge},
		"endless lines":        {"/endless", packages.FormLines, fault.TooLarge},
		"an endless list":      {"/endless", packages.FormNPM, fault.TooLarge},
		"endless pages":        {"/pages", packages.FormGitHub, fault.TooLarge},
		"a packed bomb":        {"/bombs", packages.FormNPM, fault.TooLarge},
		"a list without TLS":   {"/plain", packages.FormNPM, fault.Refused},
		"no right to see them": {"/none", packages.FormBundle, fault.Forbidden},
		"no list":              {"/lines", packages.FormNPM, fault.Unavailable},
		"no form":              {"/lines", "x", fault.Invalid},
	} {
		file := packages.File{Name: "f", Origin: h.URL, Attestations: []packages.Attestation{{URL: h.URL + row.path, Form: row.form}}}
		_, err := f.Bundles(t.Context(), file, artifact.DigestOf(nil))
		wantKind(t, name, err, row.kind)
	}
	file := packages.File{Name: "f", Origin: h.URL, Attestations: []packages.Attestation{{URL: h.URL + "/nowhere", Form: packages.FormNPM}}}
	if got, err := f.Bundles(t.Context(), file, artifact.DigestOf(nil)); err != nil || len(got) != 0 {
		t.Errorf("a place that is not there: %q, %v", got, err)
	}
}

// deny lets every host pass and no address.
type deny struct{ anywhere }

func (deny) Address(host string, a netip.Addr) error {
	return fault.New(fault.Refused, "%s is %s", host, a)
}

// The own transport asks about addresses when it connects.
func TestAddresses(t *testing.T) {
	t.Parallel()
	asked := false
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		_, _ = io.WriteString(w, `{"name":"shop","version":"1.0.0"}`)
	}))
	t.Cleanup(h.Close)
	spec := packages.Spec{Kind: packages.NPM, URL: h.URL, Name: "shop"}
	for name, guard := range map[string]packages.Guard{"address": deny{}} {
		_, err := packages.New(packages.Config{Guard: guard}).Find(t.Context(), spec, "1.0.0")
		wantKind(t, name, err, fault.Refused)
	}
	if asked {
		t.Error("a request arrived at an address that is refused")
	}
}

// Whoever wires a Fetcher has to say where it may go.
func TestNoGuard(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("New without a Guard did not panic")
		}
	}()
	packages.New(packages.Config{})
}
