package web

import (
	"context"
	"net/http"
	"net/url"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// How much of each list the page of the bridge shows at once.
const (
	bridgeApplications = 20
	bridgeWaiting      = 20
	bridgeHandoffs     = 20
	bridgeDead         = 20
)

// bridgePage shows triggers, the newest handoffs and the dead letters. The parameters
// application and trigger narrow it; after, waiting, before and dead say where each list goes on.
type bridgePage struct {
	frame
	Application, Trigger string // what it is narrowed to; empty for all
	Triggers             listView[triggerGroup]
	Waiting, Handoffs    listView[crossingView]
	Dead                 listView[api.Event]
}

// listView is a part of a list, with the addresses of the next part and of the first one.
type listView[T any] struct {
	Items []T
	Next  string // empty on the last part
	First string // empty on the first part
}

// triggerGroup is the triggers of one application.
type triggerGroup struct {
	Application string
	Triggers    []triggerView
}

// triggerView is one trigger with what the reader may do about it.
type triggerView struct {
	api.Trigger
	Takes            string // what it waits for, in a few words
	LastTone         string
	Same             bool // what came of the newest event there is what it fired on
	Promotes, Pauses bool // who looks may ask for promotions through it, or let it go on
}

func (h bridgePages) bridge(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	page := bridgePage{frame: framed(r, "Bridge", "/bridge", true), Application: q.Get("application"), Trigger: q.Get("trigger")}
	var err error
	if page.Triggers, err = h.triggers(r, page); err != nil {
		return err
	}
	if page.Waiting, err = h.crossings(r, "waiting", bridgeWaiting, page, bridge.Waiting); err != nil {
		return err
	}
	if page.Handoffs, err = h.crossings(r, "before", bridgeHandoffs, page, ""); err != nil {
		return err
	}
	if page.Dead, err = h.dead(ctx, r); err != nil {
		return err
	}
	return render(w, http.StatusOK, "bridge.html", page)
}

// triggers are the triggers of some applications.
func (h bridgePages) triggers(r *http.Request, page bridgePage) (listView[triggerGroup], error) {
	out := listView[triggerGroup]{}
	names := []string{page.Application}
	if page.Application == "" {
		after := r.URL.Query().Get("after")
		found, err := h.Triggers.Store.Applications(r.Context(), after, bridgeApplications+1)
		if err != nil {
			return out, err
		}
		names = found
		if len(found) > bridgeApplications {
			names = found[:bridgeApplications]
		}
		out = parted[triggerGroup](r, "after", after != "", len(found) > bridgeApplications, func() string { return names[len(names)-1] }, "triggers")
	}
	for _, name := range names {
		list, err := triggerHandlers{h.BridgePages.Triggers}.of(r.Context(), name)
		if err != nil {
			return out, err
		}
		group := triggerGroup{Application: name}
		for _, t := range list {
			if page.Trigger == "" || t.Name == page.Trigger {
				group.Triggers = append(group.Triggers, triggerOf(t, Token(r.Context())))
			}
		}
		out.Items = append(out.Items, group)
	}
	return out, nil
}

func triggerOf(t api.Trigger, who identity.Token) triggerView {
	v := triggerView{
		Trigger: t, Takes: t.WaitsFor(), Pauses: identity.Can(who.Role, identity.PauseTrigger),
		Promotes: t.On == bridge.OnManual && identity.Can(who.Role, identity.Promote),
	}
	if t.Last != nil {
		v.LastTone = handoffTone(t.Last.State)
		v.Same = t.LastFired != nil && t.LastFired.Handoff == t.Last.Handoff
	}
	return v
}

// crossings are handoffs in a state, newest first; in any for "".
func (h bridgePages) crossings(r *http.Request, parameter string, limit int, page bridgePage, state bridge.HandoffState) (listView[crossingView], error) {
	before, err := number(r, parameter)
	if err != nil {
		return listView[crossingView]{}, err
	}
	list, err := h.Handoffs(r.Context(), HandoffQuery{
		Application: page.Application, Trigger: page.Trigger, State: state, Before: before, Limit: limit + 1,
	})
	if err != nil {
		return listView[crossingView]{}, err
	}
	shown := list[:min(limit, len(list))]
	out := parted[crossingView](r, parameter, before != 0, len(list) > limit, func() string { return itoa(shown[limit-1].ID) }, "handoffs")
	for _, c := range shown {
		if state != "" || c.State != bridge.Waiting { // what waits has a list of its own
			out.Items = append(out.Items, crossingOf(c))
		}
	}
	return out, nil
}

// dead are the events that were given up, which no application need have.
func (h bridgePages) dead(ctx context.Context, r *http.Request) (listView[api.Event], error) {
	before, err := number(r, "dead")
	if err != nil {
		return listView[api.Event]{}, err
	}
	list, err := h.Events.List(ctx, EventQuery{State: bridge.EventDead, Before: before, Limit: bridgeDead + 1})
	if err != nil {
		return listView[api.Event]{}, err
	}
	shown := list[:min(bridgeDead, len(list))]
	out := parted[api.Event](r, "dead", before != 0, len(list) > bridgeDead, func() string { return itoa(shown[bridgeDead-1].ID) }, "dead")
	out.Items = each(shown, api.EventOf)
	return out, nil
}

// parted is an empty list with the addresses of its next part, when there is more, and of the
// first, when this is a later one. The other parameters of the page stay.
func parted[T any](r *http.Request, parameter string, later, more bool, last func() string, anchor string) (out listView[T]) {
	address := func(value string) string {
		q := r.URL.Query()
		q.Del(parameter)
		if value != "" {
			q.Set(parameter, value)
		}
		return (&url.URL{Path: r.URL.Path, RawQuery: q.Encode(), Fragment: anchor}).String()
	}
	if more {
		out.Next = address(last())
	}
	if later {
		out.First = address("")
	}
	return out
}
