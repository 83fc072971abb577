package bridge

import (
	"encoding/json"
	"time"

	"drawbridge/internal/artifact"
)

// Kind is what a fact is about. Each kind of trigger takes facts of some kinds.
type Kind string

// The kinds of facts.
const (
	KindArtifact Kind = "artifact" // an image stands under a tag
	KindPush     Kind = "push"     // a branch of a Git repository moved
	KindRelease  Kind = "release"  // a tag of a Git repository, a release of its host, or a package of a package registry
	KindTicket   Kind = "ticket"   // an issue tracker, a change process, or anything else whose document a condition reads
	KindAlert    Kind = "alert"    // an alert began or ended
	KindEvent    Kind = "event"    // a CloudEvent of no kind above
	KindClock    Kind = "clock"    // a schedule's time has come
	KindPerson   Kind = "person"   // a person asked
)

// Fact is what one event says, as its sender tells it: a hint and never evidence. What is
// promoted is what the bridge resolves and verifies itself.
type Fact struct {
	Kind     Kind               `json:"kind"`
	Type     string             `json:"type"`              // the sender's own word: "push", "PUSH_ARTIFACT", a CloudEvents type
	Source   string             `json:"source,omitempty"`  // who says so: a CloudEvents source, or the sender's address
	Subject  string             `json:"subject,omitempty"` // what it is about, one line for people: "acme/web:1.2.3", "PROJ-12"
	Actor    string             `json:"actor,omitempty"`   // whom the sender names; shown, never believed
	At       time.Time          `json:"at,omitzero"`       // when, by the sender, UTC
	Chain    string             `json:"chain,omitempty"`   // chain id, where the sender has one
	Artifact artifact.Reference `json:"artifact,omitzero"` // of an artifact: with the tag, and with the digest where the sender names it
	Git      *GitRef            `json:"git,omitempty"`     // of a push or a release of a Git host; of an artifact: what it was built from
	Package  *Package           `json:"package,omitempty"` // of a package registry
	Alert    *Alert             `json:"alert,omitempty"`
	Trigger  *TriggerRef        `json:"trigger,omitempty"` // of a clock or a person: the one trigger that it is for
}

// GitRef is a place in a Git repository.
type GitRef struct {
	Repository string   `json:"repository"`       // as the trigger's rule names it: a URL without user, query and ".git", or a name on this server
	Also       []string `json:"also,omitempty"`   // other addresses of the same repository
	Ref        string   `json:"ref,omitempty"`    // "refs/heads/main", "refs/tags/v1"
	Commit     string   `json:"commit,omitempty"` // 40 or 64 hex digits, where the sender names it
	Deleted    bool     `json:"deleted,omitempty"`
	Draft      bool     `json:"draft,omitempty"` // a release that is not published
	Prerelease bool     `json:"prerelease,omitempty"`
}

// Package is a version of a package in a package registry.
type Package struct {
	Type     string `json:"type"`               // "maven", "npm" or "generic"
	Registry string `json:"registry,omitempty"` // address of the package registry, without a path
	Name     string `json:"name"`               // "group:artifact" of Maven, "@scope/name" of npm
	Version  string `json:"version"`
}

// Alert is what an alert manager tells.
type Alert struct {
	Name   string            `json:"name"`
	Key    string            `json:"key"` // the same for the beginning and the end of one alert
	Firing bool              `json:"firing"`
	Labels map[string]string `json:"labels,omitempty"`
}

// TriggerRef names a trigger.
type TriggerRef struct {
	Application string `json:"application"`
	Trigger     string `json:"trigger"` // "" for a person who needs none
}

// Keys are the names by which applications are found that a fact may concern; see
// Application.Keys.
func (f Fact) Keys() []string {
	var out []string
	if f.Artifact.Repository != "" && f.Kind == KindArtifact {
		out = append(out, imageKey(f.Artifact))
	}
	if f.Git != nil && f.Kind != KindArtifact {
		for _, r := range append([]string{f.Git.Repository}, f.Git.Also...) {
			out = append(out, gitKey(r))
		}
	}
	if p := f.Package; p != nil {
		out = append(out, packageKey(p.Type, p.Name))
	}
	if f.Trigger != nil {
		out = append(out, applicationKey(f.Trigger.Application))
	}
	return out
}

// Message is one delivery of a sender as it arrived at one door, with what was read in
// it: one event for each fact. It is kept before it is acknowledged.
type Message struct {
	Receiver     string            // name of the receiver, or one of the server's own doors
	Sender       string            // identity that posted it, by its token; the receiver's name where it has one secret
	Key          string            // the sender's id of the delivery, else the digest of the body: kept once per receiver and sender
	Applications []string          // that it may concern; nil means all
	Headers      map[string]string // those that conditions may read, names in lower case, no secrets
	Body         []byte            // as it arrived, at most MaxEvent
	Facts        []Fact            // at most MaxFacts; none together with Wrong
	Wrong        string            // why no fact could be read: the event waits in the dead letters
}

// Raw is a delivery as it arrived, kept for a week so that it can be read again.
type Raw struct {
	Headers map[string]string
	Body    []byte
}

// The server's own doors, which are no receivers that somebody made.
const (
	DoorAPI    = "api"    // POST /api/v1/events: the embedded registry and Git host post there too
	DoorPoll   = "poll"   // what the server looks at itself
	DoorClock  = "clock"  // schedules, and drift that is to be repaired
	DoorPerson = "person" // promote
)

// Limits of one delivery.
const (
	MaxFacts   = 100     // facts in it
	MaxHeaders = 8 << 10 // bytes of the headers that are kept
)

// JSON is the fact as a row keeps it.
func (f Fact) JSON() ([]byte, error) { return json.Marshal(f) }

func imageKey(r artifact.Reference) string     { return "image:" + r.Name() }
func gitKey(repository string) string          { return "git:" + repository }
func packageKey(kind, name string) string      { return "package:" + kind + ":" + name }
func applicationKey(application string) string { return "application:" + application }
func receiverKey(receiver string) string       { return "receiver:" + receiver }
