package bridge

import (
	"encoding/json"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// PublishedType is the CloudEvents type of "an artifact was published" (CDEvents 0.5).
const PublishedType = "dev.cdevents.artifact.published.0.3.0"

// MaxEvent is the largest body of an event that is accepted, in bytes.
const MaxEvent = 1 << 20

// Published says that an artifact is in a registry. It is a hint: what is promoted is
// what the bridge verifies by digest.
type Published struct {
	Source     string             // CloudEvents source: "/ci", "/registry", or a foreign CI's URI
	ID         string             // unique per source: the key by which it is kept once
	Chain      string             // chain id from the push to production; may be empty
	Artifact   artifact.Reference // with digest, and with the tag that was set
	Repository string             // Git repository, for people to read
	Ref        string             // "refs/heads/main"
	Commit     string             // 40 hex digits
	At         time.Time          // UTC
}

// cdEvent is the CDEvents 0.5 document inside the CloudEvent.
type cdEvent struct {
	Context struct {
		SpecVersion string `json:"specversion"`
		ID          string `json:"id"`
		Source      string `json:"source"`
		Type        string `json:"type"`
		Timestamp   string `json:"timestamp"`
		ChainID     string `json:"chainId,omitempty"`
	} `json:"context"`
	Subject struct {
		ID      string   `json:"id"`
		Source  string   `json:"source,omitempty"`
		Content struct{} `json:"content"`
	} `json:"subject"`
	CustomData            *customData `json:"customData,omitempty"`
	CustomDataContentType string      `json:"customDataContentType,omitempty"`
}

type customData struct {
	Repository string `json:"repository,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Commit     string `json:"commit,omitempty"`
}

// cloudEvent is a CloudEvents 1.0 document in structured JSON.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time,omitempty"`
	Subject         string          `json:"subject,omitempty"`
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
}

// CloudEvent is p as a CloudEvents 1.0 document (structured JSON) that holds a CDEvent.
func (p Published) CloudEvent() ([]byte, error) {
	var ev cdEvent
	ev.Context.SpecVersion, ev.Context.ID, ev.Context.Source = "0.5.0", p.ID, p.Source
	ev.Context.Type, ev.Context.Timestamp, ev.Context.ChainID = PublishedType, p.At.UTC().Format(time.RFC3339Nano), p.Chain
	ev.Subject.ID, ev.Subject.Source = p.Artifact.PackageURL(), p.Source
	ev.CustomData = &customData{Repository: p.Repository, Ref: p.Ref, Commit: p.Commit}
	ev.CustomDataContentType = "application/json"
	data, err := json.Marshal(ev)
	if err != nil {
		return nil, err
	}
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: p.ID, Source: p.Source, Type: PublishedType, Time: ev.Context.Timestamp,
		Subject: ev.Subject.ID, DataContentType: "application/json", Data: data,
	})
}

// ParsePublished reads what CloudEvent writes. Anything else is a fault of kind Invalid
// that names the field.
func ParsePublished(body []byte) (Published, error) {
	if len(body) > MaxEvent {
		return Published{}, fault.New(fault.TooLarge, "an event has at most %d bytes, not %d", MaxEvent, len(body))
	}
	var ce cloudEvent
	if err := json.Unmarshal(body, &ce); err != nil {
		return Published{}, fault.New(fault.Invalid, "the body is no CloudEvent: %v", err).
			WithHint("send CloudEvents 1.0 as structured JSON")
	}
	switch {
	case ce.SpecVersion != "1.0":
		return Published{}, field("specversion", "want 1.0, not %q", ce.SpecVersion)
	case ce.ID == "" || len(ce.ID) > 256:
		return Published{}, field("id", "must have 1 to 256 characters")
	case ce.Source == "" || len(ce.Source) > 256:
		return Published{}, field("source", "must have 1 to 256 characters")
	case ce.Type != PublishedType:
		return Published{}, field("type", "%q is not known", ce.Type).WithHint("send %s", PublishedType)
	}
	var ev cdEvent
	if err := json.Unmarshal(ce.Data, &ev); err != nil {
		return Published{}, field("data", "is no CDEvent: %v", err)
	}
	ref, err := artifact.ParsePackageURL(ev.Subject.ID)
	if err != nil {
		return Published{}, field("data.subject.id", "%v", err).WithHint("write pkg:oci/NAME@sha256%%3A…?repository_url=REPOSITORY&tag=TAG")
	}
	p := Published{Source: ce.Source, ID: ce.ID, Chain: ev.Context.ChainID, Artifact: ref}
	if len(p.Chain) > 64 {
		return Published{}, field("data.context.chainId", "must have at most 64 characters")
	}
	if p.At, err = time.Parse(time.RFC3339Nano, ev.Context.Timestamp); err != nil {
		return Published{}, field("data.context.timestamp", "%q is no RFC 3339 time", ev.Context.Timestamp)
	}
	p.At = p.At.UTC()
	if c := ev.CustomData; c != nil {
		p.Repository, p.Ref, p.Commit = c.Repository, c.Ref, c.Commit
	}
	return p, nil
}

// Fact is p as the bridge keeps it.
func (p Published) Fact() Fact {
	f := Fact{
		Kind: KindArtifact, Type: PublishedType, Source: p.Source, Subject: p.Artifact.String(), At: p.At, Chain: p.Chain, Artifact: p.Artifact,
	}
	if p.Repository != "" || p.Commit != "" {
		f.Git = &GitRef{Repository: p.Repository, Ref: p.Ref, Commit: p.Commit}
	}
	return f
}

func field(name, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithField(name)
}
