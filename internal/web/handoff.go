package web

import (
	"context"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// HandoffQuery picks handoffs; zero fields pick all.
type HandoffQuery struct {
	Application string
	Trigger     string
	Event       int64
	State       bridge.HandoffState
	Before      int64 // those with a smaller id
	Limit       int   // at most 200
}

// HandoffReader reads one handoff and what it came of.
type HandoffReader interface {
	// Handoff returns one handoff; NotFound when there is none.
	Handoff(ctx context.Context, id int64) (bridge.Handoff, error)
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (bridge.Event, error)
	// Delivery returns one version of an application's delivery; NotFound when there is none.
	Delivery(ctx context.Context, application string, version int64) (cd.Delivery, int64, error)
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
				{"trigger", "Only handoffs at triggers of this name."},
				{"event", "Only handoffs of the event with this number."},
				{"state", "Only handoffs in this state."},
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/handoffs/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show a handoff with its checks and refusals", Response: api.Handoff{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/handoffs/{id}/explain", Action: identity.Read, Handler: h.explain,
			Summary: "Tell how a handoff came to its outcome", Response: api.Explanation{},
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
	state, err := word(r, "state", bridge.HandoffStates())
	if err != nil {
		return err
	}
	event, err := number(r, "event")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	found, err := h.all(r.Context(), HandoffQuery{
		Application: q.Get("application"), Trigger: q.Get("trigger"), Event: event, State: state, Before: before, Limit: p.Limit,
	})
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

func (h handoffHandlers) explain(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	out, err := explained(r.Context(), h.store, id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, out)
}

// explained tells how a handoff came to its outcome.
func explained(ctx context.Context, store HandoffReader, id int64) (api.Explanation, error) {
	found, err := store.Handoff(ctx, id)
	if err != nil {
		return api.Explanation{}, err
	}
	event, err := store.Event(ctx, found.Event)
	if err != nil {
		return api.Explanation{}, err
	}
	out := api.Explanation{Handoff: api.HandoffOf(found), Event: api.EventOf(event)}
	if out.Rule, err = judgedBy(ctx, store, found); err != nil {
		return out, err
	}
	out.Story = api.Story(out.Event, out.Rule, out.Handoff)
	return out, nil
}

// judgedBy is the trigger as the delivery had it that the handoff was judged by; nil for none.
func judgedBy(ctx context.Context, store HandoffReader, of bridge.Handoff) (*api.TriggerRule, error) {
	if of.Trigger == "" || of.Delivery == 0 {
		return nil, nil
	}
	d, version, err := store.Delivery(ctx, of.Application, of.Delivery)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, ok := d.Application(version).Trigger(of.Trigger)
	if !ok {
		return nil, nil
	}
	rule := api.TriggerRuleOf(t)
	return &rule, nil
}
