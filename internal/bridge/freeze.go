package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Freeze keeps promotions out of environments for a while: an alert or a person set it. What
// it meets waits; a rollback and an undo pass.
type Freeze struct {
	ID           int64     `json:"id"`
	Application  string    `json:"application"`
	Environments []string  `json:"environments"`      // names; Everywhere stands for every one
	Trigger      string    `json:"trigger,omitempty"` // that set it; "" for a person
	Key          string    `json:"key,omitempty"`     // of the alert; the trigger holds one freeze under it
	Reason       string    `json:"reason"`            // one line
	By           string    `json:"by"`                // identity that set it: a receiver or a person
	Since        time.Time `json:"since,omitzero"`    // when the alert began, by its sender; zero: it does not say
	At           time.Time `json:"at"`                // when it was set
	Until        time.Time `json:"until"`             // when it ends by itself
	Lifted       time.Time `json:"lifted,omitzero"`   // when it was lifted before that; zero: it was not
	LiftedBy     string    `json:"liftedBy,omitempty"`
	LiftReason   string    `json:"liftReason,omitempty"`
	Ended        time.Time `json:"ended,omitzero"` // when the alert ended, by its sender; zero: it has not told
}

// Everywhere among a freeze's environments stands for each environment of the application.
const Everywhere = "*"

// Bounds of how long a freeze lasts.
const (
	DefaultFreeze = 24 * time.Hour // where nothing is said
	MaxFreeze     = 30 * 24 * time.Hour
)

// Holds reports whether f keeps promotions out at now.
func (f Freeze) Holds(now time.Time) bool {
	return f.ID != 0 && f.Lifted.IsZero() && now.Before(f.Until)
}

// Covers reports whether f is for an environment of its application.
func (f Freeze) Covers(environment string) bool {
	return slices.Contains(f.Environments, Everywhere) || slices.Contains(f.Environments, environment)
}

// Where is what f freezes, for people: "staging and production", "every environment".
func (f Freeze) Where() string {
	if slices.Contains(f.Environments, Everywhere) {
		return "every environment"
	}
	return strings.Join(f.Environments, " and ")
}

// String says what f does, in one line for people: "frozen until 2026-01-05 12:00 UTC by
// alerts: alert HighErrors".
func (f Freeze) String() string {
	return fmt.Sprintf("frozen until %s by %s%s", f.Until.UTC().Format("2006-01-02 15:04 MST"), f.By, because(f.Reason))
}

// Lift is the end of an alert. The freeze under its key ends with it; where there is none,
// the end is kept, so that the beginning does not freeze when it comes later.
type Lift struct {
	Application string
	Trigger     string
	Key         string
	By          string    // identity that told it
	Reason      string    // one line
	At          time.Time // when it was told
	Ended       time.Time // when the alert ended, by its sender; zero: it does not say
}

// FreezeRecord reads what triggers froze.
type FreezeRecord interface {
	// Frozen returns the newest freeze of an application's trigger under a key, also one that
	// holds no more; the zero value when there is none.
	Frozen(ctx context.Context, application, trigger, key string) (Freeze, error)
}

// judgeFreeze sets a freeze when an alert begins, and lifts it when that alert ends. A
// document that tells of no alert freezes where the trigger's condition holds.
func (s *Service) judgeFreeze(ctx context.Context, in hearing) (Outcome, error) {
	in.h.Once, in.h.Actor = fmt.Sprintf("event/%d", in.ev.ID), in.ev.Sender
	a := in.ev.Fact.Alert
	f := in.frozen()
	last, err := s.Ledger.Frozen(ctx, in.app.Name, in.t.Name, f.Key)
	if err != nil {
		return Outcome{}, err
	}
	if a != nil && !a.Firing {
		return in.thaw(last, f), nil // without the condition: what was frozen must thaw
	}
	if a == nil && in.t.When == "" {
		in.note("alert", false, "%s of %s", in.ev.Fact.Kind, in.ev.Fact.Subject)
		return in.ignore("it tells of no alert, and the trigger has no condition"), nil
	}
	if o, done, err := s.condition(ctx, &in, nil); done || err != nil {
		return o, err
	}
	return in.freeze(last, f), nil
}

// frozen is the freeze that the hearing's event may set.
func (in hearing) frozen() Freeze {
	fact := in.ev.Fact
	f := Freeze{
		Application: in.app.Name, Environments: in.t.Freeze, Trigger: in.t.Name, Key: "subject " + fact.Subject,
		Reason: fact.Type + " " + fact.Subject, By: in.ev.Sender, At: in.now, Until: in.ev.Received.Add(in.t.For),
	}
	if a := fact.Alert; a != nil {
		f.Key, f.Reason, f.Since = "alert "+a.Key, "alert "+a.Name, fact.At.UTC().Truncate(time.Millisecond)
	}
	return f
}

// freeze sets f, unless its alert froze before. An alert that goes on, or that a person
// lifted, freezes no second time until it has ended and begins anew.
func (in hearing) freeze(last, f Freeze) Outcome {
	alert := in.ev.Fact.Alert != nil
	told := last.Since
	if last.Ended.After(told) {
		told = last.Ended
	}
	same := alert && last.ID != 0 && !f.Since.IsZero() && !f.Since.After(told)
	switch {
	case last.Holds(in.now):
		in.note("freeze", false, "%d, until %s", last.ID, last.Until.Format(time.RFC3339))
		return in.ignore("it froze %s already, until %s", last.Where(), last.Until.Format(time.RFC3339))
	case same && !last.Ended.IsZero():
		return in.ignore("%s has ended already", f.Reason)
	case same && !last.Lifted.IsZero():
		return in.ignore("%s goes on, and %s lifted what it froze%s", f.Reason, last.LiftedBy, because(last.LiftReason))
	case same, alert && last.ID != 0 && f.Since.IsZero() && last.Lifted.IsZero():
		return in.ignore("%s goes on, and has frozen %s for the longest time already", f.Reason, last.Where())
	case !in.now.Before(f.Until):
		return in.ignore("it is older than %s", in.t.For)
	}
	in.note("alert", true, "%s", f.Reason)
	in.h.State, in.h.Reason = Accepted, fmt.Sprintf("froze %s: %s", f.Where(), f.Reason)
	return Outcome{Handoff: in.h, Freezes: []Freeze{f}}
}

// thaw lifts what the alert of f froze.
func (in hearing) thaw(last, f Freeze) Outcome {
	ended := f.Since // of an end, the sender tells when that was
	if last.ID != 0 && !ended.IsZero() && ended.Before(last.Since) {
		return in.ignore("%s began again after this end of it", f.Reason)
	}
	var o Outcome
	switch {
	case last.Holds(in.now):
		in.note("freeze", true, "%d, until %s", last.ID, last.Until.Format(time.RFC3339))
		in.h.State, in.h.Reason = Accepted, fmt.Sprintf("lifted the freeze of %s: %s ended", last.Where(), f.Reason)
		o = Outcome{Handoff: in.h}
	default:
		o = in.ignore("nothing to lift: %s has nothing frozen", f.Reason)
	}
	o.Lifts = []Lift{{
		Application: f.Application, Trigger: f.Trigger, Key: f.Key, By: f.By, Reason: f.Reason + " ended", At: in.now, Ended: ended,
	}}
	return o
}
