package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/registry"
)

// images makes artifacts as CI would: pushed by digest, five attestations attached, the
// tag last. They are signed with the server's own CI key.
type images struct {
	server *server
	client *registry.Client
	key    crypto.Signer
	at     time.Time
	first  []byte // manifest of the first one, whose layer all share
	config []byte // and its config
}

// image is where the artifacts are.
func image() artifact.Reference { return artifact.Reference{Repository: "bench/web"} }

// version is the tag of the nth artifact.
func version(n int) string { return fmt.Sprintf("1.0.%d", n) }

func (b *bench) images(ctx context.Context, s *server) (*images, error) {
	text, err := os.ReadFile(filepath.Join(s.data, "ci", "signer.key"))
	if err != nil {
		return nil, err
	}
	m := &images{server: s, at: b.now().UTC().Truncate(time.Millisecond)}
	if m.key, err = attest.ParsePrivate(text); err != nil {
		return nil, err
	}
	m.client, err = registry.NewClient(registry.ClientConfig{
		Local: s.address, Temp: b.dir, Auth: func(string) (string, string) { return "bench", s.token },
	})
	if err != nil {
		return nil, err
	}
	return m, m.base(ctx, b.service)
}

// base pushes the service once.
func (m *images) base(ctx context.Context, program string) error {
	binary, err := os.ReadFile(program) //nolint:gosec // our own binary
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return err
	}
	if _, err := w.Write(binary); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	digest, err := m.client.Push(ctx, image(), &archive, registry.ImageConfig{Entrypoint: []string{"./web"}}, registry.Limits{})
	if err != nil {
		return err
	}
	if m.first, _, err = m.client.Manifest(ctx, image().WithDigest(digest)); err != nil {
		return err
	}
	var parsed struct {
		Config struct{ Digest artifact.Digest }
	}
	if err := json.Unmarshal(m.first, &parsed); err != nil {
		return err
	}
	blob, err := m.client.Blob(ctx, image(), parsed.Config.Digest)
	if err != nil {
		return err
	}
	defer blob.Close() //nolint:errcheck // read to its end
	m.config, err = io.ReadAll(blob)
	return err
}

// publish makes the nth artifact: the same layer under a config of its own.
func (m *images) publish(ctx context.Context, n int) (artifact.Reference, error) {
	config := bytes.Replace(m.config, []byte(`"config":{`), fmt.Appendf(nil, `"config":{"Env":["NUMBER=%d"],`, n), 1)
	var manifest struct {
		SchemaVersion int            `json:"schemaVersion"`
		MediaType     string         `json:"mediaType"`
		Config        map[string]any `json:"config"`
		Layers        []any          `json:"layers"`
	}
	if err := json.Unmarshal(m.first, &manifest); err != nil {
		return artifact.Reference{}, err
	}
	manifest.Config["digest"], manifest.Config["size"] = artifact.DigestOf(config), len(config)
	raw, err := json.Marshal(manifest)
	if err != nil {
		return artifact.Reference{}, err
	}
	ref := image().WithDigest(artifact.DigestOf(raw))
	if err := m.blob(ctx, config); err != nil {
		return ref, err
	}
	if _, err := m.put(ctx, http.MethodPut, "/v2/bench/web/manifests/"+ref.Digest.String(), manifest.MediaType, raw); err != nil {
		return ref, err
	}
	if err := m.attach(ctx, ref, version(n)); err != nil {
		return ref, err
	}
	ref.Tag = version(n)
	return ref, m.client.Tag(ctx, image().WithDigest(ref.Digest), ref.Tag)
}

func (m *images) blob(ctx context.Context, content []byte) error {
	place, err := m.put(ctx, http.MethodPost, "/v2/bench/web/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	u, err := url.Parse(place)
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set("digest", artifact.DigestOf(content).String())
	u.RawQuery = q.Encode()
	_, err = m.put(ctx, http.MethodPut, u.RequestURI(), "application/octet-stream", content)
	return err
}

// put sends something to the registry and returns the Location of the answer.
func (m *images) put(ctx context.Context, method, path, media string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, m.server.address+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("bench", m.server.token)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close() //nolint:errcheck // an answer without a body
	if res.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return res.Header.Get("Location"), nil
}

// attach signs and attaches what CI says of an artifact; the provenance lists the rest.
func (m *images) attach(ctx context.Context, ref artifact.Reference, version string) error {
	p := m.provenance(version)
	for _, predicate := range []attest.Predicate{
		attest.Signature{},
		attest.BOM{JSON: components()},
		attest.Tests{Passed: 212, Skipped: 3},
		attest.Coverage{Line: 0.875, Covered: 875, Total: 1000},
		nil,
	} {
		if predicate == nil {
			predicate = p
		}
		body, err := attest.Sign(m.key, attest.Subject{Name: image().Name(), Digest: ref.Digest}, predicate)
		if err != nil {
			return err
		}
		p.Attestations = append(p.Attestations, artifact.DigestOf(body))
		if _, err := m.client.Attach(ctx, ref, body, predicate.Type(), m.at); err != nil {
			return err
		}
	}
	return nil
}

func (m *images) provenance(version string) attest.Provenance {
	return attest.Provenance{
		Builder: m.server.address + "/ci", BuildType: attest.BuildType, Repository: "bench", Ref: "refs/heads/main",
		Commit: strings.Repeat("b", 40), Workflow: ".drawbridge/workflows/ci.yaml", WorkflowDigest: artifact.DigestOf(nil).String(),
		Run: "run/" + version, Attempt: 1, Author: "alice", Isolation: "namespaces", Image: image().Name(), Version: version,
		Committed: m.at, Started: m.at, Finished: m.at, Steps: []attest.StepResult{{Job: "build", Step: "Build"}},
	}
}

// components is a bill of materials as long as that of a Go program with some dependencies.
func components() json.RawMessage {
	var b strings.Builder
	b.WriteString(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`)
	for i := range 80 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"type":"library","name":"example.com/library/number%d","version":"v1.%d.0","purl":"pkg:golang/example.com/library/number%d@v1.%d.0"}`, i, i, i, i)
	}
	b.WriteString(`]}`)
	return json.RawMessage(b.String())
}
