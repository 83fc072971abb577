package api

import (
	"encoding/json"
	"time"

	"drawbridge/internal/bridge"
)

// TriggerRule is what a delivery says of one trigger, with what holds where it says nothing.
type TriggerRule struct {
	Name       string             `json:"name"`
	On         bridge.TriggerKind `json:"on"`
	Receiver   string             `json:"receiver,omitempty"`
	Artifacts  []string           `json:"artifacts,omitempty"`
	Together   bridge.Together    `json:"together,omitempty"`
	Tags       *bridge.TagRule    `json:"tags,omitempty"`
	Platform   string             `json:"platform,omitempty"`
	When       string             `json:"when,omitempty"`
	Version    string             `json:"version,omitempty"` // expression that names the release
	Type       string             `json:"type,omitempty"`
	Wait       string             `json:"wait,omitempty"` // duration
	Promote    string             `json:"promote,omitempty"`
	Preset     string             `json:"preset,omitempty"` // that gave when and version, where the delivery does not
	Freeze     []string           `json:"freeze,omitempty"` // environments that an alert freezes
	For        string             `json:"for,omitempty"`    // duration of such a freeze at most
	Cron       string             `json:"cron,omitempty"`
	Timezone   string             `json:"timezone,omitempty"`
	From       string             `json:"from,omitempty"`
	CatchUp    bool               `json:"catchUp,omitempty"`
	Repository string             `json:"repository,omitempty"`
	Branch     string             `json:"branch,omitempty"`
	Path       string             `json:"path,omitempty"`
	Signed     bool               `json:"signed,omitempty"`
	Repair     bool               `json:"repair,omitempty"`
	Every      string             `json:"every,omitempty"`  // duration between two looks at the repository
	Inputs     json.RawMessage    `json:"inputs,omitempty"` // JSON Schema of a person's inputs
}

// TriggerRuleOf is t as the API sends it.
func TriggerRuleOf(t bridge.Trigger) TriggerRule {
	out := TriggerRule{
		Name: t.Name, On: t.On, Receiver: t.Receiver, Artifacts: t.Artifacts, Together: t.Together, Platform: t.Platform, When: t.When,
		Version: t.Version, Type: t.Type, Wait: span(t.Wait), Promote: t.Promote, Cron: t.Cron, Timezone: t.Timezone, From: t.From,
		CatchUp: t.CatchUp, Repository: t.Repository, Branch: t.Branch, Path: t.Path, Signed: t.Signed, Repair: t.Repair,
		Every: span(t.Poll), Inputs: t.Inputs, Preset: t.Preset, Freeze: t.Freeze, For: span(t.For),
	}
	if g := t.Tags; g.Semver != "" || g.Regex != "" || g.Newest || g.Lexical || g.Digest != "" || len(g.Ignore) > 0 {
		out.Tags = &g
	}
	return out
}

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Trigger is one trigger of an application, and how it goes.
type Trigger struct {
	Application string `json:"application"`
	Delivery    int64  `json:"delivery"` // version of the delivery that has it
	TriggerRule
	Paused    *Pause     `json:"paused,omitempty"`
	LastFired *Outcome   `json:"lastFired,omitempty"` // the handoff that it accepted last
	Last      *Outcome   `json:"last,omitempty"`      // its newest handoff: why it did not fire, where that is another
	Next      *time.Time `json:"next,omitempty"`      // of a schedule: when it fires; of what is polled: the next look
	Polls     []Poll     `json:"polls"`               // what is looked at for it
}

// Pause says who paused a trigger.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Outcome is what came of one event.
type Outcome struct {
	Handoff int64               `json:"handoff"`
	State   bridge.HandoffState `json:"state"`
	Reason  string              `json:"reason"`
	Version string              `json:"version,omitempty"`
	At      time.Time           `json:"at"`
}

// OutcomeOf is h in short; nil for none.
func OutcomeOf(h bridge.Handoff) *Outcome {
	if h.ID == 0 {
		return nil
	}
	return &Outcome{Handoff: h.ID, State: h.State, Reason: h.Reason, Version: h.Version, At: h.At}
}

// Poll is a registry or a Git repository that is looked at, or a schedule.
type Poll struct {
	Kind     bridge.ClockKind `json:"kind"`
	Name     string           `json:"name"` // the artifact's, where a registry is looked at; else the trigger's
	What     string           `json:"what"` // "ghcr.io/acme/web every 5m0s", or the schedule
	Next     *time.Time       `json:"next,omitempty"`
	Last     *time.Time       `json:"last,omitempty"`
	Failures int              `json:"failures"`         // in a row
	Reason   string           `json:"reason,omitempty"` // what the last look found, or why it failed
}

// PollOf is c as the API sends it.
func PollOf(c bridge.Clock) Poll {
	return Poll{Kind: c.Kind, Name: c.Name, What: c.Spec, Next: optional(c.Next), Last: optional(c.Last), Failures: c.Failures, Reason: c.Reason}
}

// PauseRequest pauses a trigger.
type PauseRequest struct {
	Reason string `json:"reason,omitempty" jsonschema:"description=Why\\, for those who come by later."`
}

// TriggerTestRequest asks what an event would bring about at a trigger.
type TriggerTestRequest struct {
	Event int64 `json:"event" jsonschema:"description=Number of an event that came before."`
}

// TriggerTest says what an event would bring about at a trigger now. Nothing has happened.
type TriggerTest struct {
	Handoff          // as it would be written, with id 0
	Opens   []string `json:"opens"` // environments into which promotions would be opened
}

// TriggerTestOf is o as the API sends it.
func TriggerTestOf(o bridge.Outcome) TriggerTest {
	out := TriggerTest{Handoff: HandoffOf(o.Handoff), Opens: []string{}}
	for _, s := range o.Starts {
		out.Opens = append(out.Opens, s.Environment)
	}
	return out
}
