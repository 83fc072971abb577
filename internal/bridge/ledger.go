package bridge

import (
	"context"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// Ledger keeps events, handoffs and releases. The store implements it over cd.db.
type Ledger interface {
	Inbox
	Outcomes
	Record
}

// Inbox keeps what arrives.
type Inbox interface {
	// Receive keeps m, one event for each fact, unless its receiver, sender and key are there
	// already, and has them processed; a message without facts is kept as one dead event. It
	// returns the kept events once that is committed; fresh is false for a repetition.
	Receive(ctx context.Context, m Message) (kept []Event, fresh bool, err error)
	// Failed keeps that a try failed: e with its attempts and reason; it is tried again at
	// again, or is dead when that is zero. An event that is not received any more is left.
	Failed(ctx context.Context, e Event, again time.Time) error
	// Redrive has e's delivery processed again, because actor asked: a dead event is received
	// again, with facts when they could be read anew now (further ones become further parts); of a
	// processed one, whose handoffs stand, a new event is made. It returns what is processed.
	Redrive(ctx context.Context, actor string, e Event, facts []Fact) (Event, error)
}

// Outcomes writes what came of events.
type Outcomes interface {
	// Cross writes c in one transaction: event state, handoffs, releases, starts, audit entries
	// and the work that follows; waiting handoffs of an application that got a new outcome are
	// looked at again. An event that is processed already gives a fault of kind Conflict. It
	// returns the handoffs' ids in their order.
	Cross(ctx context.Context, c Crossing) ([]int64, error)
	// Settle writes the final outcome of a waiting handoff, or that it goes on waiting. One
	// that waits no more gives a fault of kind Conflict.
	Settle(ctx context.Context, o Outcome) error
}

// Record reads what Process judges by.
type Record interface {
	EventRecord
	HandoffRecord
	ReleaseRecord
	FreezeRecord
}

// EventRecord reads events and whom they concern.
type EventRecord interface {
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (Event, error)
	// Raw returns an event's delivery as it arrived; NotFound when it is no longer kept.
	Raw(ctx context.Context, id int64) (Raw, error)
	// Concerned returns the applications that have one of the keys, in their newest version,
	// sorted by name.
	Concerned(ctx context.Context, keys []string) ([]Application, error)
	// Published returns the newest events that tell of an artifact in image's repository.
	Published(ctx context.Context, image artifact.Reference, limit int) ([]Event, error)
}

// HandoffRecord reads handoffs and what triggers are told.
type HandoffRecord interface {
	// Handoff returns one handoff; NotFound when there is none.
	Handoff(ctx context.Context, id int64) (Handoff, error)
	// Accepted finds the accepted handoff of an application's trigger under a key (Handoff.Once),
	// or the newest one with the key ""; the zero value when there is none.
	Accepted(ctx context.Context, application, trigger, once string) (Handoff, error)
	// Paused returns the pause of a trigger; the zero value when it is not paused.
	Paused(ctx context.Context, application, trigger string) (Pause, error)
	// Expected returns what an application's git triggers state, by environment.
	Expected(ctx context.Context, application string) ([]Expectation, error)
}

// ReleaseRecord reads releases and where they run.
type ReleaseRecord interface {
	// ReleaseBy finds a release by its id, or by its application and version ("shop", "1.2.0");
	// the zero value when there is none.
	ReleaseBy(ctx context.Context, application, idOrVersion string) (Release, error)
	// ReleaseOf finds the newest release of an application whose provenance names a commit; the
	// zero value when there is none.
	ReleaseOf(ctx context.Context, application, commit string) (Release, error)
	// Runs returns the release that an environment runs; the zero value when it runs none.
	Runs(ctx context.Context, application, environment string) (Release, error)
}

// Pause keeps a trigger from handing over.
type Pause struct {
	By     string    `json:"by"` // who paused it; "" means that it is not paused
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Trust gives the trust policy that holds now, with its version (0 when no document was applied).
type Trust interface {
	Trust(ctx context.Context) (attest.Policy, int64, error)
}

// Planner compiles the promotions that are asked for. The CD plane implements it; it has no effect.
type Planner interface {
	// Plan returns the promotion that r asks for and, for a new release, those into
	// environments that open by themselves. Conflict when the release runs there already
	// or may not be asked for, with the reason; NotFound for an environment that is not there.
	Plan(ctx context.Context, r Request) ([]Start, error)
}
