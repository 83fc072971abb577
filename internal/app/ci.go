package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/forge"
	"drawbridge/internal/identity"
	"drawbridge/internal/queue"
	"drawbridge/internal/registry"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/store"
	storeci "drawbridge/internal/store/ci"
	"drawbridge/internal/web/client"
)

// ciPlane is the CI plane with everything that only it uses.
type ciPlane struct {
	store    *storeci.Store
	forge    *forge.Forge
	registry *registry.Embedded
	service  *ci.Service
	queue    *queue.Queue
	tokens   *identity.Tokens // of the CI plane's own database
}

func (s *server) openCI(ctx context.Context) error {
	key, err := auditKey(s.cfg.Data, "ci")
	if err != nil {
		return err
	}
	db, err := storeci.Open(ctx, store.Config{URL: s.cfg.CIDatabase, AuditKey: key, Log: s.log, Now: s.cfg.Now, MaxPages: s.cfg.MaxPages})
	if err != nil {
		return fmt.Errorf("open the CI plane's database: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	s.ci = &ciPlane{store: db, tokens: identity.New(db.DB().Tokens(), s.cfg.Now)}
	return nil
}

// startCI makes the plane's parts, once both databases are open and the address is known.
func (s *server) startCI(ctx context.Context) error {
	p := s.ci
	signer, err := signerKey(s.cfg.Data)
	if err != nil {
		return err
	}
	logs, err := storeci.OpenLogFiles(filepath.Join(s.cfg.Data, "logs"))
	if err != nil {
		return fmt.Errorf("open the logs: %w", err)
	}
	s.closers = append(s.closers, func() error { return p.stopLogs(logs) })
	p.forge, err = forge.New(forge.Config{
		Dir: filepath.Join(s.cfg.Data, "git"), Authorize: s.authorizeGit, Now: s.cfg.Now, Log: s.log,
		Pushed: func(ctx context.Context, repository string, moved []ci.RefChange) error {
			return p.service.Sync(ctx, repository, moved)
		},
		Known: p.store.Refs,
	})
	if err != nil {
		return err
	}
	p.registry, err = registry.Open(registry.Config{
		Dir: filepath.Join(s.cfg.Data, "registry"), Rows: p.store, Authorize: s.authorizeRegistry, Log: s.log, Now: s.cfg.Now,
	})
	if err != nil {
		return fmt.Errorf("open the registry: %w", err)
	}
	poster, err := s.poster(ctx)
	if err != nil {
		return err
	}
	images, err := s.registryClient("ci")
	if err != nil {
		return err
	}
	p.service, err = ci.New(ci.Config{
		Store: p.store, Source: p.forge, Executor: s.sandbox, Publisher: publisher{images}, Resolver: images, Poster: poster,
		Logs: logs, Key: signer, Now: s.cfg.Now, Random: rand.Reader, Builder: s.url + "/ci", URL: s.url,
		ReadOnly: goroot(), Log: s.log,
	})
	if err != nil {
		return err
	}
	p.queue = queue.New(p.store.DB(), queue.Config{Log: s.log})
	p.handle()
	return nil
}

func (p *ciPlane) handle() {
	p.queue.Handle(ci.TaskRun, func(ctx context.Context, t store.Task) error { return p.service.Work(ctx, t.ID) })
	p.queue.Handle(ci.TaskJob, func(ctx context.Context, t store.Task) error { return p.service.WorkJob(ctx, t.ID, t.Version) })
	p.queue.Handle(ci.TaskSeal, func(ctx context.Context, t store.Task) error { return p.service.Seal(ctx, t.ID) })
	p.queue.Handle(ci.TaskPost, func(ctx context.Context, t store.Task) error { return p.service.Post(ctx, t.ID) })
	p.queue.Sweep("ci", p.service.Sweep)
	p.queue.Sweep("refs", p.reconcile)
}

// reconcile finds pushes that were taken and not recorded, since the server died in between.
func (p *ciPlane) reconcile(ctx context.Context) error {
	for after := ""; ; {
		list, err := p.store.ListRepositories(ctx, after, 100)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			after = r.Name
			if err := p.reconcileOne(ctx, r.Name); err != nil {
				return fmt.Errorf("reconcile %s: %w", r.Name, err)
			}
		}
	}
}

func (p *ciPlane) reconcileOne(ctx context.Context, repository string) error {
	err := p.forge.Reconcile(ctx, repository)
	if fault.Is(err, fault.NotFound) {
		return p.forge.Create(ctx, repository) // its row was committed, its directory was not made
	}
	return err
}

// CreateRepository makes the row first and the directory after it: a crash in between is
// mended by the next reconcile.
func (p *ciPlane) CreateRepository(ctx context.Context, name, by string) (ci.Repository, error) {
	r, err := p.service.CreateRepository(ctx, name, by)
	if err != nil {
		return r, err
	}
	return r, p.forge.Create(ctx, name)
}

func (p *ciPlane) stopLogs(logs *storeci.LogFiles) error {
	if c, ok := any(logs).(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// poster delivers CI's events: over HTTP to whichever bridge there is, this server's too.
func (s *server) poster(ctx context.Context) (ci.Poster, error) {
	address, token := s.cfg.Bridge, ""
	var err error
	if address == "" {
		address = s.loopback
		if s.cd == nil {
			return nil, errors.New("no bridge is known")
		}
		token, err = bridgeToken(ctx, s.cfg.Data, identity.New(s.cd.store.DB().Tokens(), s.cfg.Now))
	} else {
		token, err = tokenFile("--bridge-token-file", s.cfg.BridgeTokenFile)
	}
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: address, Token: token, HTTP: &http.Client{Timeout: 30 * time.Second}})
}

// openSandbox makes the one sandbox that jobs and deployed processes share.
func (s *server) openSandbox() (err error) {
	s.sandbox, err = sandbox.New(sandbox.Config{Dir: filepath.Join(s.cfg.Data, "sandbox"), Log: s.log, SeedCache: s.cfg.SeedCache})
	if err != nil {
		return fmt.Errorf("open the sandbox: %w", err)
	}
	s.closers = append(s.closers, func() error {
		bound, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return s.sandbox.Close(bound)
	})
	return nil
}

// goroot is the Go installation that jobs may use, where there is one.
func goroot() []string {
	program, err := exec.LookPath("go")
	if err != nil {
		return nil
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return nil
	}
	return []string{filepath.Dir(filepath.Dir(program))}
}

func (s *server) authorizeGit(r *http.Request) (name string, push bool, err error) {
	t, err := s.ci.tokens.Verify(r.Context(), registry.TokenOf(r))
	if err != nil {
		return "", false, err
	}
	return t.Name, t.May(identity.Push), t.Require(identity.Fetch)
}

// authorizeRegistry knows this server's own services by secrets that never leave it, and
// everybody else by their token.
func (s *server) authorizeRegistry(r *http.Request) (registry.Access, error) {
	secret := registry.TokenOf(r)
	for plane, own := range s.secrets {
		if secret == own {
			return registry.Access{Name: plane, Pull: true, Push: plane == "ci", CI: plane == "ci"}, nil
		}
	}
	t, err := s.ci.tokens.Verify(r.Context(), secret)
	if err != nil {
		return registry.Access{}, err
	}
	return registry.Access{Name: t.Name, Pull: t.May(identity.RegistryPull), Push: t.May(identity.RegistryPush)}, nil
}

// registryClient reads and writes images as one of this server's planes.
func (s *server) registryClient(plane string) (*registry.Client, error) {
	local, token := s.loopback, s.secrets[plane]
	if s.cfg.Registry != "" {
		local = strings.TrimSuffix(s.cfg.Registry, "/")
		var err error
		if token, err = tokenFile("--registry-token-file", s.cfg.RegistryTokenFile); err != nil {
			return nil, err
		}
	}
	var carrier *http.Client
	if plane == "cd" { // deliveries and events name the hosts that it reads
		u, err := url.Parse(local)
		if err != nil {
			return nil, err
		}
		carrier = &http.Client{Transport: guard{policies{s.cd.store}}.transport(hostPort(u))}
	}
	return registry.NewClient(registry.ClientConfig{Local: local, Temp: s.temp, HTTP: carrier, Auth: func(host string) (string, string) {
		if host != "" {
			if plane == "cd" {
				return credentials(s.cfg.CredentialsFile).of(host)
			}
			return "", ""
		}
		return "drawbridge", token
	}})
}

var _ = slog.LevelInfo
