package e2e_test

import (
	"archive/tar"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/registry"
	"drawbridge/internal/web/api"
)

const (
	floodSecret = "a secret that both know, 32 bytes"
	floodKey    = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

const floodDelivery = `apiVersion: drawbridge/v1
kind: Delivery
name: APP
artifacts:
  - {name: web, image: APP/web, signers: [ci], require: [signature, provenance]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./PROGRAM], health: {http: /healthz, interval: 100ms}}}
`

func sign(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// receivers makes where deliveries arrive: of GitHub, and of a registry that speaks CloudEvents.
func (f *flood) receivers() {
	f.t.Helper()
	for _, r := range [][3]string{{"github", "github", floodSecret}, {"pushes", "cloudevents", floodKey}} {
		text := fmt.Sprintf("apiVersion: drawbridge/v1\nkind: Receiver\nname: %s\ntype: %s\napplications: [\"*\"]\n", r[0], r[1])
		if err := f.api("admin").Send(f.t.Context(), http.MethodPut, "/api/v1/receivers", api.NewReceiver{Source: text, Secret: r[2]}, nil); err != nil {
			f.t.Fatal(err)
		}
	}
}

// images pushes what the deliveries tell of, and then applies the deliveries' files: what the
// registry itself reports concerns nobody.
func (f *flood) images(service string) {
	f.t.Helper()
	ctx := f.t.Context()
	text, err := os.ReadFile(filepath.Join(f.data(), "ci", "signer.key"))
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := attest.ParsePrivate(text)
	if err != nil {
		f.t.Fatal(err)
	}
	client, err := registry.NewClient(registry.ClientConfig{
		Local: f.url, Temp: f.dir, Auth: func(string) (string, string) { return "pusher", f.tokens["pusher"] },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	body, err := os.ReadFile(service)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range floodApps {
		ref := artifact.Reference{Repository: floodApp(i) + "/web"}
		digest, err := client.Push(ctx, ref, f.layer(body, i), registry.ImageConfig{Entrypoint: []string{"./" + f.service}}, registry.Limits{})
		if err != nil {
			f.t.Fatal(err)
		}
		ref = ref.WithDigest(digest)
		at := time.Now().UTC().Truncate(time.Millisecond)
		p := attest.Provenance{
			Builder: f.url + "/ci", BuildType: attest.BuildType, Repository: floodApp(i), Ref: "refs/heads/main", Commit: strings.Repeat("b", 40),
			Workflow: ".drawbridge/workflows/ci.yaml", WorkflowDigest: artifact.DigestOf(nil).String(), Run: "run/1", Attempt: 1, Author: "alice",
			Isolation: "namespaces", Image: ref.Name(), Version: "1.0.0", Committed: at, Started: at, Finished: at,
			Steps: []attest.StepResult{{Job: "build", Step: "Build"}},
		}
		for _, predicate := range []attest.Predicate{attest.Signature{}, nil} {
			if predicate == nil {
				predicate = p
			}
			bundle, err := attest.Sign(key, attest.Subject{Name: ref.Name(), Digest: digest}, predicate)
			if err != nil {
				f.t.Fatal(err)
			}
			p.Attestations = append(p.Attestations, artifact.DigestOf(bundle))
			if _, err := client.Attach(ctx, ref, bundle, predicate.Type(), at); err != nil {
				f.t.Fatal(err)
			}
		}
		if err := client.Tag(ctx, ref, "1.0.0"); err != nil {
			f.t.Fatal(err)
		}
		f.digests = append(f.digests, digest)
	}
	f.drain()
	for i := range floodApps {
		file := strings.NewReplacer("APP", floodApp(i), "PROGRAM", f.service).Replace(floodDelivery)
		if err := f.api("admin").Upload(ctx, http.MethodPut, "/api/v1/deliveries", api.YAMLType, []byte(file), nil); err != nil {
			f.t.Fatal(err)
		}
	}
}

// layer holds the service and the application's number, so that no two images are the same.
func (f *flood) layer(service []byte, app int) *bytes.Buffer {
	f.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, body := range map[string][]byte{f.service: service, "VERSION": []byte("1.0.0\n"), "mode": []byte("healthy\n"), "app": []byte(floodApp(app))} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			f.t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
	return &out
}

// published tells of an image that is there, under an id of its own.
func (f *flood) published(app int, id string) letter { return f.event(app, "published-"+id, "1.0.0") }

// event tells of an image of an application, as a registry that speaks CloudEvents.
func (f *flood) event(app int, id, tag string) letter {
	f.t.Helper()
	source := "/" + floodApp(app)
	body, err := bridge.Published{
		Source: source, ID: id, At: time.Unix(1_700_000_000, 0), Artifact: artifact.Reference{Repository: floodApp(app) + "/web", Tag: tag, Digest: f.digests[app]},
	}.CloudEvent()
	if err != nil {
		f.t.Fatal(err)
	}
	return letter{
		receiver: "pushes", key: source + " " + id, body: string(body), status: http.StatusAccepted,
		header: map[string]string{"Content-Type": api.CloudEventType, "Authorization": "Bearer " + floodKey},
	}
}

// hook is a delivery of GitHub about an image that concerns nobody.
func (f *flood) hook(key string, n int) letter {
	body := fmt.Sprintf(`{"action":"published","registry_package":{"name":"other","namespace":"acme","package_type":"CONTAINER",`+
		`"package_version":{"version":"1","container_metadata":{"tag":{"name":"1.0.%d","digest":"%s"}},"package_url":"ghcr.io/acme/other:1.0.%d"}},`+
		`"sender":{"login":"octocat"}}`, n, artifact.DigestOf([]byte(key)), n)
	return letter{
		receiver: "github", key: key, body: body, status: http.StatusAccepted,
		header: map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "registry_package", "X-GitHub-Delivery": key,
			"X-Hub-Signature-256": "sha256=" + sign(floodSecret, body),
		},
	}
}
