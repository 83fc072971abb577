package api

import (
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/bridge"
)

// Story tells how a handoff came to its outcome: a sentence for each thing that happened,
// from the event on. rule is the trigger as it was judged by; nil when a person asked
// without one, or when the delivery that had it is not known.
func Story(e Event, rule *TriggerRule, h Handoff) []string {
	out := arrival(e)
	out = append(out, waited(rule, h))
	for _, c := range h.Checks {
		verb := "holds"
		if !c.OK {
			verb = "does not hold"
		}
		out = append(out, sentence("%s %s: %s", upper(c.What), verb, c.Found))
	}
	for _, r := range h.Refusals {
		out = append(out, sentence("Not proven, by rule %s: %s", r.Rule, r.Message))
	}
	if h.Actor != "" {
		out = append(out, sentence("%s stands behind it, and may not approve where requesters are excluded", h.Actor))
	}
	return append(out, ending(h)...)
}

// arrival says where the event came from.
func arrival(e Event) []string {
	about := e.Subject
	if about == "" {
		about = e.EventID
	}
	out := []string{sentence("Event %d came %s at %s: %s, %s", e.ID, door(e), moment(e.Received), e.Type, about)}
	if e.Actor != "" && e.Actor != e.Sender {
		out = append(out, sentence("It names %s, which is shown and not believed", e.Actor))
	}
	if len(e.Applications) > 0 {
		out = append(out, sentence("It may concern %s and no other application", strings.Join(e.Applications, ", ")))
	}
	if e.Attempts > 0 {
		out = append(out, sentence("It could not be judged at once: %d tries failed", e.Attempts))
	}
	return out
}

// door is the way by which the event came.
func door(e Event) string {
	switch e.Receiver {
	case bridge.DoorAPI:
		return "from " + e.Sender + " over the API"
	case bridge.DoorPoll:
		return "from a look at its source"
	case bridge.DoorClock:
		return "from this server's clock"
	case bridge.DoorPerson:
		return "from " + e.Sender
	}
	return "through receiver " + e.Receiver
}

// waited says which rule took the event.
func waited(rule *TriggerRule, h Handoff) string {
	switch {
	case h.Trigger == "":
		return sentence("It is for %s, whose delivery was version %d, and for no trigger", h.Application, h.Delivery)
	case rule == nil:
		return sentence("Trigger %s of %s, in version %d of the delivery, took it", h.Trigger, h.Application, h.Delivery)
	}
	return sentence("Trigger %s of %s, in version %d of the delivery, waits for %s%s", h.Trigger, h.Application, h.Delivery, rule.WaitsFor(), asksFor(*rule))
}

// WaitsFor is what the rule takes, in a few words: "images of web with a version >=1.0.0".
func (t TriggerRule) WaitsFor() string {
	at := ""
	if t.Receiver != "" {
		at = " at receiver " + t.Receiver
	}
	switch t.On {
	case bridge.OnArtifact:
		return "images of " + strings.Join(t.Artifacts, " and ") + tagged(t.Tags) + at
	case bridge.OnRelease:
		from := ""
		if t.Repository != "" {
			from = " of " + t.Repository
		}
		return "releases" + from + tagged(t.Tags) + at
	case bridge.OnManual:
		return "people who ask"
	case bridge.OnSchedule:
		return strings.TrimSpace(fmt.Sprintf("the time %q %s", t.Cron, t.Timezone)) + ", for what runs in " + t.From
	case bridge.OnWebhook:
		return "deliveries" + at + condition(t.When)
	case bridge.OnGit:
		return "commits on " + t.Branch + " of " + t.Repository + at
	case bridge.OnEvent:
		return "events of type " + t.Type + at + condition(t.When)
	}
	return "events on " + string(t.On)
}

func tagged(g *bridge.TagRule) string {
	switch {
	case g == nil:
		return ""
	case g.Semver != "":
		return " with a version " + g.Semver
	case g.Regex != "":
		return " with a tag like " + g.Regex
	case g.Newest:
		return ", the one built last"
	case g.Lexical:
		return ", the last by its tag"
	case g.Digest != "":
		return " under the moving tag " + g.Digest
	}
	return ", but for " + strings.Join(g.Ignore, ", ")
}

func condition(when string) string {
	if when == "" {
		return ""
	}
	return " when " + when
}

func asksFor(t TriggerRule) string {
	switch {
	case t.Promote != "":
		return ", and asks for " + t.Promote
	case len(t.Freeze) == 1 && t.Freeze[0] == bridge.Everywhere:
		return ", and freezes every environment"
	case len(t.Freeze) > 0:
		return ", and freezes " + strings.Join(t.Freeze, " and ")
	case t.On == bridge.OnGit:
		return ", which say what each environment runs"
	}
	return ""
}

// ending is the outcome.
func ending(h Handoff) []string {
	switch h.State {
	case bridge.Waiting:
		last := "It waits: " + h.Reason
		if h.Look != nil {
			last += "; it is looked at again at " + moment(*h.Look) + " or when something new comes"
		}
		if h.Until != nil {
			last += "; it is refused at " + moment(*h.Until)
		}
		return []string{sentence("%s", last)}
	case bridge.Refused:
		return []string{sentence("It was refused at %s: %s", moment(h.At), h.Reason)}
	case bridge.Ignored:
		return []string{sentence("There was nothing to do at %s: %s", moment(h.At), h.Reason)}
	case bridge.Accepted:
		out := []string{sentence("It was accepted at %s: %s", moment(h.At), h.Reason)}
		for _, a := range h.Asked {
			out = append(out, asked(h.Application, a))
		}
		return out
	}
	return []string{sentence("It is %s: %s", h.State, h.Reason)}
}

func asked(application string, a bridge.Asked) string {
	what := fmt.Sprintf("%s@%s", application, a.Version)
	switch {
	case a.Environment == "":
		return sentence("%s may now go where an environment opens by itself", what)
	case a.Why != "":
		return sentence("%s was asked for in %s, and nothing was opened: %s", what, a.Environment, a.Why)
	case a.Rollback:
		return sentence("%s was asked for in %s, to go back to it", what, a.Environment)
	}
	return sentence("%s was asked for in %s", what, a.Environment)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// sentence is one line that ends in one full stop.
func sentence(format string, args ...any) string {
	s := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	return strings.TrimRight(s, ".:;, ") + "."
}
