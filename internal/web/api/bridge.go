package api

import (
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
)

// Event is a fact received from outside, kept once per source and id.
type Event struct {
	ID       int64             `json:"id"`
	Source   string            `json:"source"`
	EventID  string            `json:"eventId"` // CloudEvents id
	Artifact string            `json:"artifact"`
	Sender   string            `json:"sender"` // identity that posted it
	State    bridge.EventState `json:"state"`
	Chain    string            `json:"chain,omitempty"`
	Received time.Time         `json:"received"`
}

// EventOf is e as the API sends it.
func EventOf(e bridge.Event) Event {
	return Event{
		ID: e.ID, Source: e.Published.Source, EventID: e.Published.ID, Artifact: e.Published.Artifact.String(),
		Sender: e.Sender, State: e.State, Chain: e.Published.Chain, Received: e.Received,
	}
}

// Received answers a posted event, once it is committed.
type Received struct {
	ID    int64 `json:"id"`
	Fresh bool  `json:"fresh"` // false: it was there already
}

// Handoff is the outcome of one event at one trigger.
type Handoff struct {
	ID          int64               `json:"id"`
	Event       int64               `json:"event"`
	Application string              `json:"application"`
	Trigger     string              `json:"trigger"`
	State       bridge.HandoffState `json:"state"`
	Reason      string              `json:"reason"`
	Refusals    []attest.Refusal    `json:"refusals"`
	Image       string              `json:"image"`             // with tag and digest
	Release     string              `json:"release,omitempty"` // release id
	Delivery    int64               `json:"delivery"`          // version of the delivery
	Trust       int64               `json:"trust"`             // version of the trust policy
	Chain       string              `json:"chain,omitempty"`
	At          time.Time           `json:"at"`
}

// HandoffOf is h as the API sends it.
func HandoffOf(h bridge.Handoff) Handoff {
	return Handoff{
		ID: h.ID, Event: h.Event, Application: h.Application, Trigger: h.Trigger, State: h.State, Reason: h.Reason,
		Refusals: append([]attest.Refusal{}, h.Refusals...), Image: h.Image.String(), Release: h.Release,
		Delivery: h.Delivery, Trust: h.Trust, Chain: h.Chain, At: h.At,
	}
}

// Release is an immutable set of artifacts, verified and pinned by digest.
type Release struct {
	ID          string                     `json:"id"`
	Application string                     `json:"application"`
	Version     string                     `json:"version"`
	Artifacts   map[string]artifact.Digest `json:"artifacts"`
	Author      string                     `json:"author"` // authenticated pusher of its commit
	Commit      string                     `json:"commit"`
	Chain       string                     `json:"chain"`
	Snapshot    artifact.Digest            `json:"snapshot"` // hash of the evidence
	Delivery    int64                      `json:"delivery"`
	Trust       int64                      `json:"trust"`
	Built       time.Time                  `json:"built"`
	Accepted    time.Time                  `json:"accepted"`
	Evidence    *attest.Evidence           `json:"evidence,omitempty"` // of one release, not in lists
}

// ReleaseOf is r as the API sends it in lists, without its evidence.
func ReleaseOf(r bridge.Release) Release {
	return Release{
		ID: r.ID, Application: r.Application, Version: r.Version, Artifacts: r.Artifacts, Author: r.Author, Commit: r.Commit,
		Chain: r.Chain, Snapshot: r.Snapshot, Delivery: r.Delivery, Trust: r.Trust, Built: r.Built, Accepted: r.Accepted,
	}
}

// Verification is a release judged anew by the trust policy that holds now.
type Verification struct {
	Release  string           `json:"release"`
	OK       bool             `json:"ok"`
	Refusals []attest.Refusal `json:"refusals"`
	Evidence attest.Evidence  `json:"evidence"`
	Trust    int64            `json:"trust"`
}

// Trust is the trust policy that holds.
type Trust struct {
	Version int64         `json:"version"` // 0: no document was applied
	Policy  attest.Policy `json:"policy"`  // with the implied signer ci, where this server has a CI plane
}
