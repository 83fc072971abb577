package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/packages"
	"drawbridge/internal/queue"
	"drawbridge/internal/registry"
	"drawbridge/internal/remote"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/web"
	"drawbridge/internal/webhook"
)

// issuerTimeout bounds one request to an issuer of identity tokens.
const issuerTimeout = 10 * time.Second

// googleIssuer signs the tokens that Google's Pub/Sub shows.
const googleIssuer = "https://accounts.google.com"

// crossing is the bridge with everything that only it uses.
type crossing struct {
	service   *bridge.Service
	clockwork *bridge.Clockwork
	desk      *webhook.Desk
	door      *webhook.Door
	hooks     *web.Hooks
	drift     func(ctx context.Context, application string) error // looks for it, and has it repaired
	policies  policies
	workloads workloads
}

// startBridge makes the bridge's parts. images reads registries as the CD plane.
func (s *server) startBridge(verifier bridge.Verifier, images *registry.Client) (*crossing, error) {
	db := s.cd.store
	x := &crossing{policies: policies{db}, workloads: workloads{db}}
	allowed, logins := guard{x.policies}, credentials(s.cfg.CredentialsFile)
	if err := logins.check(); err != nil {
		return nil, err
	}
	repositories, err := remote.New(remote.Options{Dir: filepath.Join(s.data, "mirrors"), Dial: allowed.dial, Auth: logins.of, Now: s.cfg.Now})
	if err != nil {
		return nil, err
	}
	from := sources{others: repositories}
	if s.ci != nil {
		from.own = s.ci.forge
	}
	wrap := wrapper{fetcher: packages.New(packages.Config{Guard: allowed, Auth: logins.header}), images: images, temp: s.temp}
	x.service = &bridge.Service{
		Ledger: db, Verifier: verifier, Images: images, Sources: from, Packages: wrap, Signers: x.policies,
		Planner: cd.Planner{Reader: db}, Now: s.cfg.Now,
	}
	x.clockwork = &bridge.Clockwork{
		Clocks: db, Ledger: db, Images: images, Sources: from, Tags: images, Budget: &bridge.Budget{}, Now: s.cfg.Now,
	}
	seal, err := newSealer(s.data)
	if err != nil {
		return nil, err
	}
	x.desk = &webhook.Desk{Documents: db, Secret: db, Seal: seal, Now: s.cfg.Now}
	x.door = &webhook.Door{
		Receivers: x.desk, Inbox: x.service, URL: s.url, Now: s.cfg.Now,
		Tokens: (&googleTokens{now: s.cfg.Now, known: map[string]webhook.TokenVerifier{}}).verifier,
	}
	x.service.Rereader = x.door
	x.drift = x.service.Repair
	x.hooks = web.NewHooks(hookDoor{x.door})
	return x, nil
}

// handle gives the bridge's tasks to the queue.
func (x *crossing) handle(q *queue.Queue, db *storecd.Store) {
	q.Handle(storecd.TaskEvent, func(ctx context.Context, t store.Task) error { return x.service.Process(ctx, t.ID) })
	q.Handle(storecd.TaskHandoff, func(ctx context.Context, t store.Task) error { return x.service.Look(ctx, t.ID) })
	q.Handle(storecd.TaskClock, func(ctx context.Context, t store.Task) error { return x.clockwork.Ring(ctx, t.ID, t.Version) })
	q.Follow("arrivals", db.Arrived(), func(ctx context.Context) error { return db.Sort(ctx, x.service.Concerns) })
	q.Sweep("drift", func(ctx context.Context) error { return x.repair(ctx, db) })
}

// repair looks for drift in every application; one that cannot be looked at keeps no other
// from it.
func (x *crossing) repair(ctx context.Context, db applicationLister) error {
	var wrong error
	for after := ""; ; {
		names, err := db.Applications(ctx, after, 100)
		if err != nil || len(names) == 0 {
			return errors.Join(wrong, err)
		}
		for _, name := range names {
			if err := x.drift(ctx, name); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("repair %s: %w", name, err))
			}
			after = name
		}
	}
}

// applicationLister lists the names of applications after a name, sorted.
type applicationLister interface {
	Applications(ctx context.Context, after string, limit int) ([]string, error)
}

// workloads reads the rules by which workloads get tokens. It implements identity.WorkloadRules.
type workloads struct{ store documentLister }

// documentLister lists the newest versions of the documents of a kind, after a name, sorted.
type documentLister interface {
	Documents(ctx context.Context, kind, after string, limit int) ([]storecd.Document, error)
}

// Workloads is identity.WorkloadRules'. A rule that is no longer one, by the checks of a newer
// server, lets nobody in and keeps nobody else out.
func (w workloads) Workloads(ctx context.Context) ([]identity.Workload, error) {
	var out []identity.Workload
	for after := ""; ; {
		docs, err := w.store.Documents(ctx, bridge.KindWorkload, after, 100)
		if err != nil || len(docs) == 0 {
			return out, err
		}
		for _, d := range docs {
			after = d.Name
			if rule, err := identity.ParseWorkload(d.Name, d.Body); err == nil {
				out = append(out, rule)
			}
		}
	}
}

// googleTokens are the verifiers of Google's tokens, one for each audience, so that the
// keys are fetched once and not with each delivery.
type googleTokens struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[string]webhook.TokenVerifier
}

func (g *googleTokens) verifier(audience string) (webhook.TokenVerifier, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.known[audience]; ok {
		return v, nil
	}
	v, err := identity.NewVerifier(googleIssuer, audience, &http.Client{Timeout: issuerTimeout}, g.now)
	if err != nil {
		return nil, err
	}
	g.known[audience] = v
	return v, nil
}
