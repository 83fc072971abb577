package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

func TestMain(m *testing.M) {
	// The library's list of event sinks, which is empty, cannot be closed from outside.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// served is a registry with the empty blob in shop/web.
func served(t *testing.T, change func(*registry.Config)) *registrytest.Server {
	t.Helper()
	s := registrytest.Serve(t, change)
	putBlob(t, s, "shop/web", "{}")
	return s
}

func putTag(t testing.TB, s *registrytest.Server, tag, token, contentType string, body []byte) (reply, []byte) {
	t.Helper()
	return call(t, http.MethodPut, s.URL+"/v2/shop/web/manifests/"+tag, token, contentType, body)
}

func TestAccess(t *testing.T) {
	t.Parallel()
	s := served(t, func(c *registry.Config) {
		c.Authorize = func(r *http.Request) (registry.Access, error) {
			if registry.TokenOf(r) == "narrow" {
				return registry.Access{Pull: true, Push: true, Allow: func(repository string, push bool) bool {
					return repository == "shop/web" && !push || repository == "mine"
				}}, nil
			}
			return registrytest.Authorize(r)
		}
	})
	d := artifact.DigestOf([]byte("{}")).String()
	for _, row := range []struct {
		name, method, path, token string
		want                      int
	}{
		{"base without token", "GET", "/v2/", "", 401},
		{"base with a wrong token", "GET", "/v2/", "nonsense", 401},
		{"base", "GET", "/v2/", registrytest.Bob, 200},
		{"blob without token", "GET", "/v2/shop/web/blobs/" + d, "", 401},
		{"pull", "GET", "/v2/shop/web/blobs/" + d, registrytest.Bob, 200},
		{"referrers without token", "GET", "/v2/shop/web/referrers/" + d, "", 401},
		{"push without the right", "POST", "/v2/shop/web/blobs/uploads/", registrytest.Bob, 403},
		{"tag without the right", "PUT", "/v2/shop/web/manifests/1.0.0", registrytest.Bob, 403},
		{"delete a tag", "DELETE", "/v2/shop/web/manifests/1.0.0", registrytest.Alice, 405},
		{"delete a manifest", "DELETE", "/v2/shop/web/manifests/" + d, registrytest.CI, 405},
		{"delete a blob", "DELETE", "/v2/shop/web/blobs/" + d, registrytest.CI, 405},
		{"delete referrers", "DELETE", "/v2/shop/web/referrers/" + d, registrytest.CI, 405},
		{"catalog", "GET", "/v2/_catalog", registrytest.Bob, 200},
		{"catalog, narrowed", "GET", "/v2/_catalog", "narrow", 403},
		{"pull, narrowed", "GET", "/v2/shop/web/blobs/" + d, "narrow", 200},
		{"pull elsewhere, narrowed", "GET", "/v2/shop/api/blobs/" + d, "narrow", 403},
		{"push, narrowed", "POST", "/v2/shop/web/blobs/uploads/", "narrow", 403},
		{"push to mine, narrowed", "POST", "/v2/mine/blobs/uploads/", "narrow", 202},
		{"mount what may be pulled", "POST", "/v2/mine/blobs/uploads/?from=shop/web&mount=" + d, "narrow", 201},
		{"mount what may not", "POST", "/v2/mine/blobs/uploads/?from=shop/api&mount=" + d, "narrow", 202},
		{"upwards", "GET", "/v2/mine/../shop/api/blobs/" + d, "narrow", 404},
		{"encoded upwards", "GET", "/v2/mine/%2e%2e/shop/api/blobs/" + d, "narrow", 404},
		{"encoded slash", "GET", "/v2/mine%2f..%2fshop%2fapi/blobs/" + d, "narrow", 404},
		{"double slash", "GET", "/v2/mine//blobs/" + d, "narrow", 404},
		{"upper case", "GET", "/v2/Mine/blobs/" + d, "narrow", 404},
		{"no repository", "GET", "/v2/manifests/latest", registrytest.Bob, 404},
		{"not below v2", "GET", "/v2x/shop/web/tags/list", registrytest.Bob, 404},
	} {
		resp, body := call(t, row.method, s.URL+row.path, row.token, "", nil)
		wantStatus(t, row.name, resp, body, row.want)
		if row.want == 401 && resp.Header.Get("WWW-Authenticate") != `Basic realm="drawbridge"` {
			t.Errorf("%s: WWW-Authenticate = %q", row.name, resp.Header.Get("WWW-Authenticate"))
		}
		if row.want > 400 {
			var e struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Code == "" || e.Errors[0].Message == "" {
				t.Errorf("%s: body %s, want one error with code and message", row.name, body)
			}
		}
	}
}

func TestMountFromWhatMayNotBePulled(t *testing.T) {
	t.Parallel()
	s := served(t, func(c *registry.Config) {
		c.Authorize = func(*http.Request) (registry.Access, error) {
			return registry.Access{Pull: true, Push: true, Allow: func(repository string, push bool) bool {
				return repository == "mine" || push
			}}, nil
		}
	})
	form := url.Values{"from": {"shop/web"}, "mount": {artifact.DigestOf([]byte("{}")).String()}}.Encode()
	resp, body := call(t, http.MethodPost, s.URL+"/v2/mine/blobs/uploads/", "", "application/x-www-form-urlencoded", []byte(form))
	wantStatus(t, "mount said in the body", resp, body, http.StatusAccepted)
	resp, body = call(t, http.MethodPost, s.URL+"/v2/mine/blobs/uploads/?"+form, "", "", nil)
	wantStatus(t, "mount", resp, body, http.StatusAccepted)
}

func TestTagsDoNotMove(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	first, second := bareManifest(t, nil), bareManifest(t, map[string]any{"annotations": map[string]string{"n": "2"}})
	for range 2 {
		resp, body := putTag(t, s, "1.0.0", registrytest.Alice, imageType, first)
		wantStatus(t, "first", resp, body, http.StatusCreated)
	}
	resp, body := putTag(t, s, "1.0.0", registrytest.CI, imageType, second)
	wantStatus(t, "moving the tag", resp, body, http.StatusConflict)
	want := "tag 1.0.0 of shop/web names " + artifact.DigestOf(first).String() + " already; tags do not move"
	if !strings.Contains(string(body), want) {
		t.Errorf("moving the tag: body %s, want %q in it", body, want)
	}
	_, got := call(t, http.MethodGet, s.URL+"/v2/shop/web/manifests/1.0.0", registrytest.Bob, "", nil)
	if !bytes.Equal(got, first) {
		t.Errorf("the tag names %s, want the first manifest", got)
	}
	if got, want := events(s.Rows), []string{"shop/web:1.0.0@" + artifact.DigestOf(first).String()}; !slices.Equal(got, want) {
		t.Errorf("events = %v, want %v", got, want)
	}
	row, _ := s.Rows.Tag("shop/web", "1.0.0")
	if row.Actor != "alice" || row.MediaType != imageType || row.ArtifactType != emptyType || row.At.IsZero() {
		t.Errorf("row = %+v, want actor, types and time", row)
	}
}

func TestRacingTagsOneWins(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	const n = 12
	status := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		m := bareManifest(t, map[string]any{"annotations": map[string]string{"n": fmt.Sprint(i)}})
		wg.Go(func() {
			resp, _ := putTag(t, s, "1.0.0", registrytest.Alice, imageType, m)
			status[i] = resp.StatusCode
		})
	}
	wg.Wait()
	won := 0
	for i, code := range status {
		switch code {
		case http.StatusCreated:
			won++
			m := bareManifest(t, map[string]any{"annotations": map[string]string{"n": fmt.Sprint(i)}})
			if _, got := call(t, http.MethodGet, s.URL+"/v2/shop/web/manifests/1.0.0", registrytest.Bob, "", nil); !bytes.Equal(got, m) {
				t.Errorf("write %d won, and the tag names %s", i, got)
			}
			if got := events(s.Rows); len(got) != 1 || !strings.HasSuffix(got[0], artifact.DigestOf(m).String()) {
				t.Errorf("write %d won, events = %v", i, got)
			}
		case http.StatusConflict:
		default:
			t.Errorf("write %d = %d, want 201 or 409", i, code)
		}
	}
	if won != 1 {
		t.Errorf("%d writes won, want 1", won)
	}
}

func TestOnlyArtifactTagsAreReported(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	subject := bareManifest(t, nil)
	referrer := bareManifest(t, map[string]any{"subject": descriptor(imageType, string(subject)), "artifactType": "text/plain"})
	for _, row := range []struct {
		tag, token string
		body       []byte
	}{
		{artifact.DigestOf(subject).String(), registrytest.Alice, subject},
		{"ci", registrytest.CI, subject},
		{"referrer", registrytest.Alice, referrer},
		{"sha256-" + artifact.DigestOf(subject).Hex(), registrytest.Alice, subject},
		{"sha256-" + artifact.DigestOf(subject).Hex() + ".sig", registrytest.Alice, subject},
		{"hand", registrytest.Alice, subject},
		{"sha256-not-a-digest", registrytest.Alice, subject},
	} {
		resp, body := putTag(t, s, row.tag, row.token, imageType, row.body)
		wantStatus(t, row.tag, resp, body, http.StatusCreated)
		if got, want := resp.Header.Get("OCI-Subject") != "", row.tag == "referrer"; got != want {
			t.Errorf("%s: OCI-Subject said: %t, want %t", row.tag, got, want)
		}
	}
	d := "@" + artifact.DigestOf(subject).String()
	if got, want := events(s.Rows), []string{"shop/web:hand" + d, "shop/web:sha256-not-a-digest" + d}; !slices.Equal(got, want) {
		t.Errorf("events = %v, want %v", got, want)
	}
}

func TestFailedCommitIsRepeated(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	subject := bareManifest(t, nil)
	referrer := bareManifest(t, map[string]any{"subject": descriptor(imageType, string(subject))})
	for _, row := range []struct {
		name   string
		err    error
		status int
	}{
		{"defect", errors.New("a secret detail"), 500},
		{"full", fault.New(fault.Full, "the database is full"), 507},
		{"away", fault.New(fault.Unavailable, "the database is away"), 503},
	} {
		s.Rows.FailNext(row.err)
		resp, body := putTag(t, s, row.name, registrytest.Alice, imageType, subject)
		wantStatus(t, row.name, resp, body, row.status)
		if strings.Contains(string(body), "secret") {
			t.Errorf("%s: the answer tells the detail: %s", row.name, body)
		}
		if _, ok := s.Rows.Tag("shop/web", row.name); ok {
			t.Errorf("%s: there is a row", row.name)
		}
		resp, body = putTag(t, s, row.name, registrytest.Alice, imageType, subject)
		wantStatus(t, row.name+" repeated", resp, body, http.StatusCreated)
	}
	if got := events(s.Rows); len(got) != 3 {
		t.Errorf("events = %v, want one for each tag", got)
	}

	s.Rows.FailNext(errors.New("killed"))
	name := artifact.DigestOf(referrer).String()
	resp, body := putTag(t, s, name, registrytest.Alice, imageType, referrer)
	wantStatus(t, "referrer", resp, body, http.StatusInternalServerError)
	resp, body = putTag(t, s, name, registrytest.Alice, imageType, referrer)
	wantStatus(t, "referrer repeated", resp, body, http.StatusCreated)
	if n := len(listReferrers(t, s, artifact.DigestOf(subject), "").Manifests); n != 1 {
		t.Errorf("%d referrers, want 1", n)
	}
}

type index struct {
	MediaType string
	Manifests []struct {
		MediaType, Digest, ArtifactType string
		Size                            int64
		Annotations                     map[string]string
	}
}

func listReferrers(t *testing.T, s *registrytest.Server, subject artifact.Digest, query string) index {
	t.Helper()
	resp, body := call(t, http.MethodGet, s.URL+"/v2/shop/web/referrers/"+subject.String()+query, registrytest.Bob, "", nil)
	wantStatus(t, "referrers", resp, body, http.StatusOK)
	var i index
	if err := json.Unmarshal(body, &i); err != nil || i.MediaType != indexType || resp.Header.Get("Content-Type") != indexType || i.Manifests == nil {
		t.Fatalf("referrers: %v, body %s", err, body)
	}
	if got, want := resp.Header.Get("OCI-Filters-Applied"), ""; strings.Contains(query, "artifactType") != (got == "artifactType") {
		t.Errorf("OCI-Filters-Applied = %q, want %q", got, want)
	}
	return i
}

func TestReferrersAPI(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	subject := artifact.DigestOf([]byte("never pushed"))
	if got := listReferrers(t, s, subject, "").Manifests; len(got) != 0 {
		t.Errorf("before: %v, want none", got)
	}
	for i := range 7 {
		m := bareManifest(t, map[string]any{
			"subject":      map[string]any{"mediaType": imageType, "digest": subject.String(), "size": 7},
			"artifactType": fmt.Sprintf("text/%d", i%2), "annotations": map[string]string{"n": fmt.Sprint(i)},
		})
		resp, body := putTag(t, s, artifact.DigestOf(m).String(), registrytest.Alice, imageType, m)
		wantStatus(t, "put", resp, body, http.StatusCreated)
		if got := resp.Header.Get("OCI-Subject"); got != subject.String() {
			t.Errorf("OCI-Subject = %q, want %s", got, subject)
		}
	}
	if got := listReferrers(t, s, subject, "?artifactType=text/1").Manifests; len(got) != 3 || got[0].ArtifactType != "text/1" || got[0].Annotations["n"] == "" || got[0].Size == 0 {
		t.Errorf("filtered: %+v, want three complete entries", got)
	}
	seen, next := map[string]bool{}, "?n=2"
	for pages := 0; next != "" && pages < 10; pages++ {
		resp, body := call(t, http.MethodGet, s.URL+"/v2/shop/web/referrers/"+subject.String()+next, registrytest.Bob, "", nil)
		var i index
		if err := json.Unmarshal(body, &i); err != nil || len(i.Manifests) > 2 {
			t.Fatalf("page: %v, %s", err, body)
		}
		for _, m := range i.Manifests {
			seen[m.Digest] = true
		}
		next = ""
		if _, query, ok := strings.Cut(resp.Header.Get("Link"), "?"); ok {
			next = "?" + strings.TrimSuffix(query, `>; rel="next"`)
		}
	}
	if len(seen) != 7 {
		t.Errorf("paging gave %d referrers, want 7", len(seen))
	}
	resp, body := call(t, http.MethodGet, s.URL+"/v2/shop/web/referrers/sha256:12", registrytest.Bob, "", nil)
	wantStatus(t, "no digest", resp, body, http.StatusBadRequest)
}

func TestFallbackTagsOnlyGrow(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	var entries []map[string]any
	for i := range 3 {
		m := bareManifest(t, map[string]any{"annotations": map[string]string{"n": fmt.Sprint(i)}})
		resp, body := putTag(t, s, artifact.DigestOf(m).String(), registrytest.Alice, imageType, m)
		wantStatus(t, "entry", resp, body, http.StatusCreated)
		entries = append(entries, descriptor(imageType, string(m)))
	}
	tag := "sha256-" + artifact.DigestOf([]byte("subject")).Hex()
	put := func(name string, want int, entries ...map[string]any) {
		t.Helper()
		b, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": entries})
		if err != nil {
			t.Fatal(err)
		}
		resp, body := putTag(t, s, tag, registrytest.Alice, indexType, b)
		wantStatus(t, name, resp, body, want)
	}
	put("one", 201, entries[0])
	put("grow", 201, entries[1], entries[0])
	put("replace", 409, entries[2])
	put("shrink", 409, entries[0])
	put("swap", 409, entries[0], entries[2])
	put("grow again", 201, entries[2], entries[1], entries[0])
	if got := events(s.Rows); len(got) != 0 {
		t.Errorf("events = %v, want none", got)
	}
}

func TestBadManifests(t *testing.T) {
	t.Parallel()
	s := served(t, nil)
	missing := bareManifest(t, map[string]any{"layers": []any{descriptor(emptyType, "nowhere")}})
	elsewhere := descriptor(emptyType, "{}")
	elsewhere["urls"] = []string{"https://example.com/layer"}
	large := bareManifest(t, map[string]any{"subject": descriptor(imageType, "x"), "annotations": map[string]string{"a": strings.Repeat("x", registry.MaxAnnotations)}})
	for _, row := range []struct {
		name, tag, contentType string
		body                   []byte
		want                   int
	}{
		{"empty", "a", imageType, nil, 400},
		{"no JSON", "a", imageType, []byte("{"), 400},
		{"an array", "a", imageType, []byte("[]"), 400},
		{"a type that nobody knows", "a", "text/plain", bareManifest(t, nil), 400},
		{"other digest", artifact.DigestOf([]byte("x")).String(), imageType, bareManifest(t, nil), 400},
		{"missing blob", "a", imageType, missing, 400},
		{"layer elsewhere", "a", imageType, bareManifest(t, map[string]any{"layers": []any{elsewhere}}), 400},
		{"subject without digest", "a", imageType, bareManifest(t, map[string]any{"subject": map[string]any{"digest": "latest"}}), 400},
		{"annotations of a referrer", "a", imageType, large, 413},
		{"too large", "a", imageType, bytes.Repeat([]byte(" "), registry.MaxManifest+1), 413},
		{"malformed tag", "-a", imageType, bareManifest(t, nil), 404},
	} {
		resp, body := putTag(t, s, row.tag, registrytest.Alice, row.contentType, row.body)
		wantStatus(t, row.name, resp, body, row.want)
	}
	if got := events(s.Rows); len(got) != 0 {
		t.Errorf("events = %v, want none", got)
	}
	if _, ok := s.Rows.Tag("shop/web", "a"); ok {
		t.Error("there is a row for a refused manifest")
	}
}

func TestUploadLimit(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, func(c *registry.Config) { c.MaxBlob = 10 })
	resp, body := call(t, http.MethodPost, s.URL+"/v2/shop/web/blobs/uploads/", registrytest.Alice, "", nil)
	wantStatus(t, "start", resp, body, http.StatusAccepted)
	resp, body = call(t, http.MethodPatch, s.URL+resp.Header.Get("Location"), registrytest.Alice, "", []byte("eleven bytes"))
	wantStatus(t, "too much", resp, body, http.StatusRequestEntityTooLarge)
}

func TestOpenRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]registry.Config{
		"nothing":          {},
		"no rows":          {Dir: t.TempDir(), Authorize: registrytest.Authorize},
		"no authorization": {Dir: t.TempDir(), Rows: &registrytest.Memory{}},
		"no directory":     {Dir: "/dev/null/x", Rows: &registrytest.Memory{}, Authorize: registrytest.Authorize},
	} {
		if e, err := registry.Open(config); err == nil {
			t.Errorf("%s: Open = nil, want an error", name)
			_ = e.Close()
		}
	}
}
