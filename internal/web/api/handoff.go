package api

import (
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
)

// Handoff is the outcome of one event at one trigger.
type Handoff struct {
	ID          int64               `json:"id"`
	Event       int64               `json:"event"`
	Application string              `json:"application"`
	Trigger     string              `json:"trigger"` // empty when a person asked without one
	State       bridge.HandoffState `json:"state"`
	Reason      string              `json:"reason"`
	Refusals    []attest.Refusal    `json:"refusals"`
	Checks      []bridge.Check      `json:"checks"`            // what was asked, in order, up to what decided
	Image       string              `json:"image"`             // with tag and digest; empty where the event is of no artifact
	Version     string              `json:"version,omitempty"` // of the release that was asked for, as far as known
	Release     string              `json:"release,omitempty"` // release id
	Asked       []bridge.Asked      `json:"asked"`             // what an accepted one asked for
	Actor       string              `json:"actor,omitempty"`   // verified identity behind the event
	Delivery    int64               `json:"delivery"`          // version of the delivery
	Trust       int64               `json:"trust"`             // version of the trust policy
	Chain       string              `json:"chain,omitempty"`
	At          time.Time           `json:"at"`
	Look        *time.Time          `json:"look,omitempty"`  // of a waiting one: when it is looked at again without a signal
	Until       *time.Time          `json:"until,omitempty"` // of a waiting one: then it is refused
}

// HandoffOf is h as the API sends it.
func HandoffOf(h bridge.Handoff) Handoff {
	out := Handoff{
		ID: h.ID, Event: h.Event, Application: h.Application, Trigger: h.Trigger, State: h.State, Reason: h.Reason,
		Refusals: append([]attest.Refusal{}, h.Refusals...), Checks: append([]bridge.Check{}, h.Checks...), Version: h.Version,
		Release: h.Release, Asked: append([]bridge.Asked{}, h.Asked...), Actor: h.Actor, Delivery: h.Delivery, Trust: h.Trust,
		Chain: h.Chain, At: h.At, Look: optional(h.Look), Until: optional(h.Until),
	}
	if h.Image != (artifact.Reference{}) {
		out.Image = h.Image.String()
	}
	return out
}

// Explanation tells how a handoff came to its outcome.
type Explanation struct {
	Handoff Handoff      `json:"handoff"`
	Event   Event        `json:"event"`
	Rule    *TriggerRule `json:"rule,omitempty"` // of its trigger, as it was judged by; absent when a person asked without one
	Story   []string     `json:"story"`          // from the event to the outcome, a sentence each
}
