package web

import (
	"context"
	"crypto/rand"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// Asker hands over what a person asks for; *bridge.Service implements it.
type Asker interface {
	// Ask hands over a release because a person asked, and returns the handoff. A key that was
	// used before gives a fault of kind Conflict.
	Ask(ctx context.Context, w bridge.Wish) (bridge.Handoff, error)
}

// maxKey is the longest key of a request, in bytes.
const maxKey = 200

func (h promotionHandlers) create(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewPromotion](r)
	if err != nil {
		return err
	}
	wish, err := h.wish(r, in)
	if err != nil {
		return err
	}
	handoff, err := h.ask(r.Context(), wish)
	if err != nil {
		return err
	}
	p, err := h.opened(r.Context(), handoff)
	if err != nil {
		return err
	}
	out := api.PromotionOf(p)
	out.Handoff = handoff.ID
	return Reply(w, http.StatusCreated, out)
}

// wish is what a request asks for. Its key belongs to the identity that asks: another's is
// another key.
func (h promotionHandlers) wish(r *http.Request, in api.NewPromotion) (bridge.Wish, error) {
	if in.Release == "" {
		return bridge.Wish{}, fault.New(fault.Invalid, "is missing").WithField("release")
	}
	if in.Environment == "" && in.Trigger == "" {
		return bridge.Wish{}, fault.New(fault.Invalid, "is missing").WithField("environment")
	}
	if in.Key == "" {
		in.Key = r.Header.Get("Idempotency-Key")
	}
	switch {
	case len(in.Key) > maxKey:
		return bridge.Wish{}, fault.New(fault.Invalid, "has more than %d bytes", maxKey).WithField("key")
	case in.Key == "":
		in.Key = rand.Text()
	}
	release, err := h.Store.Release(r.Context(), in.Release)
	actor := Token(r.Context()).Name
	return bridge.Wish{
		Actor: actor, Key: actor + "/" + in.Key, Application: release.Application, Trigger: in.Trigger, Release: release,
		Environment: in.Environment, Inputs: in.Inputs, Note: in.Note,
	}, err
}

// ask hands over once: a repetition gets the handoff that the first request made, however
// far it has come meanwhile.
func (h promotionHandlers) ask(ctx context.Context, wish bridge.Wish) (bridge.Handoff, error) {
	if before, err := h.before(ctx, wish); err != nil || before.ID != 0 {
		return before, err
	}
	out, err := h.Asker.Ask(ctx, wish)
	if !fault.Is(err, fault.Conflict) {
		return out, err
	}
	before, again := h.before(ctx, wish) // the same request may have come twice at once
	if again != nil || before.ID != 0 {
		return before, again
	}
	return out, err
}

// before is the handoff that the wish's key made before; the zero value when it made none.
func (h promotionHandlers) before(ctx context.Context, wish bridge.Wish) (bridge.Handoff, error) {
	out, err := h.Store.Accepted(ctx, wish.Application, wish.Trigger, "person/"+wish.Key)
	if err != nil || out.ID == 0 {
		return bridge.Handoff{}, err
	}
	same := out.Release == wish.Release.ID && len(out.Asked) == 1 && (wish.Environment == "" || out.Asked[0].Environment == wish.Environment)
	if !same {
		return bridge.Handoff{}, fault.New(fault.Conflict, "the key was used for another request").WithField("key").WithHint("choose another key for another request")
	}
	return out, nil
}

// opened is the promotion that a handoff opened or joined: the one that is on its way, or
// the newest when that has ended meanwhile.
func (h promotionHandlers) opened(ctx context.Context, of bridge.Handoff) (cd.Promotion, error) {
	if len(of.Asked) != 1 {
		return cd.Promotion{}, fault.New(fault.Internal, "handoff %d asks for %d environments", of.ID, len(of.Asked))
	}
	f := cd.PromotionFilter{
		Environment: cd.EnvironmentRef{Application: of.Application, Name: of.Asked[0].Environment}, Release: of.Release, Active: true, Limit: 1,
	}
	list, err := h.Store.Promotions(ctx, f)
	if err == nil && len(list) == 0 {
		f.Active = false
		list, err = h.Store.Promotions(ctx, f)
	}
	if err == nil && len(list) == 0 {
		err = fault.New(fault.Internal, "handoff %d opened no promotion", of.ID)
	}
	if err != nil {
		return cd.Promotion{}, err
	}
	return list[0], nil
}
