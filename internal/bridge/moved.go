package bridge

import (
	"encoding/json"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// MovedType is the CloudEvents type of "a branch or tag of a Git repository moved", by which
// the embedded Git host tells of pushes. CDEvents has no such event; its rules for custom
// ones are followed.
const MovedType = "dev.cdeventsx.drawbridge-ref.moved.0.1.0"

// Moved says that a branch or a tag of a repository moved.
type Moved struct {
	Source     string    `json:"-"` // CloudEvents source
	ID         string    `json:"-"`
	Repository string    `json:"repository"` // its name on that server
	Ref        string    `json:"ref"`        // "refs/heads/main"
	Old        string    `json:"old"`        // commit, 40 or 64 hex digits; zeros for none
	New        string    `json:"new"`
	Pusher     string    `json:"pusher"` // authenticated there
	At         time.Time `json:"at"`
}

// CloudEvent is m as a CloudEvents 1.0 document (structured JSON).
func (m Moved) CloudEvent() ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: m.ID, Source: m.Source, Type: MovedType, Time: m.At.UTC().Format(time.RFC3339Nano),
		Subject: m.Repository + " " + m.Ref, DataContentType: "application/json", Data: data,
	})
}

// ParseMoved reads the data of a CloudEvent of that type as the fact that it tells.
func ParseMoved(source string, data []byte) (Fact, error) {
	var m Moved
	if err := json.Unmarshal(data, &m); err != nil {
		return Fact{}, field("data", "is no moved ref: %v", err)
	}
	deleted := strings.Trim(m.New, "0") == ""
	f := Fact{
		Kind: KindPush, Type: MovedType, Source: source, Subject: m.Repository + " " + m.Ref, Actor: m.Pusher, At: m.At.UTC(),
		Git: &GitRef{Repository: m.Repository, Ref: m.Ref, Commit: m.New, Deleted: deleted},
	}
	if strings.HasPrefix(m.Ref, "refs/tags/") {
		f.Kind = KindRelease
	}
	if deleted {
		f.Git.Commit = ""
	}
	for _, s := range []string{m.Repository, m.Ref, m.Old, m.New} {
		if s == "" || len(s) > 255 {
			return Fact{}, fault.New(fault.Invalid, "repository, ref, old and new have 1 to 255 characters").WithField("data")
		}
	}
	return f, nil
}
