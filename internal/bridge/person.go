package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"drawbridge/internal/fault"
)

// Wish is what a person asks for: a release in an environment, through a manual trigger
// or without one.
type Wish struct {
	Actor       string         // authenticated identity
	Key         string         // of the request: a repetition asks once
	Application string         // needed with Trigger
	Trigger     string         // "" asks without one
	Release     Release        // that crossed before
	Environment string         // "" with a trigger means its environment
	Inputs      map[string]any // of the trigger's schema
	Note        string
}

// Ask hands over a release because a person asked. Nothing is bypassed: it waits for
// approvals and everything else like any other. It returns the handoff.
func (s *Service) Ask(ctx context.Context, w Wish) (Handoff, error) {
	now := s.now()
	app, t, err := s.asked(ctx, w)
	if err != nil {
		return Handoff{}, err
	}
	if w.Environment == "" {
		w.Environment = t.Promote
	}
	if err := t.CheckInputs(w.Inputs); err != nil {
		if f := fault.As(err); f != nil && f.Hint != "" {
			err = f.WithHint("drawbridge trigger show %s/%s", app.Name, t.Name)
		}
		return Handoff{}, err
	}
	cause := Cause{Kind: ByPerson, Actor: w.Actor, Note: w.Note}
	starts, err := s.Planner.Plan(ctx, Request{Release: w.Release, Environment: w.Environment, Cause: cause, Inputs: w.Inputs})
	if err != nil {
		return Handoff{}, err
	}
	ev := Event{
		Receiver: DoorPerson, Key: w.Key, Sender: w.Actor, State: EventProcessed, Received: now,
		Fact: Fact{
			Kind: KindPerson, Type: "promote", Subject: fmt.Sprintf("%s@%s to %s", w.Release.Application, w.Release.Version, w.Environment),
			Actor: w.Actor, At: now, Chain: w.Release.Chain, Trigger: &TriggerRef{Application: w.Release.Application, Trigger: w.Trigger},
		},
	}
	h := Handoff{
		Application: w.Release.Application, Trigger: w.Trigger, State: Accepted, Reason: "asked for by " + w.Actor + because(w.Note),
		Version: w.Release.Version, Release: w.Release.ID, Once: "person/" + w.Key, Actor: w.Actor, Delivery: app.Delivery,
		Chain: w.Release.Chain, At: now, Asked: []Asked{{Environment: w.Environment, Release: w.Release.ID, Version: w.Release.Version}},
	}
	ids, err := s.Ledger.Cross(ctx, Crossing{Event: ev, Outcomes: []Outcome{{Handoff: h, Starts: starts}}})
	if err != nil {
		return Handoff{}, err
	}
	return s.Ledger.Handoff(ctx, ids[0])
}

// asked finds the application and the manual trigger that a person names.
func (s *Service) asked(ctx context.Context, w Wish) (Application, Trigger, error) {
	apps, err := s.Ledger.Concerned(ctx, []string{applicationKey(w.Release.Application)})
	if err != nil {
		return Application{}, Trigger{}, err
	}
	if len(apps) == 0 {
		return Application{}, Trigger{}, fault.New(fault.NotFound, "there is no application %q", w.Release.Application).WithHint("drawbridge status")
	}
	app := apps[0]
	if w.Trigger == "" {
		if len(w.Inputs) > 0 {
			return app, Trigger{}, fault.New(fault.Invalid, "inputs belong to a manual trigger").WithField("inputs").WithHint("name it: --trigger NAME")
		}
		return app, Trigger{}, nil
	}
	t, ok := app.Trigger(w.Trigger)
	if !ok || t.On != OnManual {
		return app, t, fault.New(fault.NotFound, "%s has no manual trigger %q", app.Name, w.Trigger).WithField("trigger").
			WithHint("drawbridge trigger list --application %s", app.Name)
	}
	if w.Environment != "" && w.Environment != t.Promote {
		return app, t, fault.New(fault.Invalid, "trigger %s promotes to %s, not to %s", t.Name, t.Promote, w.Environment).WithField("environment")
	}
	pause, err := s.Ledger.Paused(ctx, app.Name, t.Name)
	if err == nil && pause.By != "" {
		err = fault.New(fault.Blocked, "trigger %s is paused by %s%s", t.Name, pause.By, because(pause.Reason)).WithHint("drawbridge trigger resume %s/%s", app.Name, t.Name)
	}
	return app, t, err
}

// inputSchema names the document that a manual trigger's schema is compiled as.
const inputSchema = "drawbridge:inputs"

// CheckInputs checks a person's inputs against the trigger's schema. A trigger without
// one takes none.
func (t Trigger) CheckInputs(inputs map[string]any) error {
	if len(t.Inputs) == 0 {
		if len(inputs) > 0 {
			return fault.New(fault.Invalid, "trigger %q takes no inputs", t.Name).WithField("inputs")
		}
		return nil
	}
	schema, err := compileInputs(t.Inputs)
	if err != nil {
		return err
	}
	if inputs == nil {
		inputs = map[string]any{}
	}
	if err := schema.Validate(inputs); err != nil {
		return fault.New(fault.Invalid, "the inputs do not fit: %s", firstLine(err)).WithField("inputs").
			WithHint("drawbridge trigger show APP/%s", t.Name)
	}
	return nil
}

// CheckInputSchema reads the schema of a manual trigger's inputs.
func CheckInputSchema(schema json.RawMessage) error {
	_, err := compileInputs(schema)
	return err
}

// compileInputs compiles a schema that stands alone: nothing is loaded from anywhere.
func compileInputs(src json.RawMessage) (*jsonschema.Schema, error) {
	bad := func(err error) error {
		return fault.New(fault.Invalid, "the inputs' schema cannot be read: %s", firstLine(err)).WithField("inputs").
			WithHint("write a JSON Schema of an object: {type: object, properties: {…}}")
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(src)))
	if err != nil {
		return nil, bad(err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(inputSchema, doc); err != nil {
		return nil, bad(err)
	}
	schema, err := c.Compile(inputSchema)
	if err != nil {
		return nil, bad(err)
	}
	return schema, nil
}

// noLoader refuses what a schema refers to outside itself.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside of the schema", url)
}

func firstLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) > 1 && strings.HasSuffix(lines[0], "'") || len(lines) > 1 && strings.Contains(lines[0], "validation failed") {
		return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[1]), "- "))
	}
	return lines[0]
}
