package e2e_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

// foreign is what another team has of its own: a registry that everybody may read, and keys
// with which its CI signs.
type foreign struct {
	registry *httptest.Server
	embedded *registry.Embedded
	away     atomic.Bool
	asked    atomic.Int64 // requests that found nobody
	keys     map[string]*ecdsa.PrivateKey
}

const foreignToken = "the-other-teams-token"

// cmdRegistry starts a foreign registry, or takes it off the network and back.
func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "registry start | away | missed | back")
	f := &worldOf(ts).foreign
	if (args[0] == "start") != (f.registry == nil) {
		ts.Fatalf("registry %s: it runs: %v", args[0], f.registry != nil)
	}
	switch args[0] {
	case "start":
		f.serve(ts)
	case "away":
		f.asked.Store(0)
		f.away.Store(true)
	case "missed":
		worldOf(ts).until(ts, "a question to the registry that is away", func() (bool, string, error) {
			return f.asked.Load() > 0, "nobody asked", nil
		})
	case "back":
		f.away.Store(false)
	default:
		ts.Fatalf("registry %s: there is no such command", args[0])
	}
}

// silence is done once: the registry's library has one logger.
var silence = sync.OnceFunc(func() { registry.SilenceLogs(io.Discard) })

func (f *foreign) serve(ts *testscript.TestScript) {
	silence()
	dir := ts.MkAbs("registry")
	ts.Check(os.MkdirAll(dir, 0o700))
	embedded, err := registry.Open(registry.Config{
		Dir: dir, Rows: &registrytest.Memory{}, Log: slog.New(slog.DiscardHandler),
		Authorize: func(r *http.Request) (registry.Access, error) {
			return registry.Access{Name: "anybody", Pull: true, Push: registry.TokenOf(r) == foreignToken}, nil
		},
	})
	ts.Check(err)
	f.embedded = embedded
	f.registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.away.Load() {
			f.asked.Add(1)
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		embedded.ServeHTTP(w, r)
	}))
	ts.Setenv("REGISTRY", strings.TrimPrefix(f.registry.URL, "http://"))
}

func (f *foreign) end() error {
	if f.registry == nil {
		return nil
	}
	f.registry.Close()
	return f.embedded.Close()
}

// cmdSigner makes a key for a foreign CI and has the admin believe it, for the predicates
// that cosign and a builder state.
func cmdSigner(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "signer NAME [unknown]")
	w := worldOf(ts)
	key, err := attest.GenerateKey()
	ts.Check(err)
	if w.foreign.keys == nil {
		w.foreign.keys = map[string]*ecdsa.PrivateKey{}
	}
	w.foreign.keys[args[0]] = key
	if len(args) > 1 {
		return
	}
	public, err := attest.MarshalPublic(key.Public())
	ts.Check(err)
	trust := "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n  - name: " + args[0] + "\n    predicates: [signature, provenance, sbom, tests]\n    key: |\n"
	for line := range strings.Lines(string(public)) {
		trust += "      " + line
	}
	file := ts.MkAbs("trust-" + args[0] + ".yaml")
	ts.Check(os.WriteFile(file, []byte(trust), 0o600))
	cmdAs(ts, false, []string{"admin", "trust", "apply", "-f", file})
}

// cmdBuild is a foreign CI that builds the service: it pushes the image to the foreign
// registry by digest, attaches what its key signs, and sets the tag last.
func cmdBuild(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "build IMAGE TAG SIGNER|- [COMMIT]")
	w := worldOf(ts)
	image, tag, signer := args[0], args[1], args[2]
	commit := artifact.DigestOf([]byte(tag)).Hex()[:40]
	if len(args) > 3 {
		commit = args[3]
	}
	ref, err := artifact.ParseReference(ts.Getenv("REGISTRY") + "/" + image)
	ts.Check(err)
	images, err := registry.NewClient(registry.ClientConfig{Temp: w.dir, Auth: func(string) (string, string) { return "ci", foreignToken }})
	ts.Check(err)
	files, err := w.imageOf(image, tag)
	ts.Check(err)
	ctx := context.Background()
	digest, err := images.Push(ctx, ref, files, registry.ImageConfig{Entrypoint: []string{"./web"}, Created: time.Now()}, registry.Limits{})
	ts.Check(err)
	if signer != "-" {
		ts.Check(w.vouch(ctx, ts, images, ref.WithDigest(digest), signer, tag, commit))
	}
	ts.Check(images.Tag(ctx, ref.WithDigest(digest), tag))
	ts.Setenv("DIGEST", digest.String())
	ts.Setenv("COMMIT", commit)
}

// imageOf is the service's tree.
func (w *world) imageOf(image, version string) (*bytes.Buffer, error) {
	program, err := os.ReadFile(w.service)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	tree := tar.NewWriter(&out)
	for name, content := range map[string][]byte{"web": program, "VERSION": []byte(version + "\n"), "mode": []byte("healthy\n"), "image": []byte(image)} {
		if err := tree.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := tree.Write(content); err != nil {
			return nil, err
		}
	}
	return &out, tree.Close()
}

// vouch attaches signature and provenance. What was built is SOURCE, or else the image's
// first part says it: https://git.invalid/shop of shop/web.
func (w *world) vouch(ctx context.Context, ts *testscript.TestScript, images *registry.Client, ref artifact.Reference, signer, version, commit string) error {
	key := w.foreign.keys[signer]
	if key == nil {
		return fmt.Errorf("there is no signer %s", signer)
	}
	name, _, _ := strings.Cut(ref.Repository, "/")
	source := cmp.Or(ts.Getenv("SOURCE"), "https://git.invalid/"+name)
	now := time.Now().UTC()
	for _, p := range []attest.Predicate{attest.Signature{}, attest.Provenance{
		Builder: "https://ci.invalid", BuildType: "https://ci.invalid/build/v1", Repository: source, Ref: "refs/heads/main",
		Commit: commit, Image: ref.Name(), Version: version, Run: version, Started: now, Finished: now,
	}} {
		bundle, err := attest.Sign(key, attest.Subject{Name: ref.Name(), Digest: ref.Digest}, p)
		if err != nil {
			return err
		}
		if _, err := images.Attach(ctx, ref, bundle, p.Type(), now); err != nil {
			return err
		}
	}
	return nil
}
