package web

import (
	"context"
	"net/http"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// PromotionStore reads promotions and what they are asked for by.
type PromotionStore interface {
	cd.PromotionReader
	// Release returns a release by its id, six or more of its first digits, or
	// APPLICATION@VERSION; NotFound when there is none.
	Release(ctx context.Context, ref string) (bridge.Release, error)
	// Accepted finds the accepted handoff of an application's trigger under a key; the zero
	// value when there is none.
	Accepted(ctx context.Context, application, trigger, once string) (bridge.Handoff, error)
}

// PromotionService takes decisions; *cd.Service implements it.
type PromotionService interface {
	// Approve keeps actor's approval of the plan that the person saw.
	Approve(ctx context.Context, actor string, id cd.PromotionID, plan artifact.Digest, message string) (cd.Promotion, error)
	// Reject ends a promotion that has not been admitted.
	Reject(ctx context.Context, actor string, id cd.PromotionID, plan artifact.Digest, message string) (cd.Promotion, error)
}

// PromotionParts is what the rows of promotions need.
type PromotionParts struct {
	Store   PromotionStore
	Service PromotionService
	Asker   Asker
}

// PromotionRoutes are the rows of promotions.
func PromotionRoutes(parts PromotionParts) []Route {
	h := promotionHandlers{parts}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/promotions", Action: identity.Read, Handler: h.list,
			Summary: "List promotions, newest first", Paged: true, Response: api.Promotion{},
			Query: []Param{
				{"application", "Only promotions of this application."},
				{"environment", "Only promotions into this environment; needs application."},
				{"state", "Only promotions in this state."},
				{"active", "true: only promotions that have not ended."},
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/promotions", Action: identity.Promote, Handler: h.create,
			Summary: "Ask for a release in an environment, through a manual trigger or without one", Request: api.NewPromotion{}, Response: api.Promotion{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/promotions/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show a promotion with its plan, steps, causes and decisions", Response: api.Promotion{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/promotions/{id}/approve", Action: identity.Approve, Handler: h.decide(parts.Service.Approve),
			Summary: "Approve a promotion's plan", Request: api.Decision{}, Response: api.Promotion{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/promotions/{id}/reject", Action: identity.Approve, Handler: h.decide(parts.Service.Reject),
			Summary: "Reject a promotion", Request: api.Decision{}, Response: api.Promotion{},
		},
	}
}

type promotionHandlers struct{ PromotionParts }

func (h promotionHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	state, err := word(r, "state", cd.States())
	if err != nil {
		return err
	}
	active, err := flag(r, "active")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	ref := cd.EnvironmentRef{Application: q.Get("application"), Name: q.Get("environment")}
	if ref.Name != "" && ref.Application == "" {
		return fault.New(fault.Invalid, "is missing").WithField("application").WithHint("an environment is one of an application: name both")
	}
	found, err := h.Store.Promotions(r.Context(), cd.PromotionFilter{Environment: ref, State: state, Active: active, Before: cd.PromotionID(before), Limit: p.Limit})
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.PromotionOf), func(v api.Promotion) string { return itoa(v.ID) })
}

func (h promotionHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	p, err := h.Store.Promotion(r.Context(), cd.PromotionID(id))
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.PromotionOf(p))
}

// decide answers a decision that is given by do.
func (h promotionHandlers) decide(do func(context.Context, string, cd.PromotionID, artifact.Digest, string) (cd.Promotion, error)) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := ID(r, "id")
		if err != nil {
			return err
		}
		in, err := Decode[api.Decision](r)
		if err != nil {
			return err
		}
		if in.Plan.IsZero() {
			return fault.New(fault.Invalid, "is missing").WithField("plan").WithHint("send the digest of the plan that you saw")
		}
		p, err := do(r.Context(), Token(r.Context()).Name, cd.PromotionID(id), in.Plan, in.Message)
		if err != nil {
			return err
		}
		return Reply(w, http.StatusOK, api.PromotionOf(p))
	}
}
