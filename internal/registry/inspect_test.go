package registry_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

// shelf is a registry that answers with what was put into it, by digest.
type shelf map[string][]byte

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := s[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(body)
}

// object is a part of a manifest in a test.
type object map[string]any

// put keeps a document and describes it.
func (s shelf) put(t *testing.T, mediaType string, v any) object {
	t.Helper()
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	d := artifact.DigestOf(b).String()
	s[d] = b
	return object{"mediaType": mediaType, "digest": d, "size": len(b)}
}

const configType = "application/vnd.oci.image.config.v1+json"

// image keeps an image of a platform.
func (s shelf) image(t *testing.T, os, arch string, labels object) object {
	t.Helper()
	config := s.put(t, configType, object{"os": os, "architecture": arch, "created": "2026-01-02T03:04:05.6Z", "config": object{"Labels": labels}})
	layer := s.put(t, "application/vnd.oci.image.layer.v1.tar", []byte("layer of "+os+arch))
	m := s.put(t, imageType, object{"mediaType": imageType, "config": config, "layers": []object{layer}, "annotations": object{"a": "manifest", "b": "manifest"}})
	m["platform"] = object{"os": os, "architecture": arch}
	return m
}

func digestIn(t *testing.T, m object) artifact.Digest {
	t.Helper()
	d, err := artifact.ParseDigest(fmt.Sprint(m["digest"]))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s shelf) inspect(t *testing.T, m object) (bridge.Image, error) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return newClient(t, registry.ClientConfig{Local: server.URL}).Inspect(t.Context(), web.WithDigest(digestIn(t, m)))
}

func TestInspectOurOwnImage(t *testing.T) {
	t.Parallel()
	c := registrytest.Serve(t, nil).Client(t, registrytest.Alice)
	ref := push(t, c, web, "content")
	got, err := c.Inspect(t.Context(), ref)
	if err != nil || got.Digest != ref.Digest || got.MediaType != imageType || len(got.Layers) != 1 || len(got.Platforms) != 1 {
		t.Errorf("Inspect = %+v, %v", got, err)
	}
	_, err = c.Inspect(t.Context(), web.WithTag("1.0.0"))
	wantKind(t, "Inspect by tag", err, fault.Invalid)
	_, err = c.Inspect(t.Context(), web.WithDigest(artifact.DigestOf([]byte("x"))))
	wantKind(t, "Inspect of nothing", err, fault.NotFound)
}

func TestInspectManifest(t *testing.T) {
	t.Parallel()
	s := shelf{}
	got, err := s.inspect(t, s.image(t, "linux", "amd64", object{
		"b": "config", "org.opencontainers.image.created": "2026-02-03T04:05:06+01:00", "org.opencontainers.image.revision": "abc",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Platforms, []string{"linux/amd64"}) || got.Labels["a"] != "manifest" || got.Labels["b"] != "config" || got.Commit != "abc" {
		t.Errorf("Inspect = %+v", got)
	}
	if want := time.Date(2026, 2, 3, 3, 5, 6, 0, time.UTC); !got.Created.Equal(want) {
		t.Errorf("created %s, want the label's %s", got.Created, want)
	}
	got, err = s.inspect(t, s.image(t, "linux", "arm64", object{"org.opencontainers.image.created": "yesterday"}))
	if want := time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.UTC); err != nil || !got.Created.Equal(want) {
		t.Errorf("created %s, %v, want the config's %s", got.Created, err, want)
	}
	got, err = s.inspect(t, s.put(t, imageType, object{"mediaType": imageType, "config": object{"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "gone"}}))
	if err != nil || len(got.Platforms) != 0 || !got.Created.IsZero() {
		t.Errorf("a chart = %+v, %v", got, err)
	}
}

func TestInspectIndex(t *testing.T) {
	t.Parallel()
	s := shelf{}
	signatures := s.image(t, "unknown", "unknown", nil)
	arm, amd := s.image(t, "linux", "arm64", object{"c": "arm"}), s.image(t, "linux", "amd64", object{"c": "amd"})
	arm["platform"] = object{"os": "linux", "architecture": "arm64", "variant": "v8"}
	got, err := s.inspect(t, s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{signatures, arm, amd, amd}, "annotations": object{"d": "index"}}))
	if err != nil || got.MediaType != indexType || got.Layers != nil || got.Created.IsZero() {
		t.Fatalf("Inspect = %+v, %v", got, err)
	}
	if !slices.Equal(got.Platforms, []string{"linux/amd64", "linux/arm64/v8"}) || got.Labels["c"] != "arm" || got.Labels["d"] != "index" {
		t.Errorf("Inspect = %+v", got)
	}
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	s := shelf{}
	one := s.image(t, "linux", "amd64", nil)
	inner := s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{one}})
	disguised := object{"mediaType": imageType, "digest": inner["digest"], "size": 1, "platform": object{"os": "linux", "architecture": "amd64"}}
	with := func(config object) object {
		return s.put(t, imageType, object{"mediaType": imageType, "config": config})
	}
	lying := s.put(t, configType, object{"os": "linux"})
	s[fmt.Sprint(lying["digest"])] = []byte(`{"os":"plan9"}`)
	big := s.put(t, configType, []byte(strings.Repeat(" ", bridge.MaxConfig+1)))
	small := object{"mediaType": configType, "digest": big["digest"], "size": 2}
	labels := object{}
	for i := range 501 {
		labels[fmt.Sprint(i)] = "x"
	}
	for name, row := range map[string]struct {
		m    object
		kind fault.Kind
	}{
		"an index with 51 manifests":  {s.put(t, indexType, object{"mediaType": indexType, "manifests": slices.Repeat([]object{one}, 51)}), fault.TooLarge},
		"an index of indexes":         {s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{inner}}), fault.Invalid},
		"an index that hides one":     {s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{disguised}}), fault.Invalid},
		"an image that is not there":  {s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{{"digest": artifact.DigestOf(nil).String(), "platform": one["platform"]}}}), fault.NotFound},
		"an image without digest":     {s.put(t, indexType, object{"mediaType": indexType, "manifests": []object{{"digest": "../x", "platform": one["platform"]}}}), fault.Invalid},
		"a config that says its size": {with(big), fault.TooLarge},
		"a config that lies about it": {with(small), fault.TooLarge},
		"a config of another digest":  {with(lying), fault.Unavailable},
		"a config without digest":     {with(object{"mediaType": configType, "digest": "sha512:00"}), fault.Invalid},
		"a config that is no JSON":    {with(s.put(t, configType, []byte("x"))), fault.Invalid},
		"too many labels":             {s.image(t, "linux", "amd64", labels), fault.TooLarge},
		"a label too long":            {s.image(t, "linux", "amd64", object{"x": strings.Repeat("x", 1<<17)}), fault.TooLarge},
		"layers without digest":       {s.put(t, imageType, object{"mediaType": imageType, "layers": []object{{"digest": "x"}}}), fault.Invalid},
		"too many layers":             {s.put(t, imageType, object{"mediaType": imageType, "layers": slices.Repeat([]object{{"digest": "x"}}, 1001)}), fault.TooLarge},
		"another kind of thing":       {s.put(t, imageType, object{"mediaType": "text/html"}), fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.inspect(t, row.m)
			wantKind(t, "Inspect", err, row.kind)
		})
	}
}

// TestInspectReadsNoGigabyte: a manifest without end is given up after MaxManifest.
func TestInspectReadsNoGigabyte(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<30))
		_, _ = io.WriteString(w, `{"mediaType":"`)
		endless(w, r, strings.Repeat("x", 1<<16))
	}))
	t.Cleanup(s.Close)
	_, err := newClient(t, registry.ClientConfig{Local: s.URL}).Inspect(t.Context(), web.WithDigest(artifact.DigestOf(nil)))
	wantKind(t, "Inspect", err, fault.TooLarge)
}
