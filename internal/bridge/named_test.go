package bridge_test

import (
	"encoding/json"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// crossed is a world in which version 1.0.0 of shop has crossed, and 1.1.0 after it.
func crossed(t *testing.T, trigger string) *world {
	t.Helper()
	w := newWorld(t, withTrigger("{name: published, on: artifact}\n  - "+trigger))
	w.want(w.tell(w.image("shop/web", "1.0.0", "a", made{commit: commitOf("a")})), bridge.Accepted, "")
	w.now = w.now.Add(time.Hour)
	w.want(w.tell(w.image("shop/web", "1.1.0", "b", made{commit: commitOf("b")})), bridge.Accepted, "")
	return w
}

// ticket is a delivery at a receiver.
func ticket(receiver, body string) bridge.Message {
	return bridge.Message{
		Receiver: receiver, Sender: receiver, Headers: map[string]string{"x-kind": "change"}, Body: []byte(body),
		Facts: []bridge.Fact{{Kind: bridge.KindTicket, Type: "jira:issue_updated", Subject: "PROJ-12", Actor: "carol"}},
	}
}

func TestWebhookTrigger(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: ticket, on: webhook, receiver: jira, when: 'body.transition.to_status == "Approved" && headers["x-kind"] == "change"',
     release: body.issue.version, promote: staging}`)
	for _, tt := range []struct {
		body  string
		state bridge.HandoffState
		want  string
	}{
		{`{"transition":{"to_status":"Approved"},"issue":{"version":"1.0.0"}}`, bridge.Accepted, "names version 1.0.0"},
		{`{"transition":{"to_status":"Rejected"},"issue":{"version":"1.0.0"}}`, bridge.Ignored, "does not hold"},
		{`{"transition":{"to_status":"Approved"},"issue":{"version":"9.9.9"}}`, bridge.Refused, "no version 9.9.9 of shop has crossed"},
		{`{"transition":{"to_status":"Approved"},"issue":{"version":"  "}}`, bridge.Refused, "names no version"},
		{`{"transition":{"to_status":"Approved"},"issue":{"version":7}}`, bridge.Refused, "names no version"},
		{`{"transition":{}}`, bridge.Ignored, "to_status"},
		{`not json`, bridge.Ignored, "cannot be judged"},
	} {
		w.want(w.only(w.receive(ticket("jira", tt.body))), tt.state, tt.want)
	}
	if list := w.receive(ticket("other", `{"transition":{"to_status":"Approved"},"issue":{"version":"1.1.0"}}`)); len(list) != 0 {
		t.Errorf("another receiver's delivery gave %+v", list)
	}
	if got := w.opened(); len(got) != 1 || got[0] != "staging 1.0.0" {
		t.Errorf("opened %v, want staging 1.0.0", got)
	}
}

// A person cannot be the requester of what a ticket asks for: its receiver is.
func TestRequesterOfATicket(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: ticket, on: webhook, receiver: jira, release: body.v, promote: staging}`)
	w.receive(ticket("jira", `{"v":"1.1.0"}`))
	list, err := w.store.Promotions(t.Context(), cd.PromotionFilter{})
	if err != nil || len(list) != 1 || list[0].Requester != "jira" || list[0].Author != "alice" {
		t.Errorf("promotions %+v, %v, want one that jira asked for", list, err)
	}
}

func TestTicketBeforeItsVersion(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: ticket, on: webhook, receiver: jira, release: body.v, wait: 1h, promote: staging}`)
	h := w.only(w.receive(ticket("jira", `{"v":"1.2.0"}`)))
	w.want(h, bridge.Waiting, "waits until version 1.2.0 of shop crosses")
	w.tell(w.image("shop/web", "1.2.0", "c", made{}))
	w.want(w.look(h), bridge.Accepted, "")
	late := w.only(w.receive(ticket("jira", `{"v":"1.3.0"}`)))
	w.now = w.now.Add(2 * time.Hour)
	w.want(w.look(late), bridge.Refused, "did not come within 1h")
}

func TestEventTrigger(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: approved, on: event, type: "dev.cdeventsx.change.*", release: body.version, promote: staging}`)
	fact := bridge.Fact{Kind: bridge.KindEvent, Type: "dev.cdeventsx.change.approved.0.1.0", Source: "/x", Subject: "y"}
	m := bridge.Message{Receiver: bridge.DoorAPI, Sender: "robot", Body: []byte(`{"version":"1.1.0"}`), Facts: []bridge.Fact{fact}}
	w.want(w.only(w.receive(m)), bridge.Accepted, "")
	m.Facts[0].Type = "dev.cdevents.pipelinerun.finished.0.2.0"
	if list := w.receive(m); len(list) != 0 {
		t.Errorf("another type gave %+v", list)
	}
	m.Facts[0].Type, m.Receiver = fact.Type, "stranger"
	if list := w.receive(m); len(list) != 0 {
		t.Errorf("another door gave %+v", list)
	}
}

// done makes as if a promotion of version had been done in an environment.
func (w *world) done(environment, version string) {
	w.t.Helper()
	r, err := w.store.Release(w.t.Context(), "shop@"+version)
	if err != nil {
		w.t.Fatal(err)
	}
	starts, err := cd.Planner{Reader: w.store}.Plan(w.t.Context(), bridge.Request{
		Release: r, Environment: environment, Cause: bridge.Cause{Kind: bridge.ByPerson, Actor: "ops"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := cd.OpenStart(starts[0], bridge.Handoff{At: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := w.store.Open(w.t.Context(), []cd.Promotion{p})
	if err != nil {
		w.t.Fatal(err)
	}
	was := list[0]
	for was.State != cd.Done {
		kind := cd.Begin
		if was.State == cd.Running {
			kind = cd.Advance
		}
		now, err := was.Apply(cd.Event{Kind: kind, Reason: "test"}, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.store.Commit(w.t.Context(), cd.Change{Was: was, Now: now, Actor: "test", Action: "promotion.test"}); err != nil {
			w.t.Fatal(err)
		}
		was = now
	}
}

func clockFact(trigger string, at time.Time) []bridge.Fact {
	return []bridge.Fact{{Kind: bridge.KindClock, Type: "schedule", At: at, Trigger: &bridge.TriggerRef{Application: "shop", Trigger: trigger}}}
}

func TestScheduleTrigger(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: nightly, on: schedule, cron: "0 2 * * *", from: dev, promote: staging}`)
	fire := func() bridge.Handoff {
		w.t.Helper()
		return w.only(w.receive(bridge.Message{Receiver: bridge.DoorClock, Sender: bridge.DoorClock, Facts: clockFact("nightly", w.now)}))
	}
	w.want(fire(), bridge.Ignored, "nothing runs in dev")
	w.done("dev", "1.0.0")
	w.want(fire(), bridge.Accepted, "dev has proven 1.0.0")
	w.done("staging", "1.0.0")
	w.want(fire(), bridge.Ignored, "nothing new: staging runs 1.0.0 already")
	w.done("staging", "1.1.0")
	w.want(fire(), bridge.Ignored, "nothing new: staging runs the newer 1.1.0")
	w.done("dev", "1.1.0")
	if list := w.receive(bridge.Message{Receiver: bridge.DoorClock, Sender: bridge.DoorClock, Facts: clockFact("published", w.now)}); len(list) > 1 {
		t.Errorf("a clock rang at %+v", list)
	}
}

func TestManualTrigger(t *testing.T) {
	t.Parallel()
	w := crossed(t, `{name: hotfix, on: manual, promote: staging,
     inputs: {type: object, required: [ticket], properties: {ticket: {type: string, pattern: "^OPS-[0-9]+$"}, replicas: {type: integer}}, additionalProperties: false}}`)
	r, err := w.store.Release(t.Context(), "shop@1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	wish := bridge.Wish{Actor: "bob", Key: "k1", Trigger: "hotfix", Release: r, Note: "urgent"}
	for name, tt := range map[string]struct {
		inputs map[string]any
		kind   fault.Kind
	}{
		"none":    {nil, fault.Invalid},
		"a lie":   {map[string]any{"ticket": "x"}, fault.Invalid},
		"unknown": {map[string]any{"ticket": "OPS-1", "x": 1.0}, fault.Invalid},
	} {
		wish.Inputs = tt.inputs
		if _, err := w.bridge.Ask(t.Context(), wish); !fault.Is(err, tt.kind) || fault.As(err).Field != "inputs" || fault.As(err).Hint != "drawbridge trigger show shop/hotfix" {
			t.Errorf("%s: %v, want %v of inputs", name, err, tt.kind)
		}
	}
	wish.Inputs = map[string]any{"ticket": "OPS-7", "replicas": 3.0}
	h, err := w.bridge.Ask(t.Context(), wish)
	if err != nil || h.State != bridge.Accepted || h.Actor != "bob" || h.Asked[0].Environment != "staging" {
		t.Fatalf("Ask = %+v, %v", h, err)
	}
	ev, err := w.store.Event(t.Context(), h.Event)
	if err != nil || ev.State != bridge.EventProcessed || ev.Receiver != bridge.DoorPerson || ev.Sender != "bob" {
		t.Errorf("event %+v, %v", ev, err)
	}
	list, err := w.store.Promotions(t.Context(), cd.PromotionFilter{})
	if err != nil || len(list) != 1 || list[0].Requester != "bob" || list[0].Plan.Inputs["ticket"] != "OPS-7" {
		t.Errorf("promotions %+v, %v", list, err)
	}
	if _, err := w.bridge.Ask(t.Context(), wish); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same request again = %v, want conflict", err)
	}
	wish.Trigger, wish.Key, wish.Environment, wish.Inputs = "nope", "k2", "", nil
	if _, err := w.bridge.Ask(t.Context(), wish); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such trigger = %v", err)
	}
	wish.Trigger, wish.Environment = "", "dev"
	wish.Note = ""
	if h, err := w.bridge.Ask(t.Context(), wish); err != nil || h.Trigger != "" {
		t.Errorf("without a trigger = %+v, %v", h, err)
	}
	if list, err = w.store.Promotions(t.Context(), cd.PromotionFilter{}); err != nil || len(list) != 2 || list[0].Causes[0].Note != "handoff 4" {
		t.Errorf("without a note: %+v, %v", list, err)
	}
}

func TestInputSchemaLoadsNothing(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{`{"$ref": "file:///etc/passwd"}`, `{"$ref": "https://example.com/x"}`, `{"type": 7}`, `{`, `[]`} {
		if err := bridge.CheckInputSchema(json.RawMessage(schema)); !fault.Is(err, fault.Invalid) {
			t.Errorf("CheckInputSchema(%s) = %v, want invalid", schema, err)
		}
	}
}
