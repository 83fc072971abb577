package app

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
	"drawbridge/internal/webhook"
)

// bridgeRoutes are the rows of the bridge.
func (s *server) bridgeRoutes() []web.Route {
	p, x := s.cd, s.cd.bridge
	exchange := &identity.Exchange{
		Rules: x.workloads, Issuers: identity.NewIssuers(&http.Client{Timeout: issuerTimeout}, s.cfg.Now), Tokens: p.tokens, Audience: strings.TrimRight(s.url, "/"),
	}
	events := web.EventParts{Receiver: poster{x.door}, Store: p.store, List: p.events, Redriver: x.service}
	triggers := web.TriggerParts{Store: p.store, Pauses: p.store, Tester: x.service, Figures: p.figures}
	return slices.Concat(
		x.hooks.Routes(),
		web.EventRoutes(events),
		web.HandoffRoutes(p.store, p.handoffs),
		web.TriggerRoutes(triggers),
		web.ReceiverRoutes(web.ReceiverParts{Desk: desk{x.desk}, Store: p.store, List: p.documents, Types: receiverTypes(), URL: s.url}),
		web.PolicyRoutes(p.store),
		web.WorkloadRoutes(p.store, p.documents),
		web.DriftRoutes(p.store, x.service),
		web.FreezeRoutes(p.freezes, p.service),
		web.ExchangeRoutes(exchange),
		web.BridgePageRoutes(web.BridgePages{
			Triggers: triggers, Events: events, Handoffs: p.handoffs, Handoff: p.store, Releases: p.releases,
			Promotions: web.PromotionParts{Store: p.store, Service: p.service, Asker: x.service},
		}),
	)
}

// hookDoor is web.HookDoor over the receivers' door.
type hookDoor struct{ door *webhook.Door }

// Deliver is web.HookDoor's.
func (d hookDoor) Deliver(ctx context.Context, name string, r web.HookRequest) (web.Taken, error) {
	taken, err := d.door.Deliver(ctx, name, webhook.Request(r))
	return web.Taken(taken), err
}

// poster is web.EventReceiver over the receivers' door.
type poster struct{ door *webhook.Door }

// Post is web.EventReceiver's.
func (p poster) Post(ctx context.Context, identity string, applications []string, header http.Header, body []byte) ([]bridge.Event, bool, error) {
	taken, err := p.door.Post(ctx, identity, applications, webhook.Request{Header: header, Body: body})
	return taken.Events, taken.Fresh, err
}

// desk is web.ReceiverDesk over the receivers' desk.
type desk struct{ desk *webhook.Desk }

// Apply is web.ReceiverDesk's.
func (d desk) Apply(ctx context.Context, actor, file string, src, secret []byte) (web.Made, error) {
	made, err := d.desk.Apply(ctx, actor, file, src, secret)
	return web.Made(made), err
}

// Rotate is web.ReceiverDesk's.
func (d desk) Rotate(ctx context.Context, actor, name string, secret []byte) (web.Made, error) {
	made, err := d.desk.Rotate(ctx, actor, name, secret)
	return web.Made(made), err
}

// Remove is web.ReceiverDesk's.
func (d desk) Remove(ctx context.Context, actor, name string) error {
	return d.desk.Remove(ctx, actor, name)
}

func receiverTypes() []api.ReceiverType {
	var out []api.ReceiverType
	for _, s := range webhook.Senders() {
		out = append(out, api.ReceiverType{Name: s.Name, Title: s.Title, Secret: string(s.Secret), Schemes: s.Schemes, Signed: s.Signed, Timed: s.Timed, Host: s.Host})
	}
	return out
}

func (p *cdPlane) events(ctx context.Context, q web.EventQuery) ([]bridge.Event, error) {
	return p.store.Events(ctx, storecd.EventFilter(q))
}

func (p *cdPlane) handoffs(ctx context.Context, q web.HandoffQuery) ([]bridge.Handoff, error) {
	return p.store.Handoffs(ctx, storecd.HandoffFilter(q))
}

func (p *cdPlane) figures(ctx context.Context, application string) ([]web.TriggerFigure, error) {
	list, err := p.store.TriggerFigures(ctx, application)
	out := make([]web.TriggerFigure, len(list))
	for i, f := range list {
		out[i] = web.TriggerFigure(f)
	}
	return out, err
}

func (p *cdPlane) freezes(ctx context.Context, q web.FreezeQuery) ([]bridge.Freeze, error) {
	return p.store.FreezeList(ctx, storecd.FreezeFilter(q))
}

func (p *cdPlane) documents(ctx context.Context, kind, after string, limit int) ([]web.Document, error) {
	list, err := p.store.Documents(ctx, kind, after, limit)
	out := make([]web.Document, len(list))
	for i, d := range list {
		out[i] = web.Document(d)
	}
	return out, err
}

func (p *cdPlane) backlog(ctx context.Context) (web.Backlog, error) {
	b, err := p.store.Backlog(ctx)
	return web.Backlog(b), err
}
