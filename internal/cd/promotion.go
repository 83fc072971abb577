package cd

import (
	"slices"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// State is where a promotion is on its way. States are stored: they are only ever added to.
type State string

// States of a promotion:
//
//	queued ──begin──▶ running ◀──wake── waiting
//	   │                 │ │ ──wait────▶   │
//	   │                 │ └─advance (last step)──▶ done
//	   │                 │
//	   │                 └─fail─┬─ it was admitted ───────▶ undoing ──undone─▶ undone
//	   │                        │                               └─fail────▶ failed
//	   │                        └─ it was not ─▶ failed
//	   └── supersede, reject (before it is admitted) ──▶ superseded, rejected
const (
	Queued     State = "queued"     // opened; may not come here yet
	Running    State = "running"    // a step is worked on
	Waiting    State = "waiting"    // for a person, for its turn, or for a time
	Undoing    State = "undoing"    // takes its own steps back
	Done       State = "done"       // the release runs here
	Undone     State = "undone"     // failed, and the base runs again
	Failed     State = "failed"     // failed before anything moved, or could not be undone
	Rejected   State = "rejected"   // a person said no
	Superseded State = "superseded" // another promotion took its place
)

// States lists every state.
func States() []State {
	return []State{Queued, Running, Waiting, Undoing, Done, Undone, Failed, Rejected, Superseded}
}

// Ended reports whether nothing follows s.
func (s State) Ended() bool {
	return slices.Contains([]State{Done, Undone, Failed, Rejected, Superseded}, s)
}

// Signal is what a waiting promotion waits for.
type Signal string

// Signals.
const (
	SignalNone     Signal = ""
	SignalApproval Signal = "approval" // people's decisions
	SignalSlot     Signal = "slot"     // the environment is taken by another promotion
	SignalTime     Signal = "time"     // a moment
)

// CauseKind is why a promotion was opened.
type CauseKind string

// Kinds of cause.
const (
	CauseTrigger  CauseKind = "trigger"  // an event at a trigger
	CauseAuto     CauseKind = "auto"     // the environment opens by itself
	CauseManual   CauseKind = "manual"   // a person asked
	CauseRollback CauseKind = "rollback" // a person asked to go back
)

// Cause is one reason for a promotion; a second request joins as a further cause.
type Cause struct {
	Kind  CauseKind `json:"kind"`
	Actor string    `json:"actor"`           // identity behind it
	Note  string    `json:"note,omitempty"`  // "handoff 12", or what the person wrote
	Again int64     `json:"again,omitempty"` // the promotion whose place this one takes
	At    time.Time `json:"at"`
}

// Decision is one person's word about a promotion.
type Decision struct {
	Actor   string          `json:"actor"`
	Approve bool            `json:"approve"`
	Plan    artifact.Digest `json:"plan"` // what the person saw
	Message string          `json:"message"`
	At      time.Time       `json:"at"`
}

// Promotion is one release on its way into one environment.
type Promotion struct {
	ID         PromotionID     `json:"id"`
	Plan       Plan            `json:"plan"`
	PlanDigest artifact.Digest `json:"planDigest"`
	State      State           `json:"state"`
	Step       int             `json:"step"` // index into Plan.Steps
	Try        int             `json:"try"`  // from 1
	Signal     Signal          `json:"signal,omitempty"`
	Reason     string          `json:"reason"` // why it waits or how it ended, one line
	Requester  string          `json:"requester"`
	Author     string          `json:"author"`
	Authors    []string        `json:"authors"` // all who pushed what it brings
	Causes     []Cause         `json:"causes"`
	Decisions  []Decision      `json:"decisions"`
	Base       PromotionID     `json:"base"`     // the promotion that made what ran at admit; 0 means none
	Deployed   bool            `json:"deployed"` // the candidate may run beside the base
	Weight     int             `json:"weight"`   // the candidate's share of the traffic
	Chain      string          `json:"chain"`
	Version    int64           `json:"version"` // fence: every change is a compare-and-set on it
	Opened     time.Time       `json:"opened"`
	Stepped    time.Time       `json:"stepped"` // when the present step began
	Admitted   time.Time       `json:"admitted,omitzero"`
	Ended      time.Time       `json:"ended,omitzero"`
}

// Environment is where the promotion goes.
func (p Promotion) Environment() EnvironmentRef { return p.Plan.Environment }

// Current is the step that is worked on; the zero Step once all are done.
func (p Promotion) Current() Step {
	if p.Step >= len(p.Plan.Steps) {
		return Step{}
	}
	return p.Plan.Steps[p.Step]
}

// Key is the key of the present effect.
func (p Promotion) Key() Key {
	if p.State == Undoing {
		return Key{Promotion: p.ID, Step: len(p.Plan.Steps), Try: p.Try}
	}
	return Key{Promotion: p.ID, Step: p.Step, Try: p.Try}
}

// Holds reports whether the promotion holds its environment.
func (p Promotion) Holds() bool { return !p.Admitted.IsZero() && !p.State.Ended() }

// Approved reports whether the promotion's approve step is behind it, or it has none.
func (p Promotion) Approved() bool {
	i := slices.IndexFunc(p.Plan.Steps, func(s Step) bool { return s.Kind == StepApprove })
	return i < p.Step
}

// Automatic reports whether no person asked for the promotion.
func (p Promotion) Automatic() bool {
	return !slices.ContainsFunc(p.Causes, func(c Cause) bool { return c.Kind == CauseManual || c.Kind == CauseRollback })
}

// Rollback reports whether the promotion goes back.
func (p Promotion) Rollback() bool {
	return slices.ContainsFunc(p.Causes, func(c Cause) bool { return c.Kind == CauseRollback })
}

// newer reports whether p brings a newer release than q.
func (p Promotion) newer(q Promotion) bool {
	return bridge.Newer(bridge.Release{Version: p.Plan.Version, Built: p.Plan.Built}, bridge.Release{Version: q.Plan.Version, Built: q.Plan.Built})
}

// NewPromotion is a promotion as it is opened: queued, to be looked at. Its ID comes from the store.
func NewPromotion(plan Plan, release bridge.Release, cause Cause) Promotion {
	return Promotion{
		Plan: plan, PlanDigest: plan.Digest(), State: Queued, Try: 1, Reason: "opened", Requester: cause.Actor,
		Author: release.Author, Authors: release.Authors, Causes: []Cause{cause}, Chain: release.Chain, Version: 1, Opened: cause.At, Stepped: cause.At,
	}
}

// EventKind says what happens to a promotion.
type EventKind string

// Kinds of event.
const (
	Begin     EventKind = "begin"     // it may come here: start the first step
	Advance   EventKind = "advance"   // the step is done
	Wait      EventKind = "wait"      // the step waits for a signal or a time
	Resume    EventKind = "resume"    // what it waited for is over: the step begins anew
	Fail      EventKind = "fail"      // the step failed, or somebody stopped it
	TakenBack EventKind = "undone"    // the undo is done
	Reject    EventKind = "reject"    // a person said no
	Supersede EventKind = "supersede" // another promotion takes its place
)

// Event is something that happens to a promotion, with what it brings.
type Event struct {
	Kind   EventKind
	Reason string
	Signal Signal      // Wait
	Base   PromotionID // Advance of admit
}

// next is the state machine: from a state, on an event, to a state. Fail and Advance
// depend on more than the state and are refined in Apply.
var next = map[State]map[EventKind]State{
	Queued:  {Begin: Running, Fail: Failed, Reject: Rejected, Supersede: Superseded},
	Running: {Advance: Running, Wait: Waiting, Fail: Failed, Reject: Rejected, Supersede: Superseded},
	Waiting: {Advance: Running, Wait: Waiting, Resume: Running, Fail: Failed, Reject: Rejected, Supersede: Superseded},
	Undoing: {TakenBack: Undone, Fail: Failed},
}

// Apply is p after ev at now, with the next version. An event that does not fit p's state
// is a fault of kind Conflict and changes nothing.
func (p Promotion) Apply(ev Event, now time.Time) (Promotion, error) {
	to, ok := next[p.State][ev.Kind]
	if !ok {
		return p, fault.New(fault.Conflict, "promotion %d is %s: it takes no %s", p.ID, p.State, ev.Kind)
	}
	if p.Holds() && (ev.Kind == Reject || ev.Kind == Supersede) {
		return p, fault.New(fault.Conflict, "promotion %d moves already: it takes no %s", p.ID, ev.Kind).
			WithHint("drawbridge rollback %s", p.Plan.Environment)
	}
	from := p.State
	p.State, p.Signal, p.Reason, p.Version = to, SignalNone, ev.Reason, p.Version+1
	switch ev.Kind {
	case Begin:
		p.Step, p.Stepped = 0, now
	case Resume:
		p.Stepped = now
	case Wait:
		p.Signal = ev.Signal
	case Advance:
		p = p.advance(ev, now)
	case Fail:
		// What may have moved is taken back, also when the deploy itself failed halfway.
		if from != Undoing && !p.Admitted.IsZero() {
			p.State, p.Stepped = Undoing, now
		}
	case TakenBack, Reject, Supersede:
	}
	if p.State.Ended() {
		p.Ended = now
	}
	return p, nil
}

func (p Promotion) advance(ev Event, now time.Time) Promotion {
	switch p.Current().Kind {
	case StepAdmit:
		p.Admitted, p.Base = now, ev.Base
	case StepDeploy:
		p.Deployed = true
	case StepShift:
		p.Weight = p.Current().Weight
	case StepVerify, StepApprove, StepPause:
	}
	p.Step, p.Try, p.Stepped = p.Step+1, 1, now
	if p.Step == len(p.Plan.Steps) {
		p.State = Done
	}
	return p
}
