package bridge_test

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// registry is a small registry in memory: tags, the bundles of each digest, and what each
// digest is.
type registry struct {
	mu      sync.Mutex
	tags    map[string]artifact.Digest // "shop/web:1.0.0" → digest
	bundles map[artifact.Digest][][]byte
	images  map[artifact.Digest]bridge.Image
	down    error            // what every call gives
	broken  map[string]error // what Resolve gives for one image, or one of its tags
}

func (r *registry) Resolve(_ context.Context, ref artifact.Reference) (artifact.Digest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return artifact.Digest{}, r.down
	}
	for _, name := range []string{ref.Name(), ref.String()} {
		if err := r.broken[name]; err != nil {
			return artifact.Digest{}, err
		}
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

func (r *registry) Tags(_ context.Context, image artifact.Reference, since bridge.TagPage) (bridge.TagList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return bridge.TagList{}, r.down
	}
	var out bridge.TagList
	for _, name := range sorted(r.tags) {
		if tag, ok := strings.CutPrefix(name, image.Name()+":"); ok {
			out.Tags = append(out.Tags, tag)
		}
	}
	out.ETag = artifact.DigestOf([]byte(strings.Join(out.Tags, " "))).Hex()
	if out.ETag == since.ETag {
		return bridge.TagList{ETag: out.ETag, Unchanged: true}, nil
	}
	return out, nil
}

func (r *registry) Inspect(_ context.Context, ref artifact.Reference) (bridge.Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	image, ok := r.images[ref.Digest]
	if !ok {
		return image, fault.New(fault.NotFound, "there is no %s", ref)
	}
	return image, nil
}

// git is Git repositories in memory: one history of commits, the newest last.
type git struct {
	refs    map[string]string // "https://git.example.com/env refs/heads/main" → commit
	history []string          // commits in order: each one's parent is the one before it
	raw     map[string][]byte // commit → its object
	files   map[string]map[string][]byte
	down    error
}

func (g *git) Refs(_ context.Context, repository string) (map[string]string, error) {
	if g.down != nil {
		return nil, g.down
	}
	out := map[string]string{}
	for k, commit := range g.refs {
		if ref, ok := strings.CutPrefix(k, repository+" "); ok {
			out[ref] = commit
		}
	}
	return out, nil
}

func (g *git) Commit(_ context.Context, _, commit string) (bridge.Commit, error) {
	raw, ok := g.raw[commit]
	if !ok {
		return bridge.Commit{}, fault.New(fault.NotFound, "there is no commit %s", commit)
	}
	c := bridge.Commit{ID: commit, Raw: raw}
	if i := slices.Index(g.history, commit); i > 0 {
		c.Parents = g.history[i-1 : i]
	}
	return c, nil
}

func (g *git) Files(_ context.Context, _, commit, dir string) (map[string][]byte, error) {
	files, ok := g.files[commit+" "+dir]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no directory %s", dir)
	}
	return files, nil
}

func (g *git) Ancestor(_ context.Context, _, before, after string) (bool, error) {
	i, j := -1, -1
	for n, c := range g.history {
		if c == before {
			i = n
		}
		if c == after {
			j = n
		}
	}
	return i >= 0 && j >= 0 && i <= j, nil
}

// files is release assets and packages in memory, wrapped by name and version.
type files struct {
	wrapped map[string]bridge.Wrapped // "npm @acme/shop 1.0.0"
}

func (f *files) Wrap(_ context.Context, rule bridge.ArtifactRule, version string) (bridge.Wrapped, error) {
	w, ok := f.wrapped[rule.Package.Kind+" "+rule.Package.Name+" "+version]
	if !ok {
		return w, fault.New(fault.NotFound, "%s has no version %s", rule.Package.Name, version)
	}
	return w, nil
}

// world is the bridge on a real database, with registries and Git hosts in memory.
type world struct {
	t        *testing.T
	registry *registry
	git      *git
	files    *files
	signers  commitsig.Policy
	store    *storecd.Store
	bridge   *bridge.Service
	clock    *bridge.Clockwork
	key      *ecdsa.PrivateKey
	now      time.Time
	posted   int
}

// CommitSigners implements bridge.CommitSigners.
func (w *world) CommitSigners(context.Context) (commitsig.Policy, error) { return w.signers, nil }

// newWorld is a world in which the deliveries are applied.
func newWorld(t *testing.T, deliveries ...string) *world {
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
		registry: &registry{tags: map[string]artifact.Digest{}, bundles: map[artifact.Digest][][]byte{}, images: map[artifact.Digest]bridge.Image{}},
		git:      &git{refs: map[string]string{}, raw: map[string][]byte{}, files: map[string]map[string][]byte{}},
		files:    &files{wrapped: map[string]bridge.Wrapped{}},
	}
	cfg := storetest.SQLite(t, "cd", nil)
	cfg.Now = func() time.Time { return w.now }
	if w.store, err = storecd.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if len(deliveries) == 0 {
		deliveries = []string{delivery}
	}
	for _, d := range deliveries {
		w.apply(d)
	}
	trusted := bridge.Trusted{Store: w.store, CI: &attest.Signer{Name: "ci", Key: string(pub), Predicates: attest.Names()}}
	clock := func() time.Time { return w.now }
	w.bridge = &bridge.Service{
		Ledger: w.store, Planner: cd.Planner{Reader: w.store}, Now: clock, Images: w.registry, Sources: w.git, Packages: w.files, Signers: w,
		Verifier: bridge.Verifier{Evidence: w.registry, Policy: trusted, Files: w.registry},
	}
	w.clock = &bridge.Clockwork{
		Clocks: w.store, Ledger: w.store, Images: w.registry, Sources: w.git, Tags: w.registry, Budget: &bridge.Budget{}, Now: clock,
	}
	return w
}

func (w *world) apply(delivery string) {
	w.t.Helper()
	if _, err := cd.ApplyDelivery(w.t.Context(), w.store, "ops", "delivery.yaml", []byte(delivery), false); err != nil {
		w.t.Fatal(err)
	}
}

// made is how one run made an artifact.
type made struct {
	image, repository, ref, commit string
	at                             time.Time
}

// sign makes the bundles of one run for digest d, the provenance last.
func (w *world) sign(d artifact.Digest, m made) [][]byte {
	w.t.Helper()
	if m.at.IsZero() {
		m.at = w.now
	}
	p := attest.Provenance{
		Builder: "http://127.0.0.1/ci", BuildType: attest.BuildType, Repository: orElse(m.repository, "shop"), Ref: orElse(m.ref, "refs/heads/main"),
		Commit: orElse(m.commit, commitOf("a")), Workflow: ".drawbridge/workflows/ci.yaml", Run: "1", Attempt: 1, Author: "alice", Chain: "c1",
		Image: orElse(m.image, "shop/web"), Version: "1.0.0", Started: m.at, Finished: m.at,
	}
	var out [][]byte
	for _, predicate := range []attest.Predicate{attest.Signature{}, attest.Tests{Passed: 3, PassedNames: []string{"A", "B", "C"}}, nil} {
		if predicate == nil {
			predicate = p
		}
		b, err := attest.Sign(w.key, attest.Subject{Name: p.Image, Digest: d}, predicate)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, b)
		p.Attestations = append(p.Attestations, artifact.DigestOf(b))
	}
	return out
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// commitOf is a commit of one letter.
func commitOf(letter string) string { return strings.Repeat(letter, 40) }

// image puts an image with good evidence under a tag and returns it.
func (w *world) image(name, tag, content string, m made) artifact.Reference {
	w.t.Helper()
	m.image = name
	ref := artifact.Reference{Repository: name, Tag: tag, Digest: artifact.DigestOf([]byte(content))}
	w.registry.tags[ref.WithTag(tag).String()] = ref.Digest
	w.registry.bundles[ref.Digest] = w.sign(ref.Digest, m)
	w.registry.images[ref.Digest] = bridge.Image{Digest: ref.Digest, Platforms: []string{"linux/amd64"}, Created: m.at}
	return ref
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

// receive keeps a message and has it processed.
func (w *world) receive(m bridge.Message) []bridge.Handoff {
	w.t.Helper()
	w.posted++
	if m.Receiver == "" {
		m.Receiver, m.Sender = bridge.DoorAPI, "ci"
	}
	if m.Key == "" {
		m.Key = fmt.Sprint("run/", w.posted)
	}
	kept, fresh, err := w.bridge.Receive(w.t.Context(), m)
	if err != nil || !fresh || len(kept) != len(m.Facts) {
		w.t.Fatalf("receive: %d events, fresh %v, %v", len(kept), fresh, err)
	}
	var out []bridge.Handoff
	for _, ev := range kept {
		out = append(out, w.process(ev.ID)...)
	}
	return out
}

func (w *world) process(event int64) []bridge.Handoff {
	w.t.Helper()
	for range 2 { // the second time as after a crash: it changes nothing
		if err := w.bridge.Process(w.t.Context(), event); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.handoffs(event)
}

// handoffs are those that one event gave, oldest first.
func (w *world) handoffs(event int64) []bridge.Handoff {
	w.t.Helper()
	list, err := w.store.Handoffs(w.t.Context(), storecd.HandoffFilter{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []bridge.Handoff
	for _, h := range list {
		if h.Event == event {
			out = append([]bridge.Handoff{h}, out...)
		}
	}
	return out
}

// tell posts "published".
func (w *world) tell(ref artifact.Reference) bridge.Handoff {
	w.t.Helper()
	return w.only(w.receive(bridge.Message{Facts: []bridge.Fact{bridge.Published{Source: "/ci", Artifact: ref, At: w.now}.Fact()}}))
}

func (w *world) only(list []bridge.Handoff) bridge.Handoff {
	w.t.Helper()
	if len(list) != 1 {
		w.t.Fatalf("%d handoffs, want 1: %+v", len(list), list)
	}
	return list[0]
}

// want checks a handoff's state, and that its reason holds a text.
func (w *world) want(h bridge.Handoff, state bridge.HandoffState, reason string) {
	w.t.Helper()
	if h.State != state || !strings.Contains(h.Reason, reason) || strings.Contains(h.Reason, "\n") {
		w.t.Errorf("handoff %s: %s; want %s with %q", h.State, h.Reason, state, reason)
	}
}

// look looks at a waiting handoff again and returns what became of it.
func (w *world) look(h bridge.Handoff) bridge.Handoff {
	w.t.Helper()
	if err := w.bridge.Look(w.t.Context(), h.ID); err != nil {
		w.t.Fatal(err)
	}
	h, err := w.store.Handoff(w.t.Context(), h.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (w *world) promotions() int {
	w.t.Helper()
	list, err := w.store.Promotions(w.t.Context(), cd.PromotionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// opened lists the promotions as "environment version", oldest first.
func (w *world) opened() []string {
	w.t.Helper()
	list, err := w.store.Promotions(w.t.Context(), cd.PromotionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, p := range list {
		out = append([]string{p.Environment().Name + " " + p.Plan.Version}, out...)
	}
	return out
}

func (w *world) good(d artifact.Digest) [][]byte { return w.sign(d, made{}) }

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}
