package web

import (
	"context"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// BridgePages is where the pages of the bridge get what they show. Triggers, Handoffs and
// Events are what the rows of these nouns have; of Triggers the tester, and of Events all but
// Store and List, are not used.
type BridgePages struct {
	Triggers   TriggerParts
	Handoffs   HandoffList
	Handoff    HandoffReader
	Events     EventParts
	Promotions PromotionParts
	Releases   func(ctx context.Context, q ReleaseQuery) ([]bridge.Release, error) // the last accepted first
}

// BridgePageRoutes are the pages that show what came to the bridge and what became of it, and
// the form by which people ask for promotions.
func BridgePageRoutes(from BridgePages) []Route {
	h := bridgePages{from}
	ask := askPages{from, promotionHandlers{from.Promotions}}
	const form = "/promote/{application}/{environment}"
	return []Route{
		{Method: http.MethodGet, Pattern: "/bridge", Action: identity.Read, Handler: h.bridge},
		{Method: http.MethodGet, Pattern: "/handoffs/{id}", Action: identity.Read, Handler: h.handoff},
		{Method: http.MethodGet, Pattern: "/events/{id}", Action: identity.Read, Handler: h.event},
		{Method: http.MethodGet, Pattern: form, Action: identity.Promote, Handler: ask.form},
		{Method: http.MethodPost, Pattern: form, Action: identity.Promote, Handler: ask.ask},
	}
}

type bridgePages struct{ BridgePages }

// crossingView is one handoff in a list.
type crossingView struct {
	bridge.Handoff
	Tone string
	Name string // of what it is about: the version, else the tag
}

func crossingOf(h bridge.Handoff) crossingView {
	name := h.Version
	if name == "" {
		name = h.Image.Tag
	}
	return crossingView{h, handoffTone(h.State), name}
}

// handoffPage tells of one handoff.
type handoffPage struct {
	frame
	api.Explanation
	Tone     string
	Asked    []askedView
	Redrives bool // who looks may have its event processed again
}

// askedView is one release that was asked for, and the promotion that it went to.
type askedView struct {
	bridge.Asked
	Promotion cd.PromotionID // 0: none
	State     cd.State
	Tone      string
}

func (h bridgePages) handoff(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	x, err := explained(ctx, h.Handoff, id)
	if err != nil {
		return err
	}
	page := handoffPage{
		frame: framed(r, "Handoff "+itoa(id), "/bridge", true), Explanation: x, Tone: handoffTone(x.Handoff.State),
		Redrives: identity.Can(Token(ctx).Role, identity.Redrive),
	}
	// Checks and refusals stand beside the story, with their marks.
	short := x.Handoff
	short.Checks, short.Refusals = nil, nil
	page.Story = api.Story(x.Event, x.Rule, short)
	for _, a := range x.Handoff.Asked {
		v, err := h.asked(ctx, x.Handoff.Application, a)
		if err != nil {
			return err
		}
		page.Asked = append(page.Asked, v)
	}
	return render(w, http.StatusOK, "handoff.html", page)
}

// asked finds the newest promotion of what was asked for; where nothing was opened there is none.
func (h bridgePages) asked(ctx context.Context, application string, a bridge.Asked) (askedView, error) {
	v := askedView{Asked: a}
	if a.Environment == "" || a.Why != "" {
		return v, nil
	}
	list, err := h.Promotions.Store.Promotions(ctx, cd.PromotionFilter{
		Environment: cd.EnvironmentRef{Application: application, Name: a.Environment}, Release: a.Release, Limit: 1,
	})
	if err == nil && len(list) == 1 {
		v.Promotion, v.State, v.Tone = list[0].ID, list[0].State, promotionTone(list[0].State)
	}
	return v, err
}
