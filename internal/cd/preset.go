package cd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/yamlfile"
)

// minFreeze is the shortest bound of a freeze.
const minFreeze = Duration(time.Minute)

// preset is what a trigger on webhook takes from us for one sender.
type preset struct {
	when    string // condition
	release string // expression that gives the version; "" for one that freezes
}

// presets are the presets by name. Their expressions are documented and shown with the
// trigger; a delivery keeps the name, so that they may be made better.
//
// The members are those of https://developer.atlassian.com/server/jira/platform/webhooks/ (a
// webhook of Jira: issue_updated with a changelog; one of a workflow: transition) and of
// https://developer.pagerduty.com/docs/webhooks-overview. What ServiceNow sends is written
// there by hand; the members are those of its table change_request, with u_version for a
// column that was added.
var presets = map[string]preset{
	"jira": {
		when: `(has(body.transition) && body.transition.to_status == "Approved") || ` +
			`(has(body.changelog) && body.changelog.items.exists(i, i.field == "status" && i.toString == "Approved"))`,
		release: `body.issue.fields.fixVersions[0].name`,
	},
	"servicenow": {
		when:    `(has(body.approval) && body.approval == "approved") || (has(body.state) && body.state == "approved")`,
		release: `has(body.version) ? body.version : body.u_version`,
	},
	"alertmanager": {when: `event.kind == "alert"`},
	"pagerduty":    {when: `event.kind == "alert" && event.type in ["incident.triggered", "incident.reopened"]`},
}

// preset sets what the trigger's preset gives and the file does not.
func (t TriggerSpec) preset(out *bridge.Trigger) {
	p := presets[t.Preset]
	out.Preset, out.When, out.Version = t.Preset, cmp.Or(t.When, p.when), cmp.Or(t.Release, p.release)
}

// preset checks that the preset is one, and that it does what the trigger does.
func (c *checker) preset(p string, t TriggerSpec) {
	if t.Preset == "" {
		return
	}
	known, ok := presets[t.Preset]
	switch {
	case !ok:
		c.fail(p+".preset", yamlfile.Suggest(t.Preset, slices.Sorted(maps.Keys(presets))), "%q is no preset", t.Preset)
	case known.release == "" && t.Freeze == nil:
		c.fail(p+".preset", "write freeze: [production]", "preset %s freezes environments", t.Preset)
	case known.release != "" && t.Freeze != nil:
		c.fail(p+".preset", "write preset: alertmanager or pagerduty, or a condition under when", "preset %s names a version and freezes nothing", t.Preset)
	}
}

// freeze checks a trigger that freezes environments.
func (c *checker) freeze(p string, t TriggerSpec) {
	for key, set := range map[string]bool{"promote": t.Promote != "", "release": t.Release != "", "wait": t.Wait != 0} {
		if set {
			c.fail(p+"."+key, "leave it out, or make two triggers", "a trigger that freezes has no %s", key)
			return
		}
	}
	if len(t.Freeze) == 0 {
		c.fail(p+".freeze", c.known(), "it names no environment")
	}
	for i, name := range t.Freeze {
		at := fmt.Sprintf("%s.freeze[%d]", p, i)
		switch {
		case slices.Contains(t.Freeze[:i], name):
			c.fail(at, "names are unique", "environment %q stands twice", name)
		case name == bridge.Everywhere && len(t.Freeze) > 1:
			c.fail(at, `write freeze: ["*"] alone`, "* is every environment already")
		case name != bridge.Everywhere:
			c.environmentName(at, name)
		}
	}
	c.span(p+".for", t.For, minFreeze, Duration(bridge.MaxFreeze))
}
