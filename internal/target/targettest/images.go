package targettest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// Media types of what Images holds.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	LayerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// Images is a registry in memory. It is safe for concurrent use.
type Images struct {
	mu    sync.Mutex
	blobs map[artifact.Digest][]byte
	reads int
}

// Config is what an image says of itself.
type Config struct {
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	Env        []string `json:"Env,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
}

// Manifest gives the manifest that ref names; NotFound when it was not added.
func (i *Images) Manifest(_ context.Context, ref artifact.Reference) (body []byte, mediaType string, err error) {
	body, err = i.get(ref.Digest)
	return body, ManifestType, err
}

// Blob opens the blob d; NotFound when it was not added.
func (i *Images) Blob(_ context.Context, _ artifact.Reference, d artifact.Digest) (io.ReadCloser, error) {
	body, err := i.get(d)
	return io.NopCloser(bytes.NewReader(body)), err
}

func (i *Images) get(d artifact.Digest) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reads++
	body, ok := i.blobs[d]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no %s", d)
	}
	return body, nil
}

// Reads is how many manifests and blobs were asked for.
func (i *Images) Reads() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.reads
}

// Put adds a blob or manifest.
func (i *Images) Put(body []byte) artifact.Digest { return i.PutAs(artifact.DigestOf(body), body) }

// PutAs adds a body under a digest that may not be its own, as a broken registry would.
func (i *Images) PutAs(d artifact.Digest, body []byte) artifact.Digest {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.blobs == nil {
		i.blobs = map[artifact.Digest][]byte{}
	}
	i.blobs[d] = body
	return d
}

// Descriptor is how a manifest points to a blob.
type Descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    artifact.Digest   `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

// Image adds an image of layers, each a tar archive, and gives its reference.
func (i *Images) Image(t testing.TB, c Config, layers ...[]byte) artifact.Reference {
	t.Helper()
	config := i.JSON(t, map[string]any{"os": "linux", "architecture": runtime.GOARCH, "config": c})
	config.MediaType = configType
	all := []Descriptor{}
	for _, l := range layers {
		all = append(all, Descriptor{MediaType: LayerType, Digest: i.Put(l), Size: len(l)})
	}
	m := i.JSON(t, map[string]any{"schemaVersion": 2, "mediaType": ManifestType, "config": config, "layers": all})
	return artifact.Reference{Repository: "shop/web", Digest: m.Digest}
}

// JSON adds v as JSON.
func (i *Images) JSON(t testing.TB, v any) Descriptor {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return Descriptor{Digest: i.Put(b), Size: len(b)}
}

// Service adds an image of the test service, started as /service. Images of the same name
// and behaviour are the same.
func (i *Images) Service(t testing.TB, name string, b Behaviour) artifact.Reference {
	t.Helper()
	layer, err := serviceLayer()
	if err != nil {
		t.Fatal(err)
	}
	return i.Image(t, Config{
		Entrypoint: []string{"/service"},
		Env:        []string{serviceEnv + "=" + string(b), "IMAGE=" + name},
	}, layer)
}

// serviceLayer is a layer that holds this test binary.
var serviceLayer = sync.OnceValues(func() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(self) //nolint:gosec // this program
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "service", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
})
