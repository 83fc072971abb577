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

// EventReceiver takes events.
type EventReceiver interface {
	// Post keeps the CloudEvents in a request (structured, a batch, or binary with ce- headers)
	// and returns once they are committed; fresh is false when all were there before.
	// applications are those that they may concern; nil means all.
	Post(ctx context.Context, identity string, applications []string, header http.Header, body []byte) (events []bridge.Event, fresh bool, err error)
}

// EventReader reads events.
type EventReader interface {
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (bridge.Event, error)
	// Raw returns an event's delivery as it arrived; NotFound when it is no longer kept.
	Raw(ctx context.Context, id int64) (bridge.Raw, error)
}

// EventQuery picks events; zero fields pick all.
type EventQuery struct {
	State       bridge.EventState
	Receiver    string
	Application string // those that have a handoff at it
	Before      int64  // those with a smaller id
	Limit       int    // at most 200
}

// Redriver has events processed again.
type Redriver interface {
	// Redrive reads the event's delivery anew, where it is kept, and has it processed again,
	// because actor asked. It returns the event that is processed now.
	Redrive(ctx context.Context, actor string, id int64) (bridge.Event, error)
}

// EventParts is what the rows of events need.
type EventParts struct {
	Receiver EventReceiver
	Store    EventReader
	List     func(ctx context.Context, q EventQuery) ([]bridge.Event, error) // newest first
	Redriver Redriver
}

// EventRoutes are the rows of events.
func EventRoutes(parts EventParts) []Route {
	h := eventHandlers{parts}
	return []Route{
		{
			Method: http.MethodPost, Pattern: "/api/v1/events", Action: identity.PostEvents, Handler: h.receive,
			Summary: "Post an event, or a batch", Accepts: api.CloudEventType, Response: api.Received{}, Status: http.StatusAccepted,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/events/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show an event", Response: api.Event{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/events/{id}/raw", Action: identity.Redrive, Handler: h.raw,
			Summary: "Show an event's delivery as it arrived, to who may have it processed again", Response: api.RawEvent{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/events/{id}/redrive", Action: identity.Redrive, Handler: h.redrive,
			Summary: "Have an event processed again", Response: api.Event{}, Status: http.StatusAccepted,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/events", Action: identity.Read, Handler: h.list,
			Summary: "List events, newest first", Paged: true, Response: api.Event{},
			Query: []Param{
				{"state", "Only events in this state."},
				{"receiver", "Only events of this receiver, or of this door of the server's own."},
				{"application", "Only events that have a handoff at this application."},
			},
		},
	}
}

type eventHandlers struct{ EventParts }

func (h eventHandlers) receive(w http.ResponseWriter, r *http.Request) error {
	if !isCloudEvent(r.Header) {
		return fault.New(fault.Invalid, "the body must be %s or %s, or have ce- headers", api.CloudEventType, api.CloudEventsBatchType).WithField("Content-Type")
	}
	body, err := Body(r)
	if err != nil {
		return err
	}
	from := Token(r.Context())
	scope := from.Applications
	if len(scope) == 0 {
		scope = nil
	}
	kept, fresh, err := h.Receiver.Post(r.Context(), from.Name, scope, r.Header, body)
	if err != nil {
		return err
	}
	out := api.Received{Fresh: fresh, Events: eventIDs(kept)}
	if len(kept) > 0 {
		out.ID = kept[0].ID
	}
	return Reply(w, http.StatusAccepted, out)
}

// isCloudEvent reports whether a request says that it holds CloudEvents.
func isCloudEvent(h http.Header) bool {
	if h.Get("Ce-Specversion") != "" {
		return true
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (media == api.CloudEventType || media == api.CloudEventsBatchType)
}

func (h eventHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	e, err := h.Store.Event(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.EventOf(e))
}

func (h eventHandlers) raw(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	raw, err := h.Store.Raw(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.RawEventOf(raw))
}

func (h eventHandlers) redrive(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	e, err := h.Redriver.Redrive(r.Context(), Token(r.Context()).Name, id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusAccepted, api.EventOf(e))
}

func (h eventHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	state, err := word(r, "state", bridge.EventStates())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	found, err := h.List(r.Context(), EventQuery{
		State: state, Receiver: q.Get("receiver"), Application: q.Get("application"), Before: before, Limit: p.Limit,
	})
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.EventOf), func(v api.Event) string { return itoa(v.ID) })
}
