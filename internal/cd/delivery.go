package cd

import (
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

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
	Artifacts    []ArtifactSpec `json:"artifacts" jsonschema:"minItems=1,maxItems=1"`
	Triggers     []TriggerSpec  `json:"triggers"`
	Environments []Environment  `json:"environments" jsonschema:"minItems=1"`
}

// ArtifactSpec names an artifact and what must be proven of it.
type ArtifactSpec struct {
	Name    string      `json:"name"`
	Image   string      `json:"image" jsonschema:"description=[host/]repository; without a host: this server's registry."`
	Source  *SourceSpec `json:"source,omitempty"`
	Signers []string    `json:"signers,omitempty" jsonschema:"description=Who may vouch for it; omitted: ci."`
	Require []string    `json:"require,omitempty" jsonschema:"description=Attestations without which nothing crosses; omitted: signature and provenance."`
}

// SourceSpec is where an artifact must have been built from.
type SourceSpec struct {
	Repository string   `json:"repository,omitempty" jsonschema:"description=Git repository; omitted: the one on this server with the delivery's name."`
	Refs       []string `json:"refs,omitempty" jsonschema:"description=Refs; a trailing * stands for the rest. Omitted: refs/heads/main and refs/tags/v*."`
}

// TriggerSpec says on which event which environment is asked for.
type TriggerSpec struct {
	Name     string    `json:"name"`
	On       string    `json:"on" jsonschema:"enum=artifact"`
	Artifact string    `json:"artifact"`
	Tags     *TagsSpec `json:"tags,omitempty"`
	Promote  string    `json:"promote"`
}

// TagsSpec says which tags a trigger takes.
type TagsSpec struct {
	Semver string `json:"semver" jsonschema:"description=Constraint such as >=1.0.0-0."`
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

// Signer and refs that hold where the file says nothing.
const defaultSigner = "ci"

func defaultRefs() []string    { return []string{"refs/heads/main", "refs/tags/v*"} }
func defaultRequire() []string { return []string{"signature", "provenance"} }

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

// Application is the part of d that the bridge judges by; version is d's.
func (d Delivery) Application(version int64) bridge.Application {
	app := bridge.Application{Name: d.Name, Delivery: version}
	for _, a := range d.Artifacts {
		image, err := artifact.ParseReference(a.Image)
		if err != nil {
			panic("cd: a parsed delivery holds a malformed image: " + err.Error())
		}
		rule := bridge.ArtifactRule{
			Name: a.Name, Image: image, Repository: d.Name, Refs: defaultRefs(),
			Signers: []string{defaultSigner}, Require: defaultRequire(),
		}
		if s := a.Source; s != nil {
			if s.Repository != "" {
				rule.Repository = s.Repository
			}
			if len(s.Refs) > 0 {
				rule.Refs = s.Refs
			}
		}
		if len(a.Signers) > 0 {
			rule.Signers = a.Signers
		}
		if len(a.Require) > 0 {
			rule.Require = a.Require
		}
		app.Artifacts = append(app.Artifacts, rule)
	}
	for _, t := range d.Triggers {
		tr := bridge.Trigger{Name: t.Name, Artifact: t.Artifact, Promote: t.Promote}
		if t.Tags != nil {
			tr.Semver = t.Tags.Semver
		}
		app.Triggers = append(app.Triggers, tr)
	}
	return app
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

func validSemver(s string) error {
	_, err := semver.NewConstraint(s)
	return err
}

func validRef(s string) bool {
	return strings.HasPrefix(s, "refs/") && !strings.ContainsAny(s, " \t\x00") && strings.Count(s, "*") <= 1 &&
		(!strings.Contains(s, "*") || strings.HasSuffix(s, "*"))
}
