package web

import (
	"context"
	"net/http"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// FreezeQuery picks freezes; zero fields pick all that hold.
type FreezeQuery struct {
	Application string
	Past        bool  // those that hold no more too
	Before      int64 // those with a smaller id
	Limit       int
}

// FreezeList lists freezes, newest first.
type FreezeList func(ctx context.Context, q FreezeQuery) ([]bridge.Freeze, error)

// FreezeService sets and lifts freezes; *cd.Service implements it.
type FreezeService interface {
	// Freeze keeps promotions out of an environment for a while.
	Freeze(ctx context.Context, w cd.FreezeWish) (bridge.Freeze, error)
	// Lift ends a freeze before its time.
	Lift(ctx context.Context, actor string, id int64, reason string) (bridge.Freeze, error)
}

// FreezeRoutes are the rows of freezes.
func FreezeRoutes(list FreezeList, service FreezeService) []Route {
	h := freezeHandlers{list, service}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/freezes", Action: identity.Read, Handler: h.list,
			Summary: "List the freezes that hold, newest first", Paged: true, Response: api.Freeze{},
			Query: []Param{
				{"application", "Only freezes of this application."},
				{"all", "true: those that hold no more too."},
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/freezes", Action: identity.Freeze, Handler: h.set,
			Summary: "Keep promotions out of an environment for a while", Request: api.NewFreeze{}, Response: api.Freeze{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/freezes/{id}", Action: identity.Freeze, Handler: h.lift,
			Summary: "Lift a freeze: what waits for its end goes on", Response: api.Freeze{},
			Query: []Param{{"reason", "Why, for those who come by later."}},
		},
	}
}

type freezeHandlers struct {
	find    FreezeList
	service FreezeService
}

func (h freezeHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	past, err := flag(r, "all")
	if err != nil {
		return err
	}
	found, err := h.find(r.Context(), FreezeQuery{Application: r.URL.Query().Get("application"), Past: past, Before: before, Limit: p.Limit})
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.FreezeOf), func(f api.Freeze) string { return itoa(f.ID) })
}

func (h freezeHandlers) set(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewFreeze](r)
	if err != nil {
		return err
	}
	if in.Application == "" {
		return fault.New(fault.Invalid, "is missing").WithField("application").WithHint("drawbridge status")
	}
	wish := cd.FreezeWish{
		Actor: Token(r.Context()).Name, Environment: cd.EnvironmentRef{Application: in.Application, Name: in.Environment}, Reason: in.Reason,
	}
	if in.For != "" {
		if wish.For, err = time.ParseDuration(in.For); err != nil || wish.For <= 0 {
			return fault.New(fault.Invalid, "%.40q is no duration above 0", in.For).WithField("for").WithHint("write 24h or 90m")
		}
	}
	f, err := h.service.Freeze(r.Context(), wish)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, api.FreezeOf(f))
}

func (h freezeHandlers) lift(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	f, err := h.service.Lift(r.Context(), Token(r.Context()).Name, id, r.URL.Query().Get("reason"))
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.FreezeOf(f))
}
