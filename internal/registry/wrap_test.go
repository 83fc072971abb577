package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

var packaged = artifact.Reference{Repository: "shop/cli"}

// statementBundle is a bundle, unsigned, about content.
func statementBundle(predicateType, content string) []byte {
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"f","digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		artifact.DigestOf([]byte(content)).Hex(), predicateType)
	return fmt.Appendf(nil, `{"mediaType":%q,"dsseEnvelope":{"payload":%q,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}`,
		bundleType, base64.StdEncoding.EncodeToString([]byte(payload)))
}

func packageFile(name, content string, bundles ...[]byte) registry.PackageFile {
	return registry.PackageFile{Name: name, Content: io.NewSectionReader(strings.NewReader(content), 0, int64(len(content))), Bundles: bundles}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	c := s.Client(t, registrytest.Alice)
	provenance, sbom := statementBundle("https://slsa.dev/provenance/v1", "content"), statementBundle("https://cyclonedx.org/bom", "content")
	first, err := c.Wrap(t.Context(), packaged, packageFile("shop-1.0.tgz", "content", provenance, sbom))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*registry.Client{c, s.Client(t, registrytest.CI)} { // one knows the manifest already, one does not
		again, err := other.Wrap(t.Context(), packaged, packageFile("shop-1.0.tgz", "content", sbom, provenance, sbom))
		if err != nil || again != first {
			t.Errorf("Wrap of the same = %s, %v, want %s", again, err, first)
		}
	}
	raw, mediaType, err := c.Manifest(t.Context(), packaged.WithDigest(first))
	if err != nil || mediaType != imageType {
		t.Fatalf("Manifest: %q, %v", mediaType, err)
	}
	var m struct {
		ArtifactType string `json:"artifactType"`
		Config       struct{ MediaType, Digest string }
		Layers       []struct {
			MediaType   string            `json:"mediaType"`
			Digest      artifact.Digest   `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != "application/vnd.drawbridge.package.v1" || m.Config.MediaType != emptyType || len(m.Layers) != 1 {
		t.Fatalf("the manifest is %s", raw)
	}
	l := m.Layers[0]
	if l.Digest != artifact.DigestOf([]byte("content")) || l.Size != 7 || l.MediaType != "application/octet-stream" || l.Annotations["org.opencontainers.image.title"] != "shop-1.0.tgz" {
		t.Errorf("the layer is %+v", l)
	}
	blob, err := c.Blob(t.Context(), packaged, l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(blob); err != nil || string(got) != "content" || blob.Close() != nil {
		t.Errorf("the layer holds %q, %v", got, err)
	}
	wantBundles(t, c, packaged.WithDigest(first), provenance, sbom)
	// What the evidence is about is found from the manifest's digest alone.
	if image, err := c.Inspect(t.Context(), packaged.WithDigest(first)); err != nil || !slices.Equal(image.Layers, []artifact.Digest{l.Digest}) {
		t.Errorf("Inspect = %+v, %v", image, err)
	}
	if n := len(s.Rows.Events()); n != 0 {
		t.Errorf("%d tags were set, want none", n)
	}
}

// wantBundles compares what refers to ref with bundles, in any order.
func wantBundles(t *testing.T, c *registry.Client, ref artifact.Reference, bundles ...[]byte) {
	t.Helper()
	referrers, err := c.List(t.Context(), ref)
	if err != nil || len(referrers) != len(bundles) {
		t.Fatalf("List = %v, %v, want %d referrers", referrers, err, len(bundles))
	}
	for _, r := range referrers {
		// A time of its own would make another referrer at each repetition.
		raw, _, err := c.Manifest(t.Context(), ref.WithDigest(r.Manifest))
		if err != nil || !bytes.Contains(raw, []byte(`"org.opencontainers.image.created":"1970-01-01T00:00:00Z"`)) {
			t.Errorf("referrer %s is %s, %v", r.Manifest, raw, err)
		}
		got, err := c.Fetch(t.Context(), ref, r)
		if err != nil || !slices.ContainsFunc(bundles, func(b []byte) bool { return bytes.Equal(b, got) }) {
			t.Errorf("referrer %s holds %q, %v", r.Manifest, got, err)
		}
	}
}

// What makes another artifact, and what does not.
func TestWrapDigest(t *testing.T) {
	t.Parallel()
	c := registrytest.Serve(t, nil).Client(t, registrytest.Alice)
	wrap := func(into artifact.Reference, f registry.PackageFile) artifact.Digest {
		t.Helper()
		d, err := c.Wrap(t.Context(), into, f)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one := wrap(packaged, packageFile("a", "content"))
	if wrap(artifact.Reference{Repository: "blog/cli"}, packageFile("a", "content")) != one {
		t.Error("the repository has changed the digest")
	}
	if wrap(packaged, packageFile("a", "content", statementBundle("https://x", "content"))) != one {
		t.Error("a bundle has changed the digest")
	}
	typed := packageFile("a", "content")
	typed.MediaType = "application/gzip"
	for what, f := range map[string]registry.PackageFile{"name": packageFile("b", "content"), "content": packageFile("a", "Content"), "type": typed, "nothing": packageFile("a", "")} {
		if wrap(packaged, f) == one {
			t.Errorf("another %s gives the same digest", what)
		}
	}
}

func TestWrapRefuses(t *testing.T) {
	t.Parallel()
	s := registrytest.Serve(t, nil)
	c := s.Client(t, registrytest.Alice)
	good := statementBundle("https://x", "content")
	for name, row := range map[string]struct {
		into artifact.Reference
		file registry.PackageFile
		kind fault.Kind
	}{
		"a tag":              {packaged.WithTag("v1"), packageFile("a", "x"), fault.Invalid},
		"a digest":           {packaged.WithDigest(artifact.DigestOf(nil)), packageFile("a", "x"), fault.Invalid},
		"no name":            {packaged, packageFile("", "x"), fault.Invalid},
		"upwards":            {packaged, packageFile("..", "x"), fault.Invalid},
		"a path":             {packaged, packageFile("../a", "x"), fault.Invalid},
		"a path elsewhere":   {packaged, packageFile(`..\a`, "x"), fault.Invalid},
		"a control":          {packaged, packageFile("a\n", "x"), fault.Invalid},
		"no text":            {packaged, packageFile("a\xff", "x"), fault.Invalid},
		"a long name":        {packaged, packageFile(strings.Repeat("a", 256), "x"), fault.Invalid},
		"no bundle":          {packaged, packageFile("a", "x", good, []byte("{}")), fault.Invalid},
		"no JSON":            {packaged, packageFile("a", "x", []byte("x")), fault.Invalid},
		"a type of controls": {packaged, packageFile("a", "x", statementBundle("https://x\n", "x")), fault.Invalid},
		"too many bundles":   {packaged, packageFile("a", "x", slices.Repeat([][]byte{good}, bridge.MaxReferrers+1)...), fault.TooLarge},
		"too large a bundle": {packaged, packageFile("a", "x", make([]byte, bridge.MaxBundle+1)), fault.TooLarge},
		"too much together":  {packaged, packageFile("a", "x", slices.Repeat([][]byte{padded(good, bridge.MaxBundle)}, 3)...), fault.TooLarge},
	} {
		_, err := c.Wrap(t.Context(), row.into, row.file)
		wantKind(t, name, err, row.kind)
	}
	resp, body := call(t, http.MethodGet, s.URL+"/v2/_catalog", registrytest.Alice, "", nil)
	if resp.StatusCode == http.StatusOK && strings.Contains(string(body), packaged.Repository) {
		t.Errorf("what was refused is there: %s", body)
	}
	_, err := s.Client(t, registrytest.Bob).Wrap(t.Context(), packaged, packageFile("a", "x"))
	wantKind(t, "a reader's token", err, fault.Forbidden)
	// A file that changes while it is read becomes nothing.
	changing := &changes{}
	_, err = c.Wrap(t.Context(), packaged, registry.PackageFile{Name: "a", Content: io.NewSectionReader(changing, 0, 10)})
	if err == nil {
		t.Error("Wrap took a file that has changed between its two readings")
	}
}

// padded is b with spaces behind it, n bytes.
func padded(b []byte, n int) []byte {
	return append(slices.Clone(b), bytes.Repeat([]byte(" "), n-len(b))...)
}

// changes is content that is another one at each reading.
type changes struct{ n byte }

func (c *changes) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	for i := range p {
		p[i] = c.n
	}
	return len(p), nil
}
