package web_test

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/cd/cdtest"
	"drawbridge/internal/ci"
	"drawbridge/internal/ci/citest"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	storecd "drawbridge/internal/store/cd"
	storeci "drawbridge/internal/store/ci"
	"drawbridge/internal/store/storetest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [dev]
    auto: true
    approval: {required: 1, exclude: [requester]}
    rollout: {canary: {steps: [{weight: 10}, {pause: 2s}, {weight: 100}], undo: {errors: 0.05, requests: 20, timeout: 1m}}}
    target: {process: {artifact: web, command: [./web]}}
`

const commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

const workflow = `name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps:
      - run: echo hello from build
  test:
    needs: build
    runs-on: linux
    steps:
      - run: echo hello from test
`

// shelf is a registry in memory: tags, and the bundles of each digest.
type shelf struct {
	mu      sync.Mutex
	tags    map[string]artifact.Digest
	bundles map[artifact.Digest][][]byte
}

func (s *shelf) Resolve(_ context.Context, ref artifact.Reference) (artifact.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.tags[ref.String()]; ok {
		return d, nil
	}
	return artifact.Digest{}, fault.New(fault.NotFound, "there is no %s", ref)
}

func (s *shelf) List(_ context.Context, ref artifact.Reference) ([]bridge.Referrer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []bridge.Referrer
	for _, b := range s.bundles[ref.Digest] {
		out = append(out, bridge.Referrer{Manifest: artifact.DigestOf(b), Size: int64(len(b))})
	}
	return out, nil
}

func (s *shelf) Fetch(_ context.Context, ref artifact.Reference, want bridge.Referrer) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bundles[ref.Digest] {
		if artifact.DigestOf(b) == want.Manifest {
			return b, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no %s", want.Manifest)
}

// plant is a server with both planes on real databases; a registry, a target and an
// executor in memory stand around it, and the test works the queues by hand.
type plant struct {
	*site
	t       *testing.T
	shelf   *shelf
	target  *cdtest.Target
	source  *citest.Source
	cdStore *storecd.Store
	ciStore *storeci.Store
	ci      *ci.Service
	cd      *cd.Service
	bridge  *bridge.Service
	hooks   *web.Hooks
	logs    *storeci.LogFiles
	key     *ecdsa.PrivateKey
	routes  []web.Route
	mu      sync.Mutex
	at      time.Time
	posted  int
}

func (p *plant) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *plant) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = p.at.Add(d)
}

// handoffs, releases and the like are what internal/app passes in.
func (p *plant) handoffs(ctx context.Context, q web.HandoffQuery) ([]bridge.Handoff, error) {
	return p.cdStore.Handoffs(ctx, storecd.HandoffFilter(q))
}

func (p *plant) releases(ctx context.Context, q web.ReleaseQuery) ([]bridge.Release, error) {
	return p.cdStore.Releases(ctx, storecd.ReleaseFilter(q))
}

func (p *plant) createRepository(ctx context.Context, name, by string) (ci.Repository, error) {
	return p.ci.CreateRepository(ctx, name, by)
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{
		t: t, key: key, target: &cdtest.Target{}, at: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC),
		shelf:  &shelf{tags: map[string]artifact.Digest{}, bundles: map[artifact.Digest][][]byte{}},
		source: &citest.Source{Repositories: map[string]map[string]map[string]string{}},
	}
	p.openStores()
	p.openPlanes()
	p.routes = slices.Concat(
		web.SchemaRoutes(),
		web.RepositoryRoutes(p.ciStore, p.createRepository, "http://bridge.example.com"),
		web.RunRoutes(p.ciStore, p.ci),
		p.bridgeRoutes(),
		web.ReleaseRoutes(web.ReleaseParts{Store: p.cdStore, List: p.releases, Verifier: p.cd.Verifier, Planner: p.cd, Now: p.now}),
		web.PromotionRoutes(web.PromotionParts{Store: p.cdStore, Service: p.cd, Asker: p.bridge}),
		web.EnvironmentRoutes(web.EnvironmentParts{Store: p.cdStore, Reporter: p.cd, Rollback: p.cd, Expected: p.cdStore}),
		web.DeliveryRoutes(p.cdStore),
		web.TrustRoutes(p.trusted()),
		web.AuditRoutes(map[string]web.AuditLog{api.PlaneCI: p.ciStore.DB(), api.PlaneCD: p.cdStore.DB()}),
		web.RoadRoutes(web.Road{CI: p.ciStore, CD: p.cdStore, Status: p.cd, Handoffs: p.handoffs}),
	)
	p.site = serveRoutes(t, p.routes)
	return p
}

// serveRoutes is a site with these rows and those of tokens, and no others.
func serveRoutes(t *testing.T, routes []web.Route) *site {
	t.Helper()
	s := &site{tokens: identity.New(&identitytest.Memory{}, time.Now), secret: map[identity.Role]string{}, log: &logBuffer{}}
	for _, role := range identity.Roles() {
		_, secret, err := s.tokens.Create(t.Context(), identity.Request{Name: "a-" + string(role), Role: role, By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		s.secret[role] = secret
	}
	handler, err := web.New(web.Config{
		Verify: s.tokens.Verify, Log: slog.New(slog.NewTextHandler(s.log, nil)), Routes: append(web.TokenRoutes(s.tokens), routes...),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (p *plant) openStores() {
	t := p.t
	cfg := storetest.SQLite(t, "cd", nil)
	cfg.Now = p.now
	var err error
	if p.cdStore, err = storecd.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cdStore.Close() })
	cfg = storetest.SQLite(t, "ci", nil)
	cfg.Now = p.now
	if p.ciStore, err = storeci.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.ciStore.Close() })
	if p.logs, err = storeci.OpenLogFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
}

func (p *plant) trusted() bridge.Trusted {
	p.t.Helper()
	pub, err := attest.MarshalPublic(p.key.Public())
	if err != nil {
		p.t.Fatal(err)
	}
	return bridge.Trusted{Store: p.cdStore, CI: &attest.Signer{Name: "ci", Key: string(pub), Predicates: attest.Names()}}
}

func (p *plant) openPlanes() {
	t := p.t
	verifier := bridge.Verifier{Evidence: p.shelf, Policy: p.trusted()}
	p.bridge = &bridge.Service{Ledger: p.cdStore, Planner: cd.Planner{Reader: p.cdStore}, Now: p.now, Verifier: verifier}
	p.cd = &cd.Service{Store: p.cdStore, Verifier: verifier, Target: p.target, Now: p.now}
	registry := citest.NewRegistry()
	var err error
	p.ci, err = ci.New(ci.Config{
		Store: p.ciStore, Source: p.source, Executor: citest.NewExecutor(t), Publisher: registry, Resolver: registry,
		Poster: &citest.Poster{}, Logs: p.logs, Key: p.key, Now: p.now, Random: rand.NewChaCha8([32]byte{}),
		Builder: "https://ci.example.com", URL: "https://ci.example.com", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// apply keeps the delivery of shop.
func (p *plant) apply() {
	p.t.Helper()
	p.applyFile(delivery)
}

// publish puts version of shop/web on the shelf; signed says whether its run vouches for it.
func (p *plant) publish(version string, signed bool) artifact.Reference {
	p.t.Helper()
	ref := artifact.Reference{Repository: "shop/web", Tag: version, Digest: artifact.DigestOf([]byte(version))}
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	p.shelf.tags["shop/web:"+version] = ref.Digest
	if signed {
		p.shelf.bundles[ref.Digest] = p.sign(ref.Digest, version)
	}
	return ref
}

func (p *plant) sign(d artifact.Digest, version string) [][]byte {
	now := p.now()
	prov := attest.Provenance{
		Builder: "http://127.0.0.1/ci", BuildType: attest.BuildType, Repository: "shop", Ref: "refs/heads/main",
		Commit: commit, Workflow: ".drawbridge/workflows/ci.yaml", Run: "1", Attempt: 1, Author: "a-developer", Chain: "c1",
		Image: "shop/web", Version: version, Started: now, Finished: now,
	}
	var out [][]byte
	for _, predicate := range []attest.Predicate{attest.Signature{}, attest.Tests{Passed: 3, PassedNames: []string{"A", "B", "C"}}, nil} {
		if predicate == nil {
			predicate = prov
		}
		b, err := attest.Sign(p.key, attest.Subject{Name: "shop/web", Digest: d}, predicate)
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, b)
		prov.Attestations = append(prov.Attestations, artifact.DigestOf(b))
	}
	return out
}

// event is the CloudEvent that says that ref was published.
func (p *plant) event(ref artifact.Reference) string {
	p.t.Helper()
	p.posted++
	b, err := bridge.Published{Source: "/ci", ID: fmt.Sprint("run/", p.posted), Artifact: ref, At: p.now(), Chain: "c1"}.CloudEvent()
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// ship publishes version, posts its event over HTTP and works what follows.
func (p *plant) ship(version string, signed bool) {
	p.t.Helper()
	resp, body := p.send(p.t, call{
		method: "POST", path: "/api/v1/events", token: p.secret[identity.Events], body: p.event(p.publish(version, signed)),
		header: map[string]string{"Content-Type": api.CloudEventType},
	})
	if resp.StatusCode != http.StatusAccepted {
		p.t.Fatalf("the event of %s: %d %s", version, resp.StatusCode, body)
	}
	p.settle()
}

// settle works everything of the bridge and of CD that can move now.
func (p *plant) settle() {
	p.t.Helper()
	p.judge()
	for range 100 {
		tasks, err := p.cdStore.Moving(p.t.Context(), 0, 200)
		if err != nil {
			p.t.Fatal(err)
		}
		moved := false
		for _, task := range tasks {
			if err := p.cd.Work(p.t.Context(), cd.PromotionID(task.ID), task.Version); err != nil {
				p.t.Fatalf("work promotion %d: %v", task.ID, err)
			}
			after, err := p.cdStore.Promotion(p.t.Context(), cd.PromotionID(task.ID))
			if err != nil {
				p.t.Fatal(err)
			}
			moved = moved || after.Version != task.Version
		}
		if !moved {
			return
		}
	}
	p.t.Fatal("it does not settle")
}

// push makes a repository with a workflow, pushes to it as pusher and returns the run.
func (p *plant) push(name, pusher string) ci.Run {
	p.t.Helper()
	if p.source.Repositories[name] == nil {
		if _, err := p.ci.CreateRepository(p.t.Context(), name, "ops"); err != nil {
			p.t.Fatal(err)
		}
		p.source.Repositories[name] = map[string]map[string]string{commit: {".drawbridge/workflows/ci.yaml": workflow}}
	}
	p.posted++
	change := ci.RefChange{Ref: fmt.Sprint("refs/heads/b", p.posted), Old: ci.NoCommit, New: commit, Pusher: pusher, At: p.now()}
	if err := p.ci.Sync(p.t.Context(), name, []ci.RefChange{change}); err != nil {
		p.t.Fatal(err)
	}
	runs, err := p.ciStore.ListRuns(p.t.Context(), ci.RunFilter{Limit: 1})
	if err != nil || len(runs) != 1 {
		p.t.Fatalf("no run: %v", err)
	}
	return runs[0]
}

// work brings a run to its end.
func (p *plant) work(id int64) {
	ctx := p.t.Context()
	for range 20 {
		run, err := p.ciStore.Run(ctx, id)
		switch {
		case err != nil:
			p.t.Fatal(err)
		case run.State.Final():
			return
		case run.State == ci.RunSealing:
			err = p.ci.Seal(ctx, id)
		default:
			err = p.ci.Work(ctx, id)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		jobs, err := p.ciStore.Jobs(ctx, id)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, j := range jobs {
			if !j.Queued.IsZero() && !j.State.Final() {
				if err := p.ci.WorkJob(ctx, j.ID, j.Version); err != nil {
					p.t.Fatal(err)
				}
			}
		}
	}
	p.t.Fatal("the run does not end")
}
