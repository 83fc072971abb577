package web

import (
	"context"
	"mime"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// EventReceiver takes events; *bridge.Service implements it.
type EventReceiver interface {
	// Receive keeps the CloudEvent in body and returns once it is committed; fresh is false
	// for a repetition.
	Receive(ctx context.Context, sender string, body []byte) (kept bridge.Event, fresh bool, err error)
}

// EventReader reads events.
type EventReader interface {
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (bridge.Event, error)
	// Events lists up to limit events, newest first, those with ids below before; 0 means from the newest.
	Events(ctx context.Context, before int64, limit int) ([]bridge.Event, error)
}

// EventRoutes are the rows of events.
func EventRoutes(receiver EventReceiver, store EventReader) []Route {
	h := eventHandlers{receiver, store}
	return []Route{
		{
			Method: http.MethodPost, Pattern: "/api/v1/events", Action: identity.PostEvents, Handler: h.receive,
			Summary: "Post an event", Accepts: api.CloudEventType, Response: api.Received{}, Status: http.StatusAccepted,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/events/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show an event", Response: api.Event{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/events", Action: identity.Read, Handler: h.list,
			Summary: "List events, newest first", Paged: true, Response: api.Event{},
		},
	}
}

type eventHandlers struct {
	receiver EventReceiver
	store    EventReader
}

func (h eventHandlers) receive(w http.ResponseWriter, r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != api.CloudEventType {
		return fault.New(fault.Invalid, "the body must be %s", api.CloudEventType).WithField("Content-Type")
	}
	body, err := Body(r)
	if err != nil {
		return err
	}
	e, fresh, err := h.receiver.Receive(r.Context(), Token(r.Context()).Name, body)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusAccepted, api.Received{ID: e.ID, Fresh: fresh})
}

func (h eventHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	e, err := h.store.Event(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.EventOf(e))
}

func (h eventHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	found, err := h.store.Events(r.Context(), before, p.Limit)
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.EventOf), func(v api.Event) string { return itoa(v.ID) })
}
