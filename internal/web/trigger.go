package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// TriggerStore reads triggers and what is kept about them.
type TriggerStore interface {
	// Applications lists the names of the deliveries after a name, sorted.
	Applications(ctx context.Context, after string, limit int) ([]string, error)
	// Delivery returns an application's newest delivery for version 0; NotFound when there is none.
	Delivery(ctx context.Context, application string, version int64) (cd.Delivery, int64, error)
	// Clocks lists an application's clocks.
	Clocks(ctx context.Context, application string) ([]bridge.Clock, error)
}

// TriggerPauses keeps which triggers are paused.
type TriggerPauses interface {
	// Paused returns the pause of a trigger; the zero value when it is not paused.
	Paused(ctx context.Context, application, trigger string) (bridge.Pause, error)
	// SetPause pauses a trigger, or lets it go on when pause names nobody. A zero time is now.
	SetPause(ctx context.Context, actor, application, trigger string, pause bridge.Pause) error
}

// TriggerTester judges without effect; *bridge.Service implements it.
type TriggerTester interface {
	// Test says what an event would bring about at a trigger now, and why.
	Test(ctx context.Context, application, trigger string, event int64) (bridge.Outcome, error)
}

// TriggerFigure says when a trigger last fired, and what came of the newest event there.
type TriggerFigure struct {
	Trigger  string
	Last     bridge.Handoff // the newest, whatever came of it
	Accepted bridge.Handoff // what was accepted last; the zero value when nothing was
}

// TriggerParts is what the rows of triggers need.
type TriggerParts struct {
	Store   TriggerStore
	Pauses  TriggerPauses
	Tester  TriggerTester
	Figures func(ctx context.Context, application string) ([]TriggerFigure, error)
}

// TriggerRoutes are the rows of triggers.
func TriggerRoutes(parts TriggerParts) []Route {
	h := triggerHandlers{parts}
	const one = "/api/v1/triggers/{application}/{name}"
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/triggers", Action: identity.Read, Handler: h.list,
			Summary: "List triggers, by application and in the order of its delivery", Paged: true, Response: api.Trigger{},
			Query: []Param{{"application", "Only triggers of this application."}},
		},
		{
			Method: http.MethodGet, Pattern: one, Action: identity.Read, Handler: h.show,
			Summary: "Show a trigger, when it last fired and why it did not", Response: api.Trigger{},
		},
		{
			Method: http.MethodPost, Pattern: one + "/pause", Action: identity.PauseTrigger, Handler: h.pause,
			Summary: "Pause a trigger: what comes meanwhile is ignored", Request: api.PauseRequest{}, Response: api.Trigger{},
		},
		{
			Method: http.MethodPost, Pattern: one + "/resume", Action: identity.PauseTrigger, Handler: h.resume,
			Summary: "Let a paused trigger go on", Response: api.Trigger{},
		},
		{
			Method: http.MethodPost, Pattern: one + "/test", Action: identity.TestTrigger, Handler: h.test,
			Summary: "Say what an event would bring about at a trigger, without effect", Request: api.TriggerTestRequest{}, Response: api.TriggerTest{},
		},
	}
}

type triggerHandlers struct{ TriggerParts }

func (h triggerHandlers) list(w http.ResponseWriter, r *http.Request) error {
	names, err := chosen(r.Context(), h.Store, r.URL.Query().Get("application"))
	if err != nil {
		return err
	}
	var out []api.Trigger
	for _, name := range names {
		list, err := h.of(r.Context(), name)
		if err != nil {
			return err
		}
		out = append(out, list...)
	}
	return replySlice(w, r, out, func(t api.Trigger) string { return t.Application + "/" + t.Name })
}

// chosen is the one application that a request names, or every one.
func chosen(ctx context.Context, store ApplicationLister, name string) ([]string, error) {
	if name != "" {
		return []string{name}, nil
	}
	var out []string
	for after := ""; ; after = out[len(out)-1] {
		names, err := store.Applications(ctx, after, storeLimit)
		if err != nil || len(names) == 0 {
			return out, err
		}
		out = append(out, names...)
	}
}

// of are the triggers of one application.
func (h triggerHandlers) of(ctx context.Context, application string) ([]api.Trigger, error) {
	d, version, err := h.Store.Delivery(ctx, application, 0)
	if err != nil {
		return nil, err
	}
	figures, err := h.Figures(ctx, application)
	if err != nil {
		return nil, err
	}
	clocks, err := h.Store.Clocks(ctx, application)
	if err != nil {
		return nil, err
	}
	var out []api.Trigger
	for _, t := range d.Application(version).Triggers {
		v := api.Trigger{Application: application, Delivery: version, TriggerRule: api.TriggerRuleOf(t)}
		pause, err := h.Pauses.Paused(ctx, application, t.Name)
		if err != nil {
			return nil, err
		}
		if pause.By != "" {
			v.Paused = &api.Pause{By: pause.By, Reason: pause.Reason, At: pause.At}
		}
		if i := slices.IndexFunc(figures, func(f TriggerFigure) bool { return f.Trigger == t.Name }); i >= 0 {
			v.Last, v.LastFired = api.OutcomeOf(figures[i].Last), api.OutcomeOf(figures[i].Accepted)
		}
		v.Polls, v.Next = polls(t, clocks)
		out = append(out, v)
	}
	return out, nil
}

// polls are what is looked at for a trigger, and when the next of it is due.
func polls(t bridge.Trigger, clocks []bridge.Clock) (out []api.Poll, next *time.Time) {
	out = []api.Poll{}
	for _, c := range clocks {
		own := c.Kind != bridge.ClockRegistry && c.Name == t.Name
		if !own && (c.Kind != bridge.ClockRegistry || t.On != bridge.OnArtifact || !slices.Contains(t.Artifacts, c.Name)) {
			continue
		}
		p := api.PollOf(c)
		if p.Next != nil && (next == nil || p.Next.Before(*next)) {
			next = p.Next
		}
		out = append(out, p)
	}
	return out, next
}

// one is the trigger that the path names.
func (h triggerHandlers) one(r *http.Request) (api.Trigger, error) {
	application, name := r.PathValue("application"), r.PathValue("name")
	list, err := h.of(r.Context(), application)
	if err != nil {
		return api.Trigger{}, err
	}
	if i := slices.IndexFunc(list, func(t api.Trigger) bool { return t.Name == name }); i >= 0 {
		return list[i], nil
	}
	return api.Trigger{}, fault.New(fault.NotFound, "%s has no trigger %.80q", application, name).
		WithHint("drawbridge trigger list --application %s", application)
}

func (h triggerHandlers) show(w http.ResponseWriter, r *http.Request) error {
	t, err := h.one(r)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, t)
}

// maxReason is the longest reason of a pause, in bytes.
const maxReason = 1000

func (h triggerHandlers) pause(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.PauseRequest](r)
	if err != nil {
		return err
	}
	if len(in.Reason) > maxReason {
		return fault.New(fault.TooLarge, "has more than %d bytes", maxReason).WithField("reason")
	}
	return h.set(w, r, bridge.Pause{By: Token(r.Context()).Name, Reason: in.Reason})
}

func (h triggerHandlers) resume(w http.ResponseWriter, r *http.Request) error {
	return h.set(w, r, bridge.Pause{})
}

// set keeps a pause and answers the trigger as it is then.
func (h triggerHandlers) set(w http.ResponseWriter, r *http.Request, pause bridge.Pause) error {
	t, err := h.one(r)
	if err != nil {
		return err
	}
	if err := h.Pauses.SetPause(r.Context(), Token(r.Context()).Name, t.Application, t.Name, pause); err != nil {
		return err
	}
	return h.show(w, r)
}

func (h triggerHandlers) test(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.TriggerTestRequest](r)
	if err != nil {
		return err
	}
	if in.Event < 1 {
		return fault.New(fault.Invalid, "is missing").WithField("event").WithHint("name an event that came before: drawbridge event list")
	}
	out, err := h.Tester.Test(r.Context(), r.PathValue("application"), r.PathValue("name"), in.Event)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.TriggerTestOf(out))
}
