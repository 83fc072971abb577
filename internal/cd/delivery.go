package cd

import (
	"fmt"
	"regexp"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/yamlfile"
)

// Delivery is the file that describes an application: its artifacts, its triggers and
// its environments. ParseDelivery makes a valid one.
type Delivery struct {
	APIVersion   string         `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind         string         `json:"kind" jsonschema:"enum=Delivery"`
	Name         string         `json:"name" jsonschema:"description=Name of the application: lower-case letters\\, digits and hyphens."`
	Artifacts    []ArtifactSpec `json:"artifacts" jsonschema:"minItems=1,maxItems=20,description=What a release is made of."`
	Triggers     []TriggerSpec  `json:"triggers" jsonschema:"maxItems=100,description=On which event which environment is asked for; omitted: people ask."`
	Environments []Environment  `json:"environments" jsonschema:"minItems=1,description=Places that run one release of the application; each stands below those that it comes after."`
}

// Environment is a place that runs one release of the application.
type Environment struct {
	Name     string        `json:"name"`
	After    []string      `json:"after,omitempty" jsonschema:"description=Environments that must have finished a release before it may come here."`
	Auto     bool          `json:"auto,omitempty" jsonschema:"description=Open the promotion when a release may come here."`
	Approval *ApprovalSpec `json:"approval,omitempty"`
	Rollout  *RolloutSpec  `json:"rollout,omitempty"`
	Target   TargetSpec    `json:"target"`
}

// ApprovalSpec says who must agree.
type ApprovalSpec struct {
	Required int      `json:"required" jsonschema:"minimum=1,maximum=20"`
	Exclude  []string `json:"exclude,omitempty" jsonschema:"enum=requester,enum=author"`
}

// RolloutSpec says how traffic moves; omitted: all at once.
type RolloutSpec struct {
	Canary *CanarySpec `json:"canary,omitempty"`
}

// CanarySpec moves traffic by weights with pauses between them.
type CanarySpec struct {
	Steps []CanaryStep `json:"steps" jsonschema:"minItems=1"`
	Undo  *UndoSpec    `json:"undo,omitempty"`
}

// CanaryStep is a weight or a pause: exactly one of them.
type CanaryStep struct {
	Weight int      `json:"weight,omitempty" jsonschema:"minimum=1,maximum=100"`
	Pause  Duration `json:"pause,omitempty"`
}

// UndoSpec says by which figures a canary is undone without a person.
type UndoSpec struct {
	Errors   float64  `json:"errors,omitempty" jsonschema:"description=Share of the candidate's requests that may fail\\, 0 to 1; omitted: none may."`
	Requests int64    `json:"requests,omitempty" jsonschema:"description=Requests that the candidate must have answered before a pause ends."`
	Timeout  Duration `json:"timeout,omitempty" jsonschema:"description=How long a pause waits for those requests before it is undone; omitted: 10m."`
}

// Limits of a delivery.
const (
	MaxArtifacts = 20  // of one delivery
	MaxTriggers  = 100 // of one delivery
)

var nameForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseDelivery reads a delivery file; file is its name as the user knows it. Every
// mistake is a fault with line and column.
func ParseDelivery(file string, src []byte) (Delivery, error) {
	var d Delivery
	f, err := yamlfile.Decode(file, src, &d)
	if err != nil {
		return Delivery{}, err
	}
	c := &checker{file: f, d: &d}
	c.header()
	c.artifacts()
	c.environments()
	c.triggers()
	if c.err != nil {
		return Delivery{}, c.err
	}
	return d, nil
}

// ReadDelivery reads a delivery that was applied before: name is its application. It was
// right by the checks of that day, so that those of a newer server stop neither it nor the
// applications that wait for the same. What cannot be read at all is a fault.
func ReadDelivery(name string, src []byte) (Delivery, error) {
	var d Delivery
	f, err := yamlfile.Decode(name, src, &d)
	if err != nil {
		return Delivery{}, err
	}
	for i, a := range d.Artifacts {
		if _, err := artifact.ParseReference(a.image(d.Name)); err != nil {
			return Delivery{}, f.At(fmt.Sprintf("artifacts[%d].image", i), "%v", err)
		}
	}
	return d, nil
}

// Application is the part of d that the bridge judges by; version is d's. Its
// environments stand in the delivery's order.
func (d Delivery) Application(version int64) bridge.Application {
	app := bridge.Application{Name: d.Name, Delivery: version}
	for _, a := range d.Artifacts {
		app.Artifacts = append(app.Artifacts, a.rule(d.Name))
	}
	for _, t := range d.Triggers {
		app.Triggers = append(app.Triggers, t.trigger(d))
	}
	for _, e := range d.Environments {
		app.Environments = append(app.Environments, e.Name)
	}
	return app
}

// artifact finds an artifact by its name.
func (d Delivery) artifact(name string) (ArtifactSpec, bool) {
	i := slices.IndexFunc(d.Artifacts, func(a ArtifactSpec) bool { return a.Name == name })
	if i < 0 {
		return ArtifactSpec{}, false
	}
	return d.Artifacts[i], true
}

// Environment finds an environment by its name.
func (d Delivery) Environment(name string) (Environment, bool) {
	i := slices.IndexFunc(d.Environments, func(e Environment) bool { return e.Name == name })
	if i < 0 {
		return Environment{}, false
	}
	return d.Environments[i], true
}

// listen is the address that the environment asks for.
func (e Environment) listen() string {
	if p := e.Target.Process; p != nil && p.Listen != "" {
		return p.Listen
	}
	return "127.0.0.1:0"
}

// canary is the environment's canary, nil when it moves all at once.
func (e Environment) canary() *CanarySpec {
	if e.Rollout == nil {
		return nil
	}
	return e.Rollout.Canary
}
