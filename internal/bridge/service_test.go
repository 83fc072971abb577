package bridge_test

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, require: [signature, provenance, tests]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
`

// registry is a small registry in memory: tags, and the bundles of each digest.
type registry struct {
	mu      sync.Mutex
	tags    map[string]artifact.Digest
	bundles map[artifact.Digest][][]byte
	down    bool
}

func (r *registry) Resolve(_ context.Context, ref artifact.Reference) (artifact.Digest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return artifact.Digest{}, fault.New(fault.Unavailable, "the registry does not answer")
	}
	d, ok := r.tags[ref.String()]
	if !ok {
		return d, fault.New(fault.NotFound, "there is no %s", ref)
	}
	return d, nil
}

func (r *registry) List(_ context.Context, ref artifact.Reference) ([]bridge.Referrer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.bundles[ref.Digest]
	if len(list) > bridge.MaxReferrers {
		return nil, fault.New(fault.TooLarge, "%s has more than %d referrers", ref, bridge.MaxReferrers)
	}
	var out []bridge.Referrer
	for _, b := range list {
		out = append(out, bridge.Referrer{Manifest: artifact.DigestOf(b), Size: int64(len(b))})
	}
	return out, nil
}

func (r *registry) Fetch(_ context.Context, ref artifact.Reference, want bridge.Referrer) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bundles[ref.Digest] {
		if artifact.DigestOf(b) == want.Manifest {
			return b, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no %s", want.Manifest)
}

// world is the bridge on a real database, with a registry in memory.
type world struct {
	t        *testing.T
	registry *registry
	store    *storecd.Store
	bridge   *bridge.Service
	key      *ecdsa.PrivateKey
	now      time.Time
	posted   int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.MarshalPublic(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, key: key, now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC),
		registry: &registry{tags: map[string]artifact.Digest{}, bundles: map[artifact.Digest][][]byte{}},
	}
	if w.store, err = storecd.Open(t.Context(), storetest.SQLite(t, "cd", nil)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if _, err := cd.ApplyDelivery(t.Context(), w.store, "ops", "delivery.yaml", []byte(delivery), false); err != nil {
		t.Fatal(err)
	}
	trusted := bridge.Trusted{Store: w.store, CI: &attest.Signer{Name: "ci", Key: string(pub), Predicates: attest.Names()}}
	w.bridge = &bridge.Service{
		Ledger: w.store, Planner: cd.Planner{Reader: w.store}, Now: func() time.Time { return w.now },
		Verifier: bridge.Verifier{Evidence: w.registry, Policy: trusted},
	}
	return w
}

// sign makes the bundles of one run of repository for digest d, the provenance last.
func (w *world) sign(d artifact.Digest, repository string) [][]byte {
	w.t.Helper()
	p := attest.Provenance{
		Builder: "http://127.0.0.1/ci", BuildType: attest.BuildType, Repository: repository, Ref: "refs/heads/main",
		Commit: strings.Repeat("a", 40), Workflow: ".drawbridge/workflows/ci.yaml", Run: "1", Attempt: 1, Author: "alice", Chain: "c1",
		Image: "shop/web", Version: "1.0.0", Started: w.now, Finished: w.now,
	}
	var out [][]byte
	for _, predicate := range []attest.Predicate{attest.Signature{}, attest.Tests{Passed: 3, PassedNames: []string{"A", "B", "C"}}, nil} {
		if predicate == nil {
			predicate = p
		}
		b, err := attest.Sign(w.key, attest.Subject{Name: "shop/web", Digest: d}, predicate)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, b)
		p.Attestations = append(p.Attestations, artifact.DigestOf(b))
	}
	return out
}

func (w *world) publish(tag string, content string, bundles func(d artifact.Digest) [][]byte) artifact.Reference {
	w.t.Helper()
	ref := artifact.Reference{Repository: "shop/web", Tag: tag, Digest: artifact.DigestOf([]byte(content))}
	w.registry.tags[ref.WithTag(tag).String()] = ref.Digest
	if bundles != nil {
		w.registry.bundles[ref.Digest] = bundles(ref.Digest)
	}
	return ref
}

// event posts "published" and has it processed; it returns the handoffs that it gave.
func (w *world) event(source string, ref artifact.Reference) []bridge.Handoff {
	w.t.Helper()
	w.posted++
	body, err := bridge.Published{Source: source, ID: fmt.Sprint("run/", w.posted), Artifact: ref, At: w.now}.CloudEvent()
	if err != nil {
		w.t.Fatal(err)
	}
	ev, fresh, err := w.bridge.Receive(w.t.Context(), "ci", body)
	if err != nil || !fresh {
		w.t.Fatalf("receive: fresh %v, %v", fresh, err)
	}
	for range 2 { // the second time as after a crash: it changes nothing
		if err := w.bridge.Process(w.t.Context(), ev.ID); err != nil {
			w.t.Fatal(err)
		}
	}
	list, err := w.store.Handoffs(w.t.Context(), storecd.HandoffFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []bridge.Handoff
	for _, h := range list {
		if h.Event == ev.ID {
			out = append(out, h)
		}
	}
	return out
}

func (w *world) one(source string, ref artifact.Reference) bridge.Handoff {
	w.t.Helper()
	list := w.event(source, ref)
	if len(list) != 1 {
		w.t.Fatalf("%d handoffs, want 1", len(list))
	}
	return list[0]
}

func (w *world) promotions() int {
	w.t.Helper()
	list, err := w.store.Promotions(w.t.Context(), cd.PromotionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func (w *world) good(d artifact.Digest) [][]byte { return w.sign(d, "shop") }

func TestProvenArtifactCrosses(t *testing.T) {
	w := newWorld(t)
	h := w.one("/ci", w.publish("1.0.0", "v1", w.good))
	if h.State != bridge.Accepted {
		t.Fatalf("handoff %s: %s", h.State, h.Reason)
	}
	r, err := w.store.Release(t.Context(), "shop@1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != h.Release || r.Author != "alice" || r.Chain != "c1" || r.Evidence.Tests.Passed != 3 || r.Snapshot != r.Evidence.Hash() {
		t.Errorf("release %+v", r)
	}
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
}

func TestTwoSourcesGiveOneAcceptedHandoff(t *testing.T) {
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	first := w.one("/ci", ref)
	second := w.one("/registry", ref)
	if second.State != bridge.Ignored || second.Reason != fmt.Sprintf("duplicate of %d", first.ID) {
		t.Errorf("the second is %s: %s", second.State, second.Reason)
	}
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
}

func TestUnprovenArtifactIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(w *world) artifact.Reference
		want  string
	}{
		"unsigned": {func(w *world) artifact.Reference { return w.publish("1.0.0", "v1", nil) }, "provenance"},
		"from another repository": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(d artifact.Digest) [][]byte { return w.sign(d, "evil") })
		}, "evil"},
		"of another image's attestations": {func(w *world) artifact.Reference {
			other := w.sign(artifact.DigestOf([]byte("v0")), "shop")
			return w.publish("1.0.0", "v1", func(artifact.Digest) [][]byte { return other })
		}, "not about"},
		"stripped of one attestation": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(d artifact.Digest) [][]byte { return w.good(d)[1:] })
		}, ""},
		"with too many referrers": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(artifact.Digest) [][]byte { return make([][]byte, bridge.MaxReferrers+1) })
		}, "more than 200 referrers"},
		"whose digest is a lie": {func(w *world) artifact.Reference {
			ref := w.publish("1.0.0", "v1", w.good)
			ref.Digest = artifact.DigestOf([]byte("lie"))
			return ref
		}, "but tag 1.0.0 names"},
		"that is not there": {func(w *world) artifact.Reference {
			ref := w.publish("1.0.0", "v1", w.good)
			ref.Tag = "1.0.9"
			return ref
		}, "the registry has no shop/web:1.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.one("/ci", c.setup(w))
			if h.State != bridge.Refused || !strings.Contains(h.Reason, c.want) || strings.Contains(h.Reason, "\n") {
				t.Errorf("handoff %s: %s; want %q in it", h.State, h.Reason, c.want)
			}
			if n := w.promotions(); n != 0 {
				t.Errorf("%d promotions, want none", n)
			}
		})
	}
}

func TestVersionNamesOneDigestForEver(t *testing.T) {
	w := newWorld(t)
	w.one("/ci", w.publish("1.0.0", "v1", w.good))
	h := w.one("/ci", w.publish("1.0.0", "v2", w.good)) // a registry whose tags move
	if h.State != bridge.Refused || !strings.Contains(h.Reason, "names it for ever") {
		t.Errorf("handoff %s: %s", h.State, h.Reason)
	}
}

func TestTagThatDoesNotMatchIsIgnored(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"latest", "0.9.0"} {
		if h := w.one("/ci", w.publish(tag, tag, w.good)); h.State != bridge.Ignored {
			t.Errorf("tag %s: %s: %s", tag, h.State, h.Reason)
		}
	}
}

func TestOtherImageConcernsNobody(t *testing.T) {
	w := newWorld(t)
	if list := w.event("/ci", artifact.Reference{Repository: "other/web", Tag: "1.0.0", Digest: artifact.DigestOf([]byte("x"))}); len(list) != 0 {
		t.Errorf("%d handoffs", len(list))
	}
}

func TestRegistryOutOfReachIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	body, err := bridge.Published{Source: "/ci", ID: "1", Artifact: ref, At: w.now}.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	ev, _, err := w.bridge.Receive(t.Context(), "ci", body)
	if err != nil {
		t.Fatal(err)
	}
	w.registry.down = true
	if err := w.bridge.Process(t.Context(), ev.ID); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("process: %v", err)
	}
	w.registry.down = false
	if err := w.bridge.Process(t.Context(), ev.ID); err != nil {
		t.Fatal(err)
	}
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
	again, fresh, err := w.bridge.Receive(t.Context(), "ci", body)
	if err != nil || fresh || again.ID != ev.ID {
		t.Errorf("a repetition gave event %d, fresh %v, %v", again.ID, fresh, err)
	}
}

func FuzzParsePublished(f *testing.F) {
	good, err := bridge.Published{Source: "/ci", ID: "1", Artifact: artifact.Reference{Repository: "a/b", Tag: "1", Digest: artifact.DigestOf(nil)}, At: time.Unix(0, 0)}.CloudEvent()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"specversion":"1.0"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := bridge.ParsePublished(body)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if p.ID == "" || p.Source == "" || p.Artifact.Digest.IsZero() {
			t.Fatalf("parsed %+v", p)
		}
	})
}
