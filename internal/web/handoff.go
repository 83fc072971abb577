package web

import (
	"context"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// HandoffQuery picks handoffs; zero fields pick all.
type HandoffQuery struct {
	Application string
	State       bridge.HandoffState
	Before      int64 // those with a smaller id
	Limit       int   // at most 200
}

// HandoffReader reads one handoff.
type HandoffReader interface {
	// Handoff returns one handoff; NotFound when there is none.
	Handoff(ctx context.Context, id int64) (bridge.Handoff, error)
}

// HandoffList returns the handoffs that a query asks for, newest first.
type HandoffList func(ctx context.Context, q HandoffQuery) ([]bridge.Handoff, error)

// HandoffRoutes are the rows of handoffs.
func HandoffRoutes(store HandoffReader, list HandoffList) []Route {
	h := handoffHandlers{store, list}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/handoffs", Action: identity.Read, Handler: h.list,
			Summary: "List handoffs, newest first", Paged: true, Response: api.Handoff{},
			Query: []Param{
				{"application", "Only handoffs to this application."},
				{"state", "Only handoffs in this state."},
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/handoffs/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show a handoff with its refusals", Response: api.Handoff{},
		},
	}
}

type handoffHandlers struct {
	store HandoffReader
	all   HandoffList
}

func (h handoffHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	state, err := word(r, "state", handoffStates())
	if err != nil {
		return err
	}
	found, err := h.all(r.Context(), HandoffQuery{Application: r.URL.Query().Get("application"), State: state, Before: before, Limit: p.Limit})
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.HandoffOf), func(v api.Handoff) string { return itoa(v.ID) })
}

func (h handoffHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	found, err := h.store.Handoff(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.HandoffOf(found))
}

func handoffStates() []bridge.HandoffState {
	return []bridge.HandoffState{bridge.Accepted, bridge.Refused, bridge.Ignored}
}
