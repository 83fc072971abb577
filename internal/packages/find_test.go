package packages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/packages"
)

type object = map[string]any

// github is a release with three files, of which two are one another's bundles, whose assets
// are elsewhere, and attestations on two pages.
func github(t *testing.T) (api, store *host) {
	t.Helper()
	api, store = newHost(t), newHost(t)
	api.json("/repos/acme/shop/releases/tags/v1.0%2Flinux", object{"id": 7, "tag_name": "v1.0/linux", "assets": []any{}})
	api.json("/repos/acme/shop/releases/7/assets?per_page=100&page=1", []object{
		{"id": 1, "name": "shop.tar.gz", "size": 7, "state": "uploaded", "digest": "sha256:" + artifact.DigestOf([]byte("content")).Hex(), "url": "https://evil.example/"},
		{"id": 2, "name": "shop.tar.gz.sigstore.json", "size": 1, "state": "uploaded", "digest": nil},
		{"id": 3, "name": "shop.tar.gz.intoto.jsonl", "size": 1, "state": "uploaded"},
		{"id": 4, "name": "checksums.txt", "size": 1, "state": "uploaded"},
		{"id": 5, "name": "shop-begun.tar.gz", "size": 0, "state": "starter"},
	})
	for id, text := range map[int]string{1: "content", 2: string(bundle("beside")), 3: string(bundle("line 1")) + "\n\n" + string(bundle("beside")) + "\nno bundle\n" + string(bundle("line 2"))} {
		at := fmt.Sprintf("/repos/acme/shop/releases/assets/%d", id)
		api.on(at, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") != "application/octet-stream" {
				http.Error(w, "a description", http.StatusTeapot)
				return
			}
			http.Redirect(w, r, store.URL+at+"?signature=secret", http.StatusFound)
		})
		store.text(at+"?signature=secret", text)
	}
	list := "/repos/acme/shop/attestations/" + artifact.DigestOf([]byte("content")).String()
	compressed := store.URL + "/attestation?signature=secret"
	store.text("/attestation?signature=secret", string(s2.EncodeSnappy(nil, bundle("compressed"))))
	api.on(list+"?per_page=100", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `<https://evil.example/x?before=1>; rel="prev", <https://evil.example/x?per_page=100&after=abc>; rel="next"`)
		_ = json.NewEncoder(w).Encode(object{"attestations": []object{{"bundle": bundle("api 1")}, {"bundle": nil, "bundle_url": compressed}, {"bundle_url": store.URL + "/gone"}, {"bundle": bundle("line 1")}}})
	})
	api.json(list+"?per_page=100&after=abc", object{"attestations": []object{{"bundle": bundle("api 2")}, {"bundle": object{"mediaType": "text/plain"}}}})
	return api, store
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	api, store := github(t)
	f := api.fetcher(nil)
	spec := packages.Spec{Kind: packages.GitHub, URL: api.URL + "/", Name: "acme/shop", Files: []string{"shop*"}}
	files := find(t, f, spec, "v1.0/linux")
	if len(files) != 1 || files[0].Integrity != sri256("content") || files[0].Size != 7 {
		t.Fatalf("Find = %+v", files)
	}
	raw, err := json.Marshal(files[0]) // a job may keep it meanwhile
	if err != nil {
		t.Fatal(err)
	}
	var kept packages.File
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	wantContent(t, f, kept, "content", "beside", "line 1", "line 2", "api 1", "compressed", "api 2")
	if n := len(store.requests("/")); n != 5 {
		t.Errorf("the store was asked %d times, want 5", n)
	}
	for _, r := range api.requests("/") {
		if r.Header.Get("Authorization") != "Bearer "+api.Host || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s came with %q", r.URL, r.Header)
		}
		if strings.HasSuffix(r.URL.Path, "/assets") && r.Header.Get("X-Github-Api-Version") != "2022-11-28" {
			t.Errorf("%s names no version of the API", r.URL)
		}
	}
	for _, r := range store.requests("/") {
		if a, ref := r.Header.Get("Authorization"), r.Header.Get("Referer"); a != "" || ref != "" {
			t.Errorf("the store got the login %q, the referer %q", a, ref)
		}
	}
	spec.Files = []string{"*.zip"}
	_, err = f.Find(t.Context(), spec, "v1.0/linux")
	wantKind(t, "no file that matches", err, fault.NotFound)
	_, err = f.Find(t.Context(), spec, "v2")
	wantKind(t, "no such release", err, fault.NotFound)
}

func TestGitea(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	release := object{"id": 1, "tag_name": "v1", "draft": false, "assets": []object{
		{"name": "b.zip", "size": 2, "browser_download_url": h.URL + "/attachments/b"},
		{"name": "a.zip", "size": 1, "browser_download_url": h.URL + "/attachments/a"},
		{"name": "a.zip.sigstore", "size": 1, "browser_download_url": h.URL + "/attachments/s"},
	}}
	h.json("/git/api/v1/repos/acme/shop/releases/tags/v1", release)
	h.text("/attachments/a", "a")
	h.text("/attachments/b", "bb")
	h.text("/attachments/s", string(bundle("s")))
	f := h.fetcher(nil)
	spec := packages.Spec{Kind: packages.Gitea, URL: h.URL + "/git", Name: "acme/shop", Files: []string{"b*", "*.zip"}}
	files := find(t, f, spec, "v1")
	if len(files) != 2 || files[0].Name != "a.zip" || files[1].Name != "b.zip" {
		t.Fatalf("Find = %+v", files)
	}
	wantContent(t, f, files[0], "a", "s")
	wantContent(t, f, files[1], "bb")
	release["draft"] = true
	h.json("/git/api/v1/repos/acme/shop/releases/tags/v1", release)
	_, err := f.Find(t.Context(), spec, "v1")
	wantKind(t, "a draft", err, fault.Blocked)
	h.json("/git/api/v1/repos/acme/shop/releases/tags/v2", release)
	_, err = f.Find(t.Context(), spec, "v2")
	wantKind(t, "another release", err, fault.Unavailable)
}

func TestGitLab(t *testing.T) {
	t.Parallel()
	h, elsewhere := newHost(t), newHost(t)
	release := object{"tag_name": "v1", "upcoming_release": false, "assets": object{"count": 3, "links": []object{
		{"id": 1, "name": "Read me / manual", "url": "ftp://x/y"},
		{"id": 2, "name": "shop.deb", "url": elsewhere.URL + "/shop.deb"},
		{"id": 3, "name": "shop.rpm", "url": h.URL + "/api/v4/projects/1/packages/generic/shop/1/shop.rpm"},
	}}}
	const at = "/api/v4/projects/acme%2Fweb%2Fshop/releases/v1"
	h.json(at, release)
	elsewhere.text("/shop.deb", "deb")
	h.text("/api/v4/projects/1/packages/generic/shop/1/shop.rpm", "rpm")
	f := h.fetcher(nil)
	spec := packages.Spec{Kind: packages.GitLab, URL: h.URL, Name: "acme/web/shop", Files: []string{"*"}}
	files := find(t, f, spec, "v1")
	if len(files) != 2 {
		t.Fatalf("Find = %+v", files)
	}
	wantContent(t, f, files[0], "deb")
	wantContent(t, f, files[1], "rpm")
	if got := elsewhere.requests("/")[0].Header.Get("Authorization"); got != "" {
		t.Errorf("a link was followed with the login %q", got)
	}
	if got := h.requests("generic")[0].Header.Get("Authorization"); got == "" {
		t.Error("the host's own package was asked for without the login")
	}
	release["upcoming_release"] = true
	h.json(at, release)
	_, err := f.Find(t.Context(), spec, "v1")
	wantKind(t, "a release of tomorrow", err, fault.Blocked)
}

func TestMaven(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	at := "/maven2/com/acme/shop/1.0+b/shop-1.0+b-linux.zip"
	h.text(at, "content")
	h.text(at+".sha512", strings.ToUpper(hex512("content"))+"  shop.zip\n")
	h.text(at+".sigstore.json", string(bundle("s")))
	plain := "/maven2/com/acme/shop/1.0/shop-1.0.jar"
	h.text(plain, "jar")
	h.on(plain+".sha512", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }) // object storage
	h.text(plain+".sha256", artifact.DigestOf([]byte("jar")).Hex())
	h.text(plain+".sigstore.json", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{}}`)
	f := h.fetcher(nil)
	spec := packages.Spec{Kind: packages.Maven, URL: h.URL + "/maven2", Name: "com.acme:shop", Classifier: "linux", Extension: "zip"}
	files := find(t, f, spec, "1.0+b")
	if len(files) != 1 || files[0].Integrity != sri512("content") || files[0].Size != 7 || files[0].Name != "shop-1.0+b-linux.zip" {
		t.Fatalf("Find = %+v", files)
	}
	wantContent(t, f, files[0], "content", "s")
	spec.Classifier, spec.Extension = "", ""
	files = find(t, f, spec, "1.0")
	if len(files) != 1 || files[0].Integrity != sri256("jar") {
		t.Fatalf("Find = %+v", files)
	}
	wantContent(t, f, files[0], "jar")
	_, err := f.Find(t.Context(), spec, "2.0")
	wantKind(t, "no such version", err, fault.NotFound)
	_, err = f.Find(t.Context(), spec, "1.0-SNAPSHOT")
	wantKind(t, "a snapshot", err, fault.Refused)
	h.text(plain+".sha256", "<html>")
	_, err = f.Find(t.Context(), spec, "1.0")
	wantKind(t, "a page instead of a checksum", err, fault.Unavailable)
}

func TestNPM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	version := object{"name": "@acme/shop", "version": "1.0.0", "dist": object{
		"tarball": h.URL + "/@acme/shop/-/../../evil.tgz", "integrity": "sha1-AAAA " + sri512("other") + " " + sri512("content") + "?x", "shasum": "00",
		"attestations": object{"url": h.URL + "/-/npm/v1/attestations/@acme%2fshop@1.0.0"},
	}}
	h.json("/@acme%2Fshop/1.0.0", version)
	h.json("/@acme%2Fshop/latest", version)
	h.text("/@acme/shop/-/../../evil.tgz", "content")
	h.text("/evil.tgz", "content")
	h.json("/-/npm/v1/attestations/@acme%2fshop@1.0.0", object{"attestations": []object{{"predicateType": "p", "bundle": bundle("publish")}, {"bundle": bundle("provenance")}}})
	f := h.fetcher(nil)
	spec := packages.Spec{Kind: packages.NPM, URL: h.URL, Name: "@acme/shop"}
	files := find(t, f, spec, "1.0.0")
	if len(files) != 1 || files[0].Name != "acme-shop-1.0.0.tgz" {
		t.Fatalf("Find = %+v", files)
	}
	wantContent(t, f, files[0], "content", "publish", "provenance")
	_, err := f.Find(t.Context(), spec, "latest")
	wantKind(t, "a distribution tag", err, fault.Refused)
	// A registry without documents of versions.
	h.json("/shop", object{"versions": object{"2.0.0": object{"name": "shop", "version": "2.0.0", "dist": object{"tarball": h.URL + "/evil.tgz", "integrity": sri512("content")}}}})
	spec.Name = "shop"
	wantContent(t, f, find(t, f, spec, "2.0.0")[0], "content")
	_, err = f.Find(t.Context(), spec, "3.0.0")
	wantKind(t, "no such version", err, fault.NotFound)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	f := h.fetcher(nil)
	spec := packages.Spec{Kind: packages.NPM, URL: h.URL, Name: "shop"}
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		kind   fault.Kind
		after  time.Duration
	}{
		"no login":      {status(401, nil), fault.Forbidden, 0},
		"no right":      {status(403, nil), fault.Forbidden, 0},
		"gone":          {status(410, nil), fault.NotFound, 0},
		"failing":       {status(500, nil), fault.Unavailable, 0},
		"too many":      {status(429, http.Header{"Retry-After": {"30"}}), fault.Unavailable, 30 * time.Second},
		"over a quota":  {status(403, http.Header{"X-Ratelimit-Remaining": {"0"}, "Retry-After": {"60"}}), fault.Unavailable, time.Minute},
		"a full quota":  {status(403, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"90"}, "Date": {epoch}}), fault.Unavailable, 90 * time.Second},
		"a long quota":  {status(403, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"99999999"}, "Date": {epoch}}), fault.Unavailable, 24 * time.Hour},
		"by a date":     {status(429, http.Header{"Retry-After": {"Thu, 01 Jan 1970 00:00:05 GMT"}, "Date": {epoch}}), fault.Unavailable, 5 * time.Second},
		"no JSON":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, fault.Unavailable, 0},
		"another form":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"dist":[]}`)) }, fault.Unavailable, 0},
		"endless":       {endless, fault.TooLarge, 0},
		"compressed":    {status(200, http.Header{"Content-Encoding": {"gzip"}}), fault.Unavailable, 0},
		"a circle":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, fault.Refused, 0},
		"not as said":   {status(200, http.Header{"Content-Length": {"5"}}), fault.Unavailable, 0},
		"no connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, 0},
	} {
		h.on("/shop/1.0.0", row.answer)
		_, err := f.Find(t.Context(), spec, "1.0.0")
		wantKind(t, name, err, row.kind)
		if wait, ok := errors.AsType[bridge.Throttled](err); ok != (row.after > 0) || wait.After != row.after {
			t.Errorf("%s: wait %s, want %s", name, wait.After, row.after)
		}
	}
}

// epoch is when Unix time begins, as a header.
const epoch = "Thu, 01 Jan 1970 00:00:00 GMT"

func status(code int, header http.Header) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(code)
	}
}

// endless writes until nobody reads any more.
func endless(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}
