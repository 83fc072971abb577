package webhook

import (
	"encoding/json"
	"net/url"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// cdEvent is what is read of a CDEvents document, see https://cdevents.dev/docs/.
type cdEvent struct {
	Context struct {
		Timestamp string `json:"timestamp"`
		ChainID   string `json:"chainId"`
	} `json:"context"`
	Subject struct {
		ID      string `json:"id"`
		Content struct {
			Repository *struct {
				ID     string `json:"id"`
				Source string `json:"source"`
			} `json:"repository"`
		} `json:"content"`
	} `json:"subject"`
	CustomData json.RawMessage `json:"customData"`
}

// source is what our own events say in customData: what an artifact was built from.
type source struct {
	Repository string `json:"repository"`
	Ref        string `json:"ref"`
	Commit     string `json:"commit"`
}

// Fact is what the event tells the bridge. A CDEvent "artifact published" or "artifact
// packaged" of an OCI object tells of an artifact, of a Maven, npm or generic package of a
// release; "change merged" whose repository and ref are known tells of a push; anything else
// is an event that conditions read. A malformed CDEvent is a fault of kind Invalid.
func (e CloudEvent) Fact() (bridge.Fact, error) {
	if e.Type == bridge.MovedType {
		f, err := bridge.ParseMoved(e.Source, e.Data)
		return tidy(f), err
	}
	f := bridge.Fact{Kind: bridge.KindEvent, Type: e.Type, Source: e.Source, Subject: first(e.Subject, e.ID), At: e.Time}
	part := strings.Split(e.Type, ".")
	if len(part) < 4 || part[0] != "dev" || part[1] != "cdevents" {
		return tidy(f), nil
	}
	var doc cdEvent
	if err := json.Unmarshal(e.Data, &doc); err != nil {
		return bridge.Fact{}, wrong("data", "is no CDEvent: %s", clean(err.Error(), 200))
	}
	if len(doc.Context.ChainID) > 64 {
		return bridge.Fact{}, wrong("data.context.chainId", "must have at most 64 characters")
	}
	f.Chain = doc.Context.ChainID
	if t := doc.Context.Timestamp; t != "" {
		if f.At = when(t); f.At.IsZero() {
			return bridge.Fact{}, wrong("data.context.timestamp", "%q is no RFC 3339 time", clean(t, 40))
		}
	}
	var err error
	switch part[2] + "." + part[3] {
	case "artifact.published", "artifact.packaged":
		f, err = doc.artifact(f)
	case "change.merged":
		f = doc.merged(f)
	}
	return tidy(f), err
}

// artifact is f about the artifact that the document names.
func (d cdEvent) artifact(f bridge.Fact) (bridge.Fact, error) {
	purl := d.Subject.ID
	if p := packageOf(purl); p != nil {
		f.Kind, f.Package, f.Subject = bridge.KindRelease, p, p.Name+" "+p.Version
		return f, nil
	}
	if strings.HasPrefix(purl, "pkg:") && !strings.HasPrefix(purl, "pkg:oci/") {
		return f, nil // a kind of package that no trigger knows
	}
	ref, err := artifact.ParsePackageURL(purl)
	if err != nil {
		return bridge.Fact{}, wrong("data.subject.id", "%v", err).
			WithHint("write pkg:oci/NAME@sha256%%3A…?repository_url=REPOSITORY&tag=TAG")
	}
	f.Kind, f.Artifact, f.Subject = bridge.KindArtifact, ref, ref.Name()
	if ref.Tag != "" {
		f.Subject += ":" + ref.Tag
	}
	if s := d.source(); s != (source{}) {
		address, _ := bridge.NormalRepository(s.Repository)
		f.Git = &bridge.GitRef{Repository: first(address, clean(s.Repository, 256)), Ref: clean(s.Ref, 255), Commit: clean(s.Commit, 64)}
	}
	return f, nil
}

// merged is f as the push of the branch into which a change was merged, where it says which.
func (d cdEvent) merged(f bridge.Fact) bridge.Fact {
	s := d.source()
	address := s.Repository
	if r := d.Subject.Content.Repository; r != nil && address == "" {
		if address = r.ID; !strings.Contains(address, "://") {
			address = strings.TrimSuffix(r.Source, "/") + "/" + r.ID
		}
	}
	f.Subject = first(d.Subject.ID, f.Subject)
	place := gitPlace(address)
	if place == nil || !strings.Contains(place.Repository, "://") && s.Repository == "" || !strings.HasPrefix(s.Ref, "refs/heads/") {
		return f
	}
	if facts, err := moved(f, place, s.Ref, s.Commit); err == nil && len(facts) == 1 {
		return facts[0]
	}
	return f
}

// source reads customData where it has our form; others put there what they like.
func (d cdEvent) source() source {
	var s source
	if err := json.Unmarshal(d.CustomData, &s); err != nil {
		return source{}
	}
	return s
}

// packageOf reads a package URL of a package of one of the types that triggers know; nil for
// any other. Format: https://github.com/package-url/purl-spec.
func packageOf(purl string) *bridge.Package {
	rest, ok := strings.CutPrefix(purl, "pkg:")
	if !ok || len(purl) > 1024 {
		return nil
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	kind, rest, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(rest, '@')
	if at < 1 {
		return nil
	}
	name, err := url.PathUnescape(rest[:at])
	version, err2 := url.PathUnescape(rest[at+1:])
	q, err3 := url.ParseQuery(query)
	if err != nil || err2 != nil || err3 != nil {
		return nil
	}
	if kind == "maven" {
		name = strings.Replace(name, "/", ":", 1)
	}
	registry := hostOf(q.Get("repository_url"))
	if q.Get("repository_url") == "" {
		registry = ""
	}
	return newPackage(kind, registry, name, version)
}

// newPackage is a version of a package of a type that triggers know; nil for any other, and
// for one without a name or version.
func newPackage(kind, registry, name, version string) *bridge.Package {
	name, version = clean(name, 256), clean(version, 128)
	if name == "" || version == "" || kind != "maven" && kind != "npm" && kind != "generic" {
		return nil
	}
	return &bridge.Package{Type: kind, Registry: clean(registry, 256), Name: name, Version: version}
}

// readCloudEvents gives one fact for each event of the request.
func readCloudEvents(r Request, _ Options) ([]bridge.Fact, error) {
	events, err := CloudEvents(r.Header, r.Body)
	if err != nil {
		return nil, err
	}
	var out []bridge.Fact
	for _, e := range events {
		f, err := e.Fact()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// cloudEventKey is source and id of a single event; "" for a batch.
func cloudEventKey(r Request) string {
	doc := struct{ Source, ID string }{r.Header.Get("Ce-Source"), r.Header.Get("Ce-Id")}
	if r.Header.Get("Ce-Specversion") == "" && json.Unmarshal(r.Body, &doc) != nil {
		return ""
	}
	if doc.Source == "" || doc.ID == "" {
		return ""
	}
	return doc.Source + " " + doc.ID
}
