package bridge

import (
	"context"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// EventState is where an event is on its way.
type EventState string

// States of an event:
//
//	received ──▶ processed
const (
	EventReceived  EventState = "received"  // kept, not judged yet
	EventProcessed EventState = "processed" // each trigger has had its say
)

// Event is a fact received from outside, kept once per source and id.
type Event struct {
	ID        int64      `json:"id"`
	Published Published  `json:"published"`
	Sender    string     `json:"sender"` // identity that posted it
	Received  time.Time  `json:"received"`
	State     EventState `json:"state"`
}

// HandoffState is the outcome of one event at one trigger.
type HandoffState string

// States of a handoff. A handoff is written once and never changes.
const (
	Accepted HandoffState = "accepted" // a release exists and was asked for
	Refused  HandoffState = "refused"  // something is not proven
	Ignored  HandoffState = "ignored"  // nothing to do: no match, or a duplicate
)

// Handoff is the outcome of one event at one trigger, with the reason.
type Handoff struct {
	ID          int64              `json:"id"`
	Event       int64              `json:"event"`
	Application string             `json:"application"`
	Trigger     string             `json:"trigger"`
	State       HandoffState       `json:"state"`
	Reason      string             `json:"reason"` // one line
	Refusals    []attest.Refusal   `json:"refusals,omitempty"`
	Image       artifact.Reference `json:"image"`             // with tag and digest, as far as resolved
	Release     string             `json:"release,omitempty"` // release id, when accepted or a duplicate
	Delivery    int64              `json:"delivery"`
	Trust       int64              `json:"trust"`
	Chain       string             `json:"chain,omitempty"`
	At          time.Time          `json:"at"`
}

// Crossing is all that one event brings about; it is written in one transaction.
type Crossing struct {
	Event    Event
	Outcomes []Outcome
}

// Outcome is one handoff and, where it was accepted, what it starts.
type Outcome struct {
	Handoff Handoff
	Release *Release // nil unless accepted
	Starts  []Start
}

// Start asks the CD plane for a promotion. Plan is opaque here.
type Start struct {
	Environment string
	Auto        bool // by the environment's own rule, not by the trigger
	Plan        []byte
	Digest      artifact.Digest // of Plan
}

// Ledger keeps events, handoffs and releases. The store implements it over cd.db.
type Ledger interface {
	// Receive keeps e unless its source and id are there already, and has it processed.
	// It returns the kept event once that is committed; fresh is false for a repetition.
	Receive(ctx context.Context, e Event) (kept Event, fresh bool, err error)
	// Cross writes c in one transaction: event state, handoffs, releases, starts, audit entries
	// and the work that follows. An event that is processed already gives a fault of kind Conflict.
	Cross(ctx context.Context, c Crossing) error
	// Record reads what Process judges by.
	Record
}

// Record is the reading side of the ledger.
type Record interface {
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (Event, error)
	// Concerned returns the applications that have an artifact in image's repository, in their
	// newest version, sorted by name.
	Concerned(ctx context.Context, image artifact.Reference) ([]Application, error)
	// Accepted finds the accepted handoff of an application's trigger for a release, and the
	// release that an application has under a version; the zero values when there is none.
	Accepted(ctx context.Context, application, trigger, release, version string) (Handoff, Release, error)
}

// Trust gives the trust policy that holds now, with its version (0 when no document was applied).
type Trust interface {
	Trust(ctx context.Context) (attest.Policy, int64, error)
}

// Planner compiles the promotions that a release starts. The CD plane implements it; it
// reads the application's delivery of that version and has no effect.
type Planner interface {
	// Starts returns the promotion into environment, which a trigger asked for, and those into
	// environments that open by themselves.
	Starts(ctx context.Context, r Release, environment string) ([]Start, error)
}
