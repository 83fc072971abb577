package cd

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"time"

	"drawbridge/internal/bridge"
)

// TriggerSpec says on which event which environment is asked for. Which keys it may have
// depends on On; see triggerKeys.
type TriggerSpec struct {
	Name      string             `json:"name" jsonschema:"description=Unique in the delivery."`
	On        bridge.TriggerKind `json:"on" jsonschema:"enum=artifact,enum=release,enum=manual,enum=schedule,enum=webhook,enum=git,enum=event,description=The kind of event that it waits for."`
	Artifact  string             `json:"artifact,omitempty" jsonschema:"description=on artifact\\, release: the one artifact of its releases."`
	Artifacts []string           `json:"artifacts,omitempty" jsonschema:"minItems=1,description=on artifact\\, release: what its releases are made of; omitted: every artifact."`
	Together  bridge.Together    `json:"together,omitempty" jsonschema:"enum=tag,enum=commit,enum=newer,default=tag,description=on artifact: several artifacts belong together when they have the same tag\\, are built from the same commit\\, or are each newer than in the release before."`
	Tags      *TagsSpec          `json:"tags,omitempty" jsonschema:"description=on artifact\\, release: which tags count; omitted: every one."`
	Platform  string             `json:"platform,omitempty" jsonschema:"description=on artifact: what the image must be for\\, such as linux/amd64."`
	When      string             `json:"when,omitempty" jsonschema:"description=on artifact\\, release\\, webhook\\, event: condition in CEL over event\\, body\\, headers; of the first two over evidence too."`
	Receiver  string             `json:"receiver,omitempty" jsonschema:"description=Events of this receiver alone. webhook needs one; of event it is api where it is omitted."`
	Type      string             `json:"type,omitempty" jsonschema:"description=on event: type of the CloudEvent; a trailing * stands for the rest."`
	Release   string             `json:"release,omitempty" jsonschema:"description=on webhook\\, event: expression in CEL over event\\, body\\, headers that gives the version of a release."`
	Wait      Duration           `json:"wait,omitempty" jsonschema:"description=How long what is missing is waited for\\, at most 720h: the rest of a release\\, or a version that has not crossed."`
	Preset    string             `json:"preset,omitempty" jsonschema:"enum=jira,enum=servicenow,enum=alertmanager,enum=pagerduty,description=on webhook: sets when and release\\, as that sender needs them\\, where they are not written here."`
	Freeze    []string           `json:"freeze,omitempty" jsonschema:"minItems=1,description=on webhook: environments that an alert freezes until it ends; * is every one. In place of promote."`
	For       Duration           `json:"for,omitempty" jsonschema:"default=24h,description=on webhook: how long a freeze lasts at most\\, up to 720h."`
	Promote   string             `json:"promote,omitempty" jsonschema:"description=Environment that is asked for. artifact and release may leave it out: then only environments that open by themselves follow."`

	Cron     string `json:"cron,omitempty" jsonschema:"description=on schedule: minute\\, hour\\, day of month\\, month\\, day of week."`
	Timezone string `json:"timezone,omitempty" jsonschema:"description=on schedule: such as Europe/Berlin; omitted: UTC."`
	From     string `json:"from,omitempty" jsonschema:"description=on schedule: environment whose release is handed over."`
	CatchUp  string `json:"catchUp,omitempty" jsonschema:"enum=once,enum=skip,default=skip,description=on schedule: what happens to times that were missed while no server ran."`

	Repository string   `json:"repository,omitempty" jsonschema:"description=on release\\, git: Git repository\\, https://host/path or a name on this server; omitted on release: the package's\\, else the delivery's name."`
	Branch     string   `json:"branch,omitempty" jsonschema:"default=main,description=on git: branch that states what shall run."`
	Path       string   `json:"path,omitempty" jsonschema:"default=environments,description=on git: folder of the files NAME.yaml."`
	Signed     *bool    `json:"signed,omitempty" jsonschema:"default=true,description=on git: commits must be signed by a signer of the Policy."`
	Repair     bool     `json:"repair,omitempty" jsonschema:"description=on git: what drifted is asked for again."`
	Poll       Duration `json:"poll,omitempty" jsonschema:"description=on release\\, git: how often the repository is looked at\\, at least 10s; omitted: never."`

	Inputs map[string]any `json:"inputs,omitempty" jsonschema:"description=on manual: JSON Schema of an object. A process gets each value as INPUT_NAME."`
}

// TagsSpec says which tags a trigger takes; it is bridge.TagRule as a file has it.
type TagsSpec struct {
	Semver  string   `json:"semver,omitempty" jsonschema:"description=Range of versions such as >=1.0.0-0."`
	Regex   string   `json:"regex,omitempty" jsonschema:"description=RE2 over the whole tag; its group named version\\, else its first\\, is the version."`
	Newest  bool     `json:"newest,omitempty" jsonschema:"description=on artifact: only what was built after the last one."`
	Lexical bool     `json:"lexical,omitempty" jsonschema:"description=on artifact: only what comes after the last one by its letters."`
	Digest  string   `json:"digest,omitempty" jsonschema:"description=on artifact: the one tag that moves\\, such as latest; each digest is a version."`
	Ignore  []string `json:"ignore,omitempty" jsonschema:"description=Tags that are never taken: * any text\\, ? one character."`
}

// What holds where a trigger says nothing.
const (
	defaultBranch = "main"
	defaultPath   = "environments"
	catchUpOnce   = "once"
	catchUpSkip   = "skip"
)

// trigger is the trigger as the bridge judges by it. The spec is one that was checked.
func (t TriggerSpec) trigger(d Delivery) bridge.Trigger {
	out := bridge.Trigger{
		Name: t.Name, On: t.On, Receiver: t.Receiver, Platform: t.Platform, When: t.When, Version: t.Release,
		Type: t.Type, Wait: time.Duration(t.Wait), Promote: t.Promote,
		Cron: t.Cron, Timezone: t.Timezone, From: t.From, CatchUp: t.CatchUp == catchUpOnce,
		Repair: t.Repair, Poll: time.Duration(t.Poll), Repository: t.repository(d),
	}
	t.preset(&out)
	if t.Tags != nil {
		out.Tags = bridge.TagRule(*t.Tags)
	}
	switch t.On {
	case bridge.OnArtifact, bridge.OnRelease:
		out.Artifacts = t.artifacts(d)
		if t.On == bridge.OnArtifact && len(out.Artifacts) > 1 {
			out.Together = cmp.Or(t.Together, bridge.SameTag)
		}
	case bridge.OnGit:
		out.Branch, out.Path = cmp.Or(t.Branch, defaultBranch), cleanPath(cmp.Or(t.Path, defaultPath))
		out.Signed = t.Signed == nil || *t.Signed
	case bridge.OnEvent:
		out.Receiver = cmp.Or(t.Receiver, bridge.DoorAPI)
	case bridge.OnManual:
		out.Inputs, _ = t.schema() // the checker has read it
	case bridge.OnWebhook:
		if out.Freeze = t.Freeze; t.Freeze != nil {
			out.For = cmp.Or(time.Duration(t.For), bridge.DefaultFreeze)
		}
	case bridge.OnSchedule:
	}
	return out
}

// artifacts are the names of what the trigger's releases are made of, in the delivery's order.
func (t TriggerSpec) artifacts(d Delivery) []string {
	var out []string
	for _, a := range d.Artifacts {
		if t.Artifact == "" && len(t.Artifacts) == 0 || t.Artifact == a.Name || slices.Contains(t.Artifacts, a.Name) {
			out = append(out, a.Name)
		}
	}
	return out
}

// repository is the address of the repository that the trigger watches; "" for none.
func (t TriggerSpec) repository(d Delivery) string {
	if t.On != bridge.OnRelease && t.On != bridge.OnGit {
		return ""
	}
	if t.Repository != "" {
		address, _ := bridge.NormalRepository(t.Repository)
		return address
	}
	if t.On == bridge.OnGit {
		return ""
	}
	registries := true // each file comes from a package registry, which has no tags of Git
	for _, name := range t.artifacts(d) {
		a, _ := d.artifact(name)
		p := a.Package.rule()
		if address := repositoryOf(p); address != "" {
			return address
		}
		registries = registries && p != nil
	}
	if registries {
		return ""
	}
	return d.Name
}

// cleanPath is a folder as a commit names it; "" is the root.
func cleanPath(p string) string {
	if p = path.Clean(p); p == "." {
		return ""
	}
	return p
}

// schema is the JSON Schema of the trigger's inputs; nil for none. Values that it does not
// name are no inputs.
func (t TriggerSpec) schema() (json.RawMessage, error) {
	if t.Inputs == nil {
		return nil, nil
	}
	whole := map[string]any{"type": "object", "additionalProperties": false}
	maps.Copy(whole, t.Inputs)
	return json.Marshal(whole)
}
