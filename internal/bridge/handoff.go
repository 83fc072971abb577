package bridge

import (
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// HandoffState is the outcome of one event at one trigger.
type HandoffState string

// States of a handoff. Only a waiting one changes, once.
//
//	waiting ──▶ accepted, refused, ignored
const (
	Waiting  HandoffState = "waiting"  // for what belongs together, for evidence that is still being attached, or for what cannot be judged now
	Accepted HandoffState = "accepted" // a release exists and was asked for
	Refused  HandoffState = "refused"  // something is not proven
	Ignored  HandoffState = "ignored"  // nothing to do: no match, or a duplicate
)

// HandoffStates lists every state.
func HandoffStates() []HandoffState { return []HandoffState{Waiting, Accepted, Refused, Ignored} }

// Handoff is the outcome of one event at one trigger, with the reason.
type Handoff struct {
	ID          int64              `json:"id"`
	Event       int64              `json:"event"`
	Application string             `json:"application"`
	Trigger     string             `json:"trigger"`
	State       HandoffState       `json:"state"`
	Reason      string             `json:"reason"` // one line
	Refusals    []attest.Refusal   `json:"refusals,omitempty"`
	Checks      []Check            `json:"checks,omitempty"`  // what was asked, in order, up to what decided
	Image       artifact.Reference `json:"image,omitzero"`    // of artifact triggers: with tag and digest, as far as resolved
	Version     string             `json:"version,omitempty"` // of the release that was asked for, as far as known
	Created     time.Time          `json:"created,omitzero"`  // when the image was built, by its label; for triggers that take the newest
	Release     string             `json:"release,omitempty"` // release id, when accepted or a duplicate; "" where several were asked for
	Asked       []Asked            `json:"asked,omitempty"`   // what an accepted handoff asked for
	Once        string             `json:"once,omitempty"`    // a trigger accepts once under this key
	Actor       string             `json:"actor,omitempty"`   // verified identity behind the event: a person, or who signed the commit
	Delivery    int64              `json:"delivery"`
	Trust       int64              `json:"trust"`
	Chain       string             `json:"chain,omitempty"`
	At          time.Time          `json:"at"`
	Look        time.Time          `json:"look,omitzero"`  // of a waiting one: when it is looked at again without a signal
	Until       time.Time          `json:"until,omitzero"` // of a waiting one: then it is refused
}

// Asked is one release that was asked for in one environment.
type Asked struct {
	Environment string `json:"environment"`
	Release     string `json:"release"`
	Version     string `json:"version"`
	Rollback    bool   `json:"rollback,omitempty"` // it goes back, by a person's word
	Why         string `json:"why,omitempty"`      // why nothing was opened for it, though it was asked for
}

// Check is one question that was asked on the way to an outcome.
type Check struct {
	What  string `json:"what"`  // "tag rule", "tag resolved", "evidence of web", "condition"
	OK    bool   `json:"ok"`    // it held
	Found string `json:"found"` // what was found, one line
}

// Crossing is all that one event brings about; it is written in one transaction.
type Crossing struct {
	Event    Event // with ID 0 it is kept in the same transaction, processed
	Outcomes []Outcome
}

// Outcome is one handoff and, where it was accepted, what it starts.
type Outcome struct {
	Handoff  Handoff
	Release  *Release // new; nil when the release was there or there is none
	Starts   []Start
	Expected []Expectation // of a git trigger: what its repository states now
	Freezes  []Freeze      // that it sets
	Lifts    []Lift        // ends of alerts, whether or not one of them froze anything
}

// Expectation is what a Git repository states about one environment.
type Expectation struct {
	Application string    `json:"application"`
	Trigger     string    `json:"trigger"`
	Environment string    `json:"environment"`
	Version     string    `json:"version"` // "" when it states nothing any more
	Release     string    `json:"release,omitempty"`
	Commit      string    `json:"commit"`
	Actor       string    `json:"actor"` // who signed the commit; the committer's unverified name where no signature is asked for
	At          time.Time `json:"at"`
}

// Start asks the CD plane for a promotion. Plan is opaque here.
type Start struct {
	Environment string
	Release     Release
	Cause       Cause
	Plan        []byte
	Digest      artifact.Digest // of Plan
}

// CauseKind is why a promotion is asked for; the CD plane keeps it.
type CauseKind string

// The kinds of cause that the bridge gives.
const (
	ByTrigger  CauseKind = "trigger"  // an event, a schedule, a ticket or a Git commit
	ByItself   CauseKind = "auto"     // the environment opens by itself
	ByPerson   CauseKind = "manual"   // a person asked
	ByRollback CauseKind = "rollback" // a person asked to go back
)

// Cause is why, and on whose word.
type Cause struct {
	Kind  CauseKind
	Actor string // identity behind it: it may not approve where requesters are excluded
	Note  string // for people: "trigger published"
}

// Request is one release that is to be asked for in one environment.
type Request struct {
	Release     Release
	Environment string
	Cause       Cause
	New         bool           // the release is new: environments that open by themselves come along
	Inputs      map[string]any // of a manual trigger, checked against its schema
}
