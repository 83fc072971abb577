package web_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
	"drawbridge/internal/webhook"
)

// address is the plant's server as senders know it.
const address = "https://bridge.example.com"

// crossings has a trigger of most kinds.
const crossings = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, poll: 1m}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
  - {name: nightly, on: schedule, cron: "0 2 * * *", timezone: Europe/Berlin, from: dev, promote: production}
  - {name: ticket, on: webhook, receiver: tickets, when: body.status == "Approved", release: body.version, wait: 1h, promote: production}
  - name: byhand
    on: manual
    promote: production
    inputs: {properties: {reason: {type: string}, batch: {type: integer}}, required: [reason]}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [dev]
    approval: {required: 1, exclude: [requester]}
    target: {process: {artifact: web, command: [./web]}}
`

// seal is webhook.Seal for tests: what it gives is not the secret as it is.
type seal struct{}

func (seal) Seal(name string, secret []byte) []byte {
	out := append([]byte(name+"\x00"), secret...)
	slices.Reverse(out)
	return out
}

func (seal) Open(name string, sealed []byte) ([]byte, error) {
	out := slices.Clone(sealed)
	slices.Reverse(out)
	secret, ok := bytes.CutPrefix(out, []byte(name+"\x00"))
	if !ok {
		return nil, fault.New(fault.Internal, "sealed for another")
	}
	return secret, nil
}

// crossing adapts the bridge to the surface, as internal/app does.
type crossing struct {
	store *storecd.Store
	door  *webhook.Door
	desk  *webhook.Desk
}

func (c crossing) Deliver(ctx context.Context, name string, r web.HookRequest) (web.Taken, error) {
	t, err := c.door.Deliver(ctx, name, webhook.Request(r))
	return web.Taken(t), err
}

func (c crossing) Post(ctx context.Context, identity string, applications []string, h http.Header, body []byte) ([]bridge.Event, bool, error) {
	t, err := c.door.Post(ctx, identity, applications, webhook.Request{Header: h, Body: body})
	return t.Events, t.Fresh, err
}

func (c crossing) Apply(ctx context.Context, actor, file string, src, secret []byte) (web.Made, error) {
	m, err := c.desk.Apply(ctx, actor, file, src, secret)
	return web.Made(m), err
}

func (c crossing) Rotate(ctx context.Context, actor, name string, secret []byte) (web.Made, error) {
	m, err := c.desk.Rotate(ctx, actor, name, secret)
	return web.Made(m), err
}

func (c crossing) Remove(ctx context.Context, actor, name string) error {
	return c.desk.Remove(ctx, actor, name)
}

func (c crossing) events(ctx context.Context, q web.EventQuery) ([]bridge.Event, error) {
	return c.store.Events(ctx, storecd.EventFilter(q))
}

func (c crossing) documents(ctx context.Context, kind, after string, limit int) ([]web.Document, error) {
	list, err := c.store.Documents(ctx, kind, after, limit)
	out := make([]web.Document, 0, len(list))
	for _, d := range list {
		out = append(out, web.Document(d))
	}
	return out, err
}

func (c crossing) figures(ctx context.Context, application string) ([]web.TriggerFigure, error) {
	list, err := c.store.TriggerFigures(ctx, application)
	out := make([]web.TriggerFigure, 0, len(list))
	for _, f := range list {
		out = append(out, web.TriggerFigure(f))
	}
	return out, err
}

func (c crossing) freezes(ctx context.Context, q web.FreezeQuery) ([]bridge.Freeze, error) {
	return c.store.FreezeList(ctx, storecd.FreezeFilter(q))
}

func receiverTypes() []api.ReceiverType {
	var out []api.ReceiverType
	for _, s := range webhook.Senders() {
		out = append(out, api.ReceiverType{
			Name: s.Name, Title: s.Title, Secret: string(s.Secret), Schemes: s.Schemes, Signed: s.Signed, Timed: s.Timed, Host: s.Host,
		})
	}
	return out
}

// bridgeRoutes are the rows of the bridge.
func (p *plant) bridgeRoutes() []web.Route {
	desk := &webhook.Desk{Documents: p.cdStore, Secret: p.cdStore, Seal: seal{}, Now: p.now}
	door := &webhook.Door{Receivers: desk, Inbox: p.bridge, URL: address, Now: p.now}
	p.bridge.Rereader = door
	c := crossing{p.cdStore, door, desk}
	p.hooks = web.NewHooks(c)
	return slices.Concat(
		p.hooks.Routes(),
		web.EventRoutes(web.EventParts{Receiver: c, Store: p.cdStore, List: c.events, Redriver: p.bridge}),
		web.HandoffRoutes(p.cdStore, p.handoffs),
		web.TriggerRoutes(web.TriggerParts{Store: p.cdStore, Pauses: p.cdStore, Tester: p.bridge, Figures: c.figures}),
		web.ReceiverRoutes(web.ReceiverParts{Desk: c, Store: p.cdStore, List: c.documents, Types: receiverTypes(), URL: address + "/"}),
		web.PolicyRoutes(p.cdStore),
		web.WorkloadRoutes(p.cdStore, c.documents),
		web.DriftRoutes(p.cdStore, p.bridge),
		web.BridgePageRoutes(web.BridgePages{
			Triggers: web.TriggerParts{Store: p.cdStore, Pauses: p.cdStore, Figures: c.figures},
			Handoffs: p.handoffs, Handoff: p.cdStore, Events: web.EventParts{Store: p.cdStore, List: c.events},
			Promotions: web.PromotionParts{Store: p.cdStore, Asker: p.bridge}, Releases: p.releases,
		}),
		web.FreezeRoutes(c.freezes, p.cd),
	)
}

// applyFile keeps another delivery of shop.
func (p *plant) applyFile(src string) {
	p.t.Helper()
	if _, err := cd.ApplyDelivery(p.t.Context(), p.cdStore, "ops", "delivery.yaml", []byte(src), false); err != nil {
		p.t.Fatal(err)
	}
}

// judge works every event that is received, and every handoff that waits.
func (p *plant) judge() {
	p.t.Helper()
	ctx := p.t.Context()
	events, err := p.cdStore.Events(ctx, storecd.EventFilter{State: bridge.EventReceived, Limit: 200})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range slices.Backward(events) {
		if err := p.bridge.Process(ctx, e.ID); err != nil {
			p.t.Fatal(err)
		}
	}
	waiting, err := p.cdStore.Handoffs(ctx, storecd.HandoffFilter{State: bridge.Waiting, Limit: 200})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range slices.Backward(waiting) {
		if err := p.bridge.Look(ctx, h.ID); err != nil {
			p.t.Fatal(err)
		}
	}
}
