package web

import (
	"net/http"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// eventPage shows one event.
type eventPage struct {
	frame
	api.Event
	Tone     string
	Handoffs []crossingView // newest first
	More     bool           // there are more than the page shows
	Raw      *rawView       // nil when its delivery is no longer kept; only for who may redrive it
	Redrives bool           // who looks may have it processed again
}

// rawView is a delivery of a sender as it arrived.
type rawView struct {
	Headers []string // "name: value"
	Text    string   // the beginning of its body; empty when it is no text
	Size    int      // bytes of the body
	Cut     bool     // Text is not all of it
}

// Limits of an event's page.
const (
	maxShown      = 32 << 10 // bytes of a body
	eventHandoffs = 100
)

func (h bridgePages) event(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	found, err := h.Events.Store.Event(ctx, id)
	if err != nil {
		return err
	}
	list, err := h.Handoffs(ctx, HandoffQuery{Event: id, Limit: eventHandoffs})
	if err != nil {
		return err
	}
	page := eventPage{
		frame: framed(r, "Event "+itoa(id), "/bridge", true), Event: api.EventOf(found), Tone: eventTone(found.State),
		Handoffs: each(list, crossingOf), More: len(list) == eventHandoffs, Redrives: identity.Can(Token(ctx).Role, identity.Redrive),
	}
	if page.Redrives {
		raw, err := h.Events.Store.Raw(ctx, id)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err == nil {
			page.Raw = rawOf(raw)
		}
	}
	return render(w, http.StatusOK, "event.html", page)
}

func rawOf(raw bridge.Raw) *rawView {
	out := &rawView{Text: api.RawEventOf(raw).Text, Size: len(raw.Body)}
	for name, value := range raw.Headers {
		out.Headers = append(out.Headers, name+": "+value)
	}
	slices.Sort(out.Headers)
	if len(out.Text) > maxShown {
		out.Text, out.Cut = strings.ToValidUTF8(out.Text[:maxShown], ""), true
	}
	return out
}

func eventTone(s bridge.EventState) string {
	switch s {
	case bridge.EventReceived:
		return toneWork
	case bridge.EventProcessed:
		return toneGood
	case bridge.EventDead:
		return toneBad
	}
	return toneFlat
}
