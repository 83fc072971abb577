package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

// http is the HTTP surface of the planes that run here.
func (s *server) http() (*web.Server, error) {
	key, err := sessionKey(s.data)
	if err != nil {
		return nil, err
	}
	tokens := s.tokens()
	metrics := prometheus.NewRegistry()
	cfg := web.Config{
		URL: s.url, Verify: tokens.Verify, SessionKey: key, Version: s.cfg.Version, Log: s.log, Metrics: metrics, Ready: s.isReady,
		Routes: slices.Concat(web.TokenRoutes(tokens), web.SchemaRoutes()), Mounts: map[string]http.Handler{},
	}
	logs := map[string]web.AuditLog{}
	road, gauges := web.Road{}, web.Gauges{}
	if s.ci != nil {
		cfg.Mounts["/git/"] = s.ci.forge
		cfg.Mounts["/v2/"] = s.ci.registry
		cfg.Routes = append(cfg.Routes, s.ciRoutes()...)
		logs[api.PlaneCI] = s.ci.store.DB()
		road.CI, gauges.Runs = s.ci.store, s.ci.moving
	}
	if s.cd != nil {
		cfg.Routes = append(cfg.Routes, s.cdRoutes()...)
		logs[api.PlaneCD] = s.cd.store.DB()
		road.CD, road.Status, road.Handoffs = s.cd.store, s.cd.service, s.cd.handoffs
		gauges.Traffic, gauges.Promotions, gauges.Backlog = s.cd.traffic, s.cd.moving, s.cd.backlog
		if err := metrics.Register(s.cd.bridge.hooks); err != nil {
			return nil, fmt.Errorf("register the counters: %w", err)
		}
	}
	if err := metrics.Register(gauges); err != nil {
		return nil, fmt.Errorf("register the gauges: %w", err)
	}
	cfg.Routes = append(cfg.Routes, slices.Concat(web.AuditRoutes(logs), web.RoadRoutes(road))...)
	return web.New(cfg)
}

func (s *server) ciRoutes() []web.Route {
	p := s.ci
	return slices.Concat(
		web.RepositoryRoutes(p.store, p.CreateRepository, s.url),
		web.RunRoutes(p.store, p.service),
	)
}

// moving lists the runs that have not ended.
func (p *ciPlane) moving(ctx context.Context) ([]ci.Run, error) {
	return p.store.ListRuns(ctx, ci.RunFilter{States: []ci.RunState{ci.RunQueued, ci.RunRunning, ci.RunSealing}, Limit: 500})
}

func (s *server) cdRoutes() []web.Route {
	p := s.cd
	return slices.Concat(
		s.bridgeRoutes(),
		web.ReleaseRoutes(web.ReleaseParts{Store: p.store, List: p.releases, Verifier: p.service.Verifier, Planner: p.service, Now: s.cfg.Now}),
		web.PromotionRoutes(web.PromotionParts{Store: p.store, Service: p.service, Asker: p.bridge.service}),
		web.EnvironmentRoutes(web.EnvironmentParts{Store: p.store, Reporter: p.service, Rollback: p.service, Expected: p.store}),
		web.DeliveryRoutes(p.store),
		web.TrustRoutes(p.trusted),
	)
}

func (p *cdPlane) releases(ctx context.Context, q web.ReleaseQuery) ([]bridge.Release, error) {
	return p.store.Releases(ctx, storecd.ReleaseFilter(q))
}

// moving lists the promotions that have not ended.
func (p *cdPlane) moving(ctx context.Context) ([]cd.Promotion, error) {
	return p.store.Promotions(ctx, cd.PromotionFilter{Active: true, Limit: 200})
}

// traffic is what every running version serves.
func (p *cdPlane) traffic(ctx context.Context) ([]web.Traffic, error) {
	list, err := p.service.Status(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []web.Traffic
	for _, st := range list {
		for _, v := range st.Traffic {
			out = append(out, web.Traffic{
				Environment: cd.EnvironmentRef{Application: st.Application, Name: st.Environment},
				Version:     v.Version, Weight: v.Weight, Healthy: v.Healthy, Figures: v.Figures,
			})
		}
	}
	return out, nil
}

// isReady is nil once environments are back and the queues work, and as long as each
// plane's database answers.
func (s *server) isReady(ctx context.Context) error {
	if !s.ready.Load() {
		return fault.New(fault.Unavailable, "the server is starting: environments are coming back").WithHint("ask again in a moment")
	}
	if s.ci != nil {
		if err := s.ci.store.DB().Reader().PingContext(ctx); err != nil {
			return fault.Wrap(fault.Unavailable, err, "the CI plane's database does not answer")
		}
	}
	if s.cd != nil {
		if err := s.cd.store.DB().Reader().PingContext(ctx); err != nil {
			return fault.Wrap(fault.Unavailable, err, "the CD plane's database does not answer")
		}
	}
	return nil
}
