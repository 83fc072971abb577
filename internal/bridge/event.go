package bridge

import (
	"slices"
	"time"
)

// EventState is where an event is on its way.
type EventState string

// States of an event:
//
//	received ──▶ processed
//	  │  ▲
//	  ▼  │ redrive
//	  dead
const (
	EventReceived  EventState = "received"  // kept, not judged yet
	EventProcessed EventState = "processed" // each trigger has had its say
	EventDead      EventState = "dead"      // given up: a person looks at it and has it processed again
)

// EventStates lists every state.
func EventStates() []EventState { return []EventState{EventReceived, EventProcessed, EventDead} }

// Event is one fact received from outside, kept once per receiver, sender, key and part.
type Event struct {
	ID           int64      `json:"id"`
	Receiver     string     `json:"receiver"` // name of the receiver, or one of the server's own doors
	Key          string     `json:"key"`      // the sender's id of the delivery, or the digest of its body
	Part         int        `json:"part"`     // place of the fact in its delivery, from 0
	Sender       string     `json:"sender"`   // identity that posted it
	Applications []string   `json:"applications,omitempty"`
	Fact         Fact       `json:"fact"`
	State        EventState `json:"state"`
	Reason       string     `json:"reason,omitempty"` // why it is dead, or why the last try failed
	Attempts     int        `json:"attempts"`         // tries that failed
	Received     time.Time  `json:"received"`
}

// MayConcern reports whether the event's receiver lets it concern an application.
func (e Event) MayConcern(application string) bool {
	return e.Applications == nil || slices.Contains(e.Applications, application)
}

// Limits of tries to process an event.
const (
	maxAttempts = 12             // at least
	maxOutage   = 24 * time.Hour // since it was received, where a registry or a Git host is out of reach
	maxBackoff  = 10 * time.Minute
)

// backoff is how long to wait after the n-th failure: 1 s, 2 s, 4 s … at most 10 min.
func backoff(n int) time.Duration {
	if n > 10 {
		return maxBackoff
	}
	return min(time.Second<<max(n-1, 0), maxBackoff)
}
