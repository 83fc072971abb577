package web

import (
	"context"
	"net/http"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// PromotionService opens promotions and takes decisions; *cd.Service implements it.
type PromotionService interface {
	// Promote asks for release in environment.
	Promote(ctx context.Context, actor, release, environment, note string) (cd.Promotion, error)
	// Approve keeps actor's approval of the plan that the person saw.
	Approve(ctx context.Context, actor string, id cd.PromotionID, plan artifact.Digest, message string) (cd.Promotion, error)
	// Reject ends a promotion that has not been admitted.
	Reject(ctx context.Context, actor string, id cd.PromotionID, plan artifact.Digest, message string) (cd.Promotion, error)
}

// PromotionRoutes are the rows of promotions.
func PromotionRoutes(store cd.PromotionReader, service PromotionService) []Route {
	h := promotionHandlers{store, service}
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
			Summary: "Ask for a release in an environment", Request: api.NewPromotion{}, Response: api.Promotion{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/promotions/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show a promotion with its plan, steps, causes and decisions", Response: api.Promotion{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/promotions/{id}/approve", Action: identity.Approve, Handler: h.decide(service.Approve),
			Summary: "Approve a promotion's plan", Request: api.Decision{}, Response: api.Promotion{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/promotions/{id}/reject", Action: identity.Approve, Handler: h.decide(service.Reject),
			Summary: "Reject a promotion", Request: api.Decision{}, Response: api.Promotion{},
		},
	}
}

type promotionHandlers struct {
	store   cd.PromotionReader
	service PromotionService
}

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
	found, err := h.store.Promotions(r.Context(), cd.PromotionFilter{Environment: ref, State: state, Active: active, Before: cd.PromotionID(before), Limit: p.Limit})
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.PromotionOf), func(v api.Promotion) string { return itoa(v.ID) })
}

func (h promotionHandlers) create(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewPromotion](r)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"release", in.Release}, {"environment", in.Environment}} {
		if f.value == "" {
			return fault.New(fault.Invalid, "is missing").WithField(f.name)
		}
	}
	p, err := h.service.Promote(r.Context(), Token(r.Context()).Name, in.Release, in.Environment, in.Note)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, api.PromotionOf(p))
}

func (h promotionHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	p, err := h.store.Promotion(r.Context(), cd.PromotionID(id))
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
