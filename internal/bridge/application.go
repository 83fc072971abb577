package bridge

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// Application is what the bridge needs of a delivery: whose artifacts may cross, on
// whose word, and which triggers wait for them. A value is valid; cd makes it from the file.
type Application struct {
	Name         string         `json:"name"`
	Delivery     int64          `json:"delivery"` // version of the delivery that says so
	Artifacts    []ArtifactRule `json:"artifacts"`
	Triggers     []Trigger      `json:"triggers"`
	Environments []string       `json:"environments"`
}

// ArtifactRule says what must be proven of one artifact before it crosses.
type ArtifactRule struct {
	Name       string             `json:"name"`
	Image      artifact.Reference `json:"image"`             // without tag and digest
	Repository string             `json:"repository"`        // source that its provenance must name
	Refs       []string           `json:"refs"`              // refs that it may be built from; a trailing * stands for the rest
	Signers    []string           `json:"signers"`           // who may vouch for it
	Require    []string           `json:"require"`           // attestations without which nothing crosses
	Wait       time.Duration      `json:"wait,omitempty"`    // how long evidence that is still being attached is waited for
	Poll       time.Duration      `json:"poll,omitempty"`    // how often the registry is looked at; 0 means never
	Package    *PackageRule       `json:"package,omitempty"` // it is a file that the bridge wraps as an artifact of Image
}

// PackageRule says where a file comes from that is no image: an asset of a release of a
// Git host, or a file of a package registry. The bridge wraps it, as an artifact with one
// layer, and verifies what vouches for the file's digest.
type PackageRule struct {
	Kind    string `json:"kind"`              // "github", "gitea" or "gitlab" (release assets), "maven" or "npm"
	URL     string `json:"url"`               // base address of the host's API or of the package registry
	Name    string `json:"name"`              // repository "acme/shop", "group:artifact" of Maven, name of npm
	File    string `json:"file,omitempty"`    // asset's name, a pattern as path.Match has it, {version} stands for the version; of Maven extension or classifier:extension
	Version string `json:"version,omitempty"` // unused in rules; the tag or version that is wanted, when it is asked for
}

// Demand is the rule as attest judges it.
func (a ArtifactRule) Demand() attest.Demand {
	return attest.Demand{Signers: a.Signers, Require: a.Require, Repository: a.Repository, Refs: a.Refs, Image: a.Image, File: a.Package != nil}
}

// Artifact finds an artifact by its name.
func (a Application) Artifact(name string) (ArtifactRule, bool) {
	i := slices.IndexFunc(a.Artifacts, func(r ArtifactRule) bool { return r.Name == name })
	if i < 0 {
		return ArtifactRule{}, false
	}
	return a.Artifacts[i], true
}

// Trigger finds a trigger by its name.
func (a Application) Trigger(name string) (Trigger, bool) {
	i := slices.IndexFunc(a.Triggers, func(t Trigger) bool { return t.Name == name })
	if i < 0 {
		return Trigger{}, false
	}
	return a.Triggers[i], true
}

// Keys are the names under which facts find the application: its images, the Git
// repositories and packages that its triggers watch, the receivers that they name, and
// itself. A fact that shares none of them (Fact.Keys, or its receiver) concerns it not.
func (a Application) Keys() []string {
	out := []string{applicationKey(a.Name)}
	for _, r := range a.Artifacts {
		out = append(out, imageKey(r.Image))
		if p := r.Package; p != nil && (p.Kind == "maven" || p.Kind == "npm") {
			out = append(out, packageKey(p.Kind, p.Name))
		}
	}
	for _, t := range a.Triggers {
		if t.Repository != "" {
			out = append(out, gitKey(t.Repository))
		}
		if t.Receiver != "" {
			out = append(out, receiverKey(t.Receiver))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// EventKeys are the keys by which applications are found that e may concern.
func EventKeys(e Event) []string { return append(e.Fact.Keys(), receiverKey(e.Receiver)) }

// TriggerKind is the kind of events that a trigger waits for.
type TriggerKind string

// The kinds of triggers.
const (
	OnArtifact TriggerKind = "artifact" // an image stands under a tag that the rule takes
	OnRelease  TriggerKind = "release"  // a tag, a forge's release or a package; matched to artifacts by the commit in their provenance
	OnManual   TriggerKind = "manual"   // a person asks, with typed inputs
	OnSchedule TriggerKind = "schedule" // a time has come: hand over what another environment runs
	OnWebhook  TriggerKind = "webhook"  // a delivery at one receiver names a version
	OnGit      TriggerKind = "git"      // a commit states which releases are expected
	OnEvent    TriggerKind = "event"    // a CloudEvent of a type names a version
)

// TriggerKinds lists every kind.
func TriggerKinds() []TriggerKind {
	return []TriggerKind{OnArtifact, OnRelease, OnManual, OnSchedule, OnWebhook, OnGit, OnEvent}
}

// Trigger is a rule: on this kind of event, under this condition, ask for that environment.
// Which fields count depends on On.
type Trigger struct {
	Name      string        `json:"name"`
	On        TriggerKind   `json:"on"`
	Receiver  string        `json:"receiver,omitempty"`  // events of this receiver alone; webhook and event need one
	Artifacts []string      `json:"artifacts,omitempty"` // artifact, release: what a release is made of, in the delivery's order
	Together  Together      `json:"together,omitempty"`  // of several artifacts: how they are matched
	Tags      TagRule       `json:"tags,omitzero"`       // artifact, release: which tags count
	Platform  string        `json:"platform,omitempty"`  // artifact: "linux/amd64", which the image must have
	When      string        `json:"when,omitempty"`      // condition: event, body, headers, evidence
	Version   string        `json:"version,omitempty"`   // webhook, event: expression that gives the release's version
	Type      string        `json:"type,omitempty"`      // event: CloudEvents type; a trailing * stands for the rest
	Wait      time.Duration `json:"wait,omitempty"`      // how long a partial set or a version that has not crossed is waited for
	Promote   string        `json:"promote,omitempty"`   // environment that is asked for; of git: the commit names them
	Preset    string        `json:"preset,omitempty"`    // webhook: the name under which the delivery took conditions from us; they stand in When and Version
	Freeze    []string      `json:"freeze,omitempty"`    // webhook: environments that an alert freezes, in place of Promote; see Freeze
	For       time.Duration `json:"for,omitempty"`       // webhook: how long a freeze lasts at most

	Cron     string `json:"cron,omitempty"`     // schedule
	Timezone string `json:"timezone,omitempty"` // schedule
	From     string `json:"from,omitempty"`     // schedule: environment whose release is handed over
	CatchUp  bool   `json:"catchUp,omitempty"`  // schedule: after downtime run once, else skip what was missed

	Repository string        `json:"repository,omitempty"` // release, git: as Fact's GitRef names it
	Branch     string        `json:"branch,omitempty"`     // git
	Path       string        `json:"path,omitempty"`       // git: folder of the environments' files
	Signed     bool          `json:"signed,omitempty"`     // git: commits must be signed by a signer of the Policy
	Repair     bool          `json:"repair,omitempty"`     // git: what drifted is asked for again
	Poll       time.Duration `json:"poll,omitempty"`       // release, git: how often the repository is looked at; 0 means never

	Inputs json.RawMessage `json:"inputs,omitempty"` // manual: JSON Schema of an object
}

// Together says how the artifacts of one release are matched.
type Together string

// The ways.
const (
	SameTag    Together = "tag"    // each stands under the same tag
	SameCommit Together = "commit" // the verified provenance of each names the same commit
	AllNewer   Together = "newer"  // each has an artifact that is newer than the one in the trigger's last release
)

// DefaultWait is how long a trigger waits for what belongs together when it names no time.
const DefaultWait = 24 * time.Hour

func (t Trigger) wait() time.Duration {
	if t.Wait > 0 {
		return t.Wait
	}
	return DefaultWait
}

// patience is how long evidence of the trigger's artifacts is waited for.
func (a Application) patience(t Trigger) time.Duration {
	var most time.Duration
	for _, name := range t.Artifacts {
		if r, ok := a.Artifact(name); ok {
			most = max(most, r.Wait)
		}
	}
	return most
}

// takes reports whether t waits for events of e's kind at e's door; what does not even
// fit makes no handoff.
func (t Trigger) takes(e Event, app Application) bool {
	if t.Receiver != "" && t.Receiver != e.Receiver {
		return false
	}
	f := e.Fact
	if f.Trigger != nil {
		return f.Trigger.Application == app.Name && f.Trigger.Trigger == t.Name
	}
	switch t.On {
	case OnArtifact:
		return f.Kind == KindArtifact && t.watches(app, f.Artifact)
	case OnRelease:
		return f.Kind == KindRelease && (t.sameRepository(f.Git) || t.samePackage(app, f.Package))
	case OnGit:
		return f.Kind == KindPush && t.sameRepository(f.Git) && f.Git.Ref == "refs/heads/"+t.Branch
	case OnWebhook:
		return t.Receiver != ""
	case OnEvent:
		return f.Kind != KindPerson && f.Kind != KindClock && t.ofType(f.Type)
	case OnManual, OnSchedule:
		return false // they are named by the fact
	}
	return false
}

func (t Trigger) watches(app Application, image artifact.Reference) bool {
	return slices.ContainsFunc(t.Artifacts, func(name string) bool {
		r, ok := app.Artifact(name)
		return ok && r.Package == nil && r.Image.Name() == image.Name()
	})
}

func (t Trigger) sameRepository(g *GitRef) bool {
	return g != nil && t.Repository != "" && (g.Repository == t.Repository || slices.Contains(g.Also, t.Repository))
}

func (t Trigger) samePackage(app Application, p *Package) bool {
	return p != nil && slices.ContainsFunc(t.Artifacts, func(name string) bool {
		r, ok := app.Artifact(name)
		return ok && r.Package != nil && r.Package.Kind == p.Type && r.Package.Name == p.Name
	})
}

func (t Trigger) ofType(kind string) bool {
	if head, ok := strings.CutSuffix(t.Type, "*"); ok {
		return strings.HasPrefix(kind, head)
	}
	return t.Type == kind
}
