package cd

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/yamlfile"
)

// maxTriggerWait is how long a trigger may wait for what is missing.
const maxTriggerWait = Duration(30 * 24 * time.Hour)

// triggerKeys says at which kinds of triggers a key belongs; name, on and what is not listed
// belong at all of them.
var triggerKeys = map[string][]bridge.TriggerKind{
	"artifact":   {bridge.OnArtifact, bridge.OnRelease},
	"artifacts":  {bridge.OnArtifact, bridge.OnRelease},
	"together":   {bridge.OnArtifact},
	"tags":       {bridge.OnArtifact, bridge.OnRelease},
	"platform":   {bridge.OnArtifact},
	"when":       {bridge.OnArtifact, bridge.OnRelease, bridge.OnWebhook, bridge.OnEvent},
	"receiver":   {bridge.OnArtifact, bridge.OnRelease, bridge.OnWebhook, bridge.OnGit, bridge.OnEvent},
	"type":       {bridge.OnEvent},
	"release":    {bridge.OnWebhook, bridge.OnEvent},
	"wait":       {bridge.OnArtifact, bridge.OnRelease, bridge.OnWebhook, bridge.OnGit, bridge.OnEvent},
	"preset":     {bridge.OnWebhook},
	"freeze":     {bridge.OnWebhook},
	"for":        {bridge.OnWebhook},
	"promote":    {bridge.OnArtifact, bridge.OnRelease, bridge.OnManual, bridge.OnSchedule, bridge.OnWebhook, bridge.OnEvent},
	"cron":       {bridge.OnSchedule},
	"timezone":   {bridge.OnSchedule},
	"from":       {bridge.OnSchedule},
	"catchUp":    {bridge.OnSchedule},
	"repository": {bridge.OnRelease, bridge.OnGit},
	"branch":     {bridge.OnGit},
	"path":       {bridge.OnGit},
	"signed":     {bridge.OnGit},
	"repair":     {bridge.OnGit},
	"poll":       {bridge.OnRelease, bridge.OnGit},
	"inputs":     {bridge.OnManual},
}

var (
	platformForm = regexp.MustCompile(`^[a-z0-9]{1,30}/[a-z0-9_]{1,30}(?:/[a-z0-9.]{1,30})?$`)
	eventType    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}\*?$`)
)

func (c *checker) triggers() {
	if n := len(c.d.Triggers); n > MaxTriggers {
		c.fail("triggers", "", "a delivery has at most %d triggers, not %d", MaxTriggers, n)
		return
	}
	for i, t := range c.d.Triggers {
		p := fmt.Sprintf("triggers[%d]", i)
		c.name(p+".name", t.Name)
		if slices.ContainsFunc(c.d.Triggers[:i], func(o TriggerSpec) bool { return o.Name == t.Name }) {
			c.fail(p+".name", "names are unique", "trigger %q stands twice", t.Name)
		}
		if c.keysFit(p, t) {
			c.trigger(p, t)
		}
	}
}

// keysFit refuses keys that the trigger's kind does not read: they would be silently nothing.
func (c *checker) keysFit(p string, t TriggerSpec) bool {
	if !slices.Contains(bridge.TriggerKinds(), t.On) {
		names := make([]string, len(bridge.TriggerKinds()))
		for i, k := range bridge.TriggerKinds() {
			names[i] = string(k)
		}
		c.fail(p+".on", yamlfile.Suggest(string(t.On), names), "%q is no kind of event that a trigger takes", t.On)
		return false
	}
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		kinds, some := triggerKeys[key]
		if some && !v.Field(i).IsZero() && !slices.Contains(kinds, t.On) {
			c.fail(p+"."+key, "leave it out, or write another on", "%s belongs to on: %s", key, either(kinds))
			return false
		}
	}
	return true
}

// either is a list of kinds for a sentence: "release or git".
func either(kinds []bridge.TriggerKind) string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func (c *checker) trigger(p string, t TriggerSpec) {
	c.promote(p, t)
	c.receiver(p, t)
	if t.When != "" {
		c.keep(p+".when", bridge.CheckCondition(t.When, t.On))
	}
	c.span(p+".wait", t.Wait, 0, maxTriggerWait)
	c.span(p+".poll", t.Poll, minPoll, maxPoll)
	switch t.On {
	case bridge.OnArtifact, bridge.OnRelease:
		c.parts(p, t)
		c.tags(p, t)
	case bridge.OnManual:
		c.inputs(p+".inputs", t)
	case bridge.OnSchedule:
		c.schedule(p, t)
	case bridge.OnWebhook, bridge.OnEvent:
		if c.preset(p, t); t.Freeze != nil {
			c.freeze(p, t)
			return
		}
		c.version(p, t)
	case bridge.OnGit:
		c.git(p, t)
	}
	if t.On == bridge.OnRelease || t.On == bridge.OnGit {
		c.repository(p, t)
	}
}

// promote checks the environment that is asked for. What was published may just cross.
func (c *checker) promote(p string, t TriggerSpec) {
	optional := t.On == bridge.OnArtifact || t.On == bridge.OnRelease || t.On == bridge.OnGit || t.Freeze != nil
	if t.Promote == "" && optional {
		return
	}
	c.environmentName(p+".promote", t.Promote)
}

func (c *checker) environmentName(p, name string) {
	if name == "" {
		c.fail(p, c.known(), "it names no environment")
		return
	}
	if _, ok := c.d.Environment(name); !ok {
		c.fail(p, c.known(), "there is no environment %q", name)
	}
}

// receiver checks at whose door the trigger waits. Clocks and people name their trigger.
func (c *checker) receiver(p string, t TriggerSpec) {
	switch {
	case t.Receiver == "" && t.On == bridge.OnWebhook:
		c.fail(p, "write receiver: NAME; drawbridge receiver list shows them", "a webhook trigger names no receiver")
	case t.Receiver == bridge.DoorClock || t.Receiver == bridge.DoorPerson:
		c.fail(p+".receiver", "name a receiver", "nothing that a trigger on %s takes comes through %s", t.On, t.Receiver)
	case t.Receiver != "":
		c.name(p+".receiver", t.Receiver)
	}
}

// parts checks what a trigger's releases are made of.
func (c *checker) parts(p string, t TriggerSpec) {
	if t.Artifact != "" && len(t.Artifacts) > 0 {
		c.fail(p+".artifacts", "write one of them", "artifact and artifacts contradict each other")
		return
	}
	if t.Artifact != "" && !c.artifactName(p+".artifact", t.Artifact) {
		return
	}
	for i, name := range t.Artifacts {
		if !c.artifactName(fmt.Sprintf("%s.artifacts[%d]", p, i), name) {
			return
		}
		if slices.Contains(t.Artifacts[:i], name) {
			c.fail(fmt.Sprintf("%s.artifacts[%d]", p, i), "names are unique", "artifact %q stands twice", name)
		}
	}
	list := t.artifacts(*c.d)
	c.grouping(p, t, list)
	c.runnable(p, t, list)
	for _, name := range list {
		if a, _ := c.d.artifact(name); a.Package != nil && t.On == bridge.OnArtifact {
			c.fail(p, "write on: release", "artifact %q is a package, of which no registry of images tells", name)
		}
	}
	if t.Platform != "" && !platformForm.MatchString(t.Platform) {
		c.fail(p+".platform", "write for example linux/amd64", "%q is no platform", t.Platform)
	}
}

// grouping checks how several artifacts are matched.
func (c *checker) grouping(p string, t TriggerSpec, list []string) {
	ways := []bridge.Together{bridge.SameTag, bridge.SameCommit, bridge.AllNewer}
	switch {
	case t.Together == "":
	case !slices.Contains(ways, t.Together):
		c.fail(p+".together", "write tag, commit or newer", "%q is no way to match artifacts", t.Together)
	case len(list) < 2:
		c.fail(p+".together", "leave it out", "a release of one artifact has nothing to match")
	}
	if t.Tags != nil && t.Tags.Digest != "" && len(list) > 1 && t.Together != "" && t.Together != bridge.SameTag {
		c.fail(p+".together", "write together: tag", "a tag that moves is the same for all artifacts")
	}
}

// runnable refuses an environment that runs what the trigger's releases do not hold.
func (c *checker) runnable(p string, t TriggerSpec, list []string) {
	e, ok := c.d.Environment(t.Promote)
	if runs := e.Target.artifact(); ok && !slices.Contains(list, runs) {
		c.fail(p+".promote", "name "+runs+" among the trigger's artifacts", "%s runs %q, which is no part of the trigger's releases", e.Name, runs)
	}
}

func (c *checker) tags(p string, t TriggerSpec) {
	if t.Tags == nil {
		return
	}
	p += ".tags"
	c.keep(p, bridge.TagRule(*t.Tags).Check())
	if t.On != bridge.OnRelease {
		return
	}
	for key, set := range map[string]bool{"newest": t.Tags.Newest, "lexical": t.Tags.Lexical, "digest": t.Tags.Digest != ""} {
		if set {
			c.fail(p+"."+key, "write semver or regex", "%s belongs to on: artifact", key)
			return
		}
	}
}

func (c *checker) schedule(p string, t TriggerSpec) {
	if t.Cron == "" {
		c.fail(p, `write for example cron: "0 2 * * 1-5"`, "a schedule trigger has no cron")
		return
	}
	s, err := bridge.ParseSchedule(t.Cron, t.Timezone)
	c.keep(p, err)
	// Any instant does: Next looks ahead further than between two leap days.
	if err == nil && s.Next(time.Unix(0, 0).UTC()).IsZero() {
		c.fail(p+".cron", "write a day that exists", "%q never comes", t.Cron)
	}
	c.environmentName(p+".from", t.From)
	if t.From == t.Promote {
		c.fail(p+".from", "name the environment that proves a release", "%q would hand over to itself", t.From)
	}
	if t.CatchUp != "" && t.CatchUp != catchUpOnce && t.CatchUp != catchUpSkip {
		c.fail(p+".catchUp", "write once or skip", "%q is no way to catch up", t.CatchUp)
	}
}

// version checks how an event names the version of a release.
func (c *checker) version(p string, t TriggerSpec) {
	if t.On == bridge.OnEvent && !eventType.MatchString(t.Type) {
		c.fail(p+".type", "write the CloudEvent's type, such as dev.cdevents.*", "%q is no type of an event", t.Type)
	}
	if t.For != 0 {
		c.fail(p+".for", "leave it out, or write freeze: [production]", "for belongs to freeze")
	}
	if t.Release == "" && presets[t.Preset].release != "" {
		return
	}
	if t.Release == "" {
		c.fail(p, "write release: with an expression such as body.version", "it does not say where the event names the version")
		return
	}
	c.keep(p+".release", bridge.CheckVersion(t.Release))
}
