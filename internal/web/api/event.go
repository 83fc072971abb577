package api

import (
	"strings"
	"time"
	"unicode/utf8"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// CloudEventsBatchType is the media type of several events that are posted at once.
const CloudEventsBatchType = "application/cloudevents-batch+json"

// Event is one fact received from outside, kept once per receiver, sender, key and part. It
// is a hint: nothing in it is believed before the bridge has verified it.
type Event struct {
	ID       int64             `json:"id"`
	Source   string            `json:"source"`             // who says so, in the sender's words
	EventID  string            `json:"eventId"`            // the sender's id of it, or the digest of its body
	Artifact string            `json:"artifact,omitempty"` // of an artifact: with the tag, and with the digest where the sender names it
	Sender   string            `json:"sender"`             // identity that posted it
	State    bridge.EventState `json:"state"`
	Chain    string            `json:"chain,omitempty"`
	Received time.Time         `json:"received"`

	Receiver     string             `json:"receiver"` // name of the receiver, or one of the server's own doors
	Key          string             `json:"key"`      // by which a repetition is known
	Part         int                `json:"part"`     // place of the fact in its delivery, from 0
	Kind         bridge.Kind        `json:"kind"`
	Type         string             `json:"type"`              // the sender's own word
	Subject      string             `json:"subject,omitempty"` // what it is about, one line
	Actor        string             `json:"actor,omitempty"`   // whom the sender names; never believed
	At           *time.Time         `json:"at,omitempty"`      // when, by the sender
	Git          *bridge.GitRef     `json:"git,omitempty"`
	Package      *bridge.Package    `json:"package,omitempty"`
	Alert        *bridge.Alert      `json:"alert,omitempty"`
	Trigger      *bridge.TriggerRef `json:"trigger,omitempty"`      // of a schedule or a person: the one trigger that it is for
	Applications []string           `json:"applications,omitempty"` // that it may concern; absent: every one
	Reason       string             `json:"reason,omitempty"`       // why it is dead, or why the last try failed
	Attempts     int                `json:"attempts"`               // tries that failed
}

// EventOf is e as the API sends it.
func EventOf(e bridge.Event) Event {
	f := e.Fact
	out := Event{
		ID: e.ID, Source: f.Source, EventID: senderID(e), Sender: e.Sender, State: e.State, Chain: f.Chain, Received: e.Received,
		Receiver: e.Receiver, Key: e.Key, Part: e.Part, Kind: f.Kind, Type: f.Type, Subject: f.Subject, Actor: f.Actor, At: optional(f.At),
		Git: f.Git, Package: f.Package, Alert: f.Alert, Trigger: f.Trigger, Applications: e.Applications, Reason: e.Reason, Attempts: e.Attempts,
	}
	if f.Artifact != (artifact.Reference{}) {
		out.Artifact = f.Artifact.String()
	}
	return out
}

// senderID is the id that the sender gave: at the API's door the key is the CloudEvent's
// source and id.
func senderID(e bridge.Event) string {
	if _, id, ok := strings.Cut(e.Key, " "); ok && e.Receiver == bridge.DoorAPI {
		return id
	}
	return e.Key
}

// Received answers posted events, once they are committed.
type Received struct {
	ID     int64   `json:"id"`     // the first one's
	Fresh  bool    `json:"fresh"`  // false: all were there already
	Events []int64 `json:"events"` // each one's id, in their order
}

// RawEvent is a delivery of a sender as it arrived; it is kept for a week.
type RawEvent struct {
	Headers map[string]string `json:"headers"`        // those that were kept, in lower case; secrets are not
	Body    []byte            `json:"body"`           // base64
	Text    string            `json:"text,omitempty"` // the body, when it is text
}

// RawEventOf is raw as the API sends it.
func RawEventOf(raw bridge.Raw) RawEvent {
	out := RawEvent{Headers: raw.Headers, Body: raw.Body}
	if out.Headers == nil {
		out.Headers = map[string]string{}
	}
	if out.Body == nil {
		out.Body = []byte{}
	}
	if utf8.Valid(raw.Body) && !strings.ContainsRune(string(raw.Body), 0) {
		out.Text = string(raw.Body)
	}
	return out
}

// Hooked answers a delivery at a receiver, once it is kept.
type Hooked struct {
	Events []int64 `json:"events"` // one for each fact; none when it says nothing to the bridge
	Fresh  bool    `json:"fresh"`  // false: it was here before, or says nothing
}
