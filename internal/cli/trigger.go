package cli

import (
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

const triggersPath = "/api/v1/triggers"

func newTrigger(c *console) *cobra.Command {
	l := &listing[api.Trigger]{
		remote: remote{console: c}, path: triggersPath, query: map[string]*string{},
		none: "there are no triggers: a delivery names them; drawbridge apply -f delivery.yaml",
		head: []string{"TRIGGER", "ON", "PROMOTES", "STATE", "FIRED", "NEXT", "LAST OUTCOME"},
		row: func(t api.Trigger) []string {
			return []string{t.Application + "/" + t.Name, string(t.On), asksFor(t.TriggerRule), pausedState(t), c.firedAgo(t), c.next(t.Next), lastOutcome(t)}
		},
	}
	list := l.command("List triggers, and how they go")
	l.filter(list, "application", "only triggers of this application, `NAME`")
	return group(c, "trigger", "Look at triggers, pause them and try them out",
		list, newTriggerShow(c), newTriggerPause(c), newTriggerResume(c), newTriggerTest(c))
}

func pausedState(t api.Trigger) string {
	if t.Paused != nil {
		return "paused"
	}
	return "active"
}

func (c *console) firedAgo(t api.Trigger) string {
	if t.LastFired == nil {
		return ""
	}
	return c.age(t.LastFired.At) + " ago"
}

// next is how long it is until a moment to come: "in 3m".
func (c *console) next(t *time.Time) string {
	if t == nil {
		return ""
	}
	return "in " + short(t.Sub(c.Now()))
}

func lastOutcome(t api.Trigger) string {
	if t.Last == nil {
		return ""
	}
	return string(t.Last.State) + because(t.Last.Reason)
}

// triggerPath is the path of a trigger that a person named as APPLICATION/TRIGGER.
func triggerPath(name string) (string, error) {
	application, trigger, both := strings.Cut(name, "/")
	if !both || application == "" || trigger == "" {
		return "", fault.New(fault.Invalid, "%.80q names no trigger", name).WithHint("write APPLICATION/TRIGGER; drawbridge trigger list")
	}
	return triggersPath + "/" + url.PathEscape(application) + "/" + url.PathEscape(trigger), nil
}
