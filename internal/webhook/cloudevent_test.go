package webhook_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/webhook"
)

func structured() http.Header { return http.Header{"Content-Type": {"application/cloudevents+json"}} }

// What our own CI sends reads the same here as bridge.ParsePublished reads it.
func TestFactOfPublished(t *testing.T) {
	digest := artifact.DigestOf([]byte("x"))
	for name, p := range map[string]bridge.Published{
		"all": {
			Source: "/ci", ID: "run/1", Chain: "c1", Artifact: artifact.Reference{Repository: "shop/web", Tag: "1.0.0", Digest: digest},
			Repository: "shop", Ref: "refs/heads/main", Commit: strings.Repeat("a", 40), At: time.Date(2026, 1, 5, 9, 0, 0, 123456789, time.UTC),
		},
		"elsewhere": {
			Source: "https://ci.example.com/x", ID: "2", Artifact: artifact.Reference{Host: "r.example.com:5000", Repository: "a/b", Tag: "x", Digest: digest},
			Repository: "https://git.example.com/a/b", Ref: "refs/tags/v1", At: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC),
		},
		"least": {Source: "/registry", ID: "3", Artifact: artifact.Reference{Repository: "web", Digest: digest}, At: time.Unix(0, 0).UTC()},
	} {
		body, err := p.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		want, err := bridge.ParsePublished(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []http.Header{structured(), {"Content-Type": {"application/json"}}, {}} {
			events, err := webhook.CloudEvents(h, body)
			if err != nil || len(events) != 1 {
				t.Fatalf("%s: %v, %v", name, events, err)
			}
			e := events[0]
			f, err := e.Fact()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if f.Kind != bridge.KindArtifact || f.Artifact != want.Artifact || f.Chain != want.Chain || !f.At.Equal(want.At) || f.Source != want.Source || e.ID != want.ID || f.Type != bridge.PublishedType {
				t.Errorf("%s: fact %+v, want %+v", name, f, want)
			}
			var git bridge.GitRef
			if f.Git != nil {
				git = *f.Git
			}
			if d := cmp.Diff(bridge.GitRef{Repository: want.Repository, Ref: want.Ref, Commit: want.Commit}, git); d != "" {
				t.Errorf("%s: git (-want +got):\n%s", name, d)
			}
		}
	}
}

// The three modes tell the same event.
func TestModes(t *testing.T) {
	doc := `{"specversion":"1.0","id":"1","source":"/a","type":"t","subject":"s €","time":"2026-01-05T10:00:00.5+01:00","team":"x","n":3,"b":true,"none":null,"datacontenttype":"application/json","data":{"k":[1]}}`
	one := func(h http.Header, body string) webhook.CloudEvent {
		t.Helper()
		list, err := webhook.CloudEvents(h, []byte(body))
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list[0]
	}
	want := webhook.CloudEvent{
		ID: "1", Source: "/a", Type: "t", Subject: "s €", Time: time.Date(2026, 1, 5, 9, 0, 0, 5e8, time.UTC),
		Extensions: map[string]string{"team": "x", "n": "3", "b": "true"}, Data: []byte(`{"k":[1]}`), DataContentType: "application/json",
	}
	binary := http.Header{}
	for k, v := range map[string]string{
		"Specversion": "1.0", "Id": "1", "Source": "/a", "Type": "t", "Subject": "s %E2%82%AC", "Time": "2026-01-05T10:00:00.5+01:00", "Team": "x", "N": "3", "B": "true",
	} {
		binary.Set("Ce-"+k, v)
	}
	binary.Set("Content-Type", "application/json")
	for name, got := range map[string]webhook.CloudEvent{
		"structured": one(structured(), doc),
		"base64":     one(structured(), strings.Replace(doc, `"data":{"k":[1]}`, `"data_base64":"`+base64.StdEncoding.EncodeToString([]byte(`{"k":[1]}`))+`"`, 1)),
		"batch":      one(http.Header{"Content-Type": {"application/cloudevents-batch+json; charset=utf-8"}}, "["+doc+"]"),
		"json":       one(http.Header{"Content-Type": {"application/json"}}, doc),
		"json list":  one(http.Header{"Content-Type": {"application/json"}}, " ["+doc+"]"),
		"binary":     one(binary, `{"k":[1]}`),
	} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	binary.Set("Content-Type", "text/plain")
	if got := one(binary, "hello"); string(got.Data) != `"hello"` {
		t.Errorf("text: %s", got.Data)
	}
	if got := one(binary, "\xff\x00"); string(got.Data) != `"/wA="` {
		t.Errorf("bytes: %s", got.Data)
	}
	if got := one(binary, ""); got.Data != nil {
		t.Errorf("nothing: %s", got.Data)
	}
	if list, err := webhook.CloudEvents(http.Header{}, []byte("[]")); err != nil || len(list) != 0 {
		t.Errorf("an empty batch: %v, %v", list, err)
	}
}

func TestBadCloudEvents(t *testing.T) {
	good := `"specversion":"1.0","id":"1","source":"/a","type":"t"`
	long := strings.Repeat("x", 257)
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, `,"x%d":"y"`, i)
	}
	for body, want := range map[string]string{
		"":                   "no JSON object",
		"null":               "no JSON object",
		"7":                  "no JSON object",
		"{":                  "no JSON object",
		"{}":                 "specversion",
		"[{}]":               "[0].specversion",
		"[{" + good + "},7]": "[1]",
		"[":                  "no CloudEvent",
		strings.Replace("{"+good+"}", "1.0", "0.3", 1):               "specversion",
		`{"specversion":"1.0","source":"/a","type":"t"}`:             "id",
		`{"specversion":"1.0","id":"","source":"/a"}`:                "id",
		`{"specversion":"1.0","id":"1","type":"t"}`:                  "source",
		`{"specversion":"1.0","id":"1","source":"/a"}`:               "type",
		`{"specversion":"1.0","id":"` + long + `"}`:                  "id",
		`{"specversion":"1.0","id":["1"]}`:                           "id",
		"{" + good + `,"time":"yesterday"}`:                          "time",
		"{" + good + `,"data_base64":"%"}`:                           "data_base64",
		"{" + good + `,"data_base64":7}`:                             "data_base64",
		"{" + good + `,"Bad_Name":"x"}`:                              "Bad_Name",
		"{" + good + `,"ext":{"a":1}}`:                               "ext",
		"{" + good + many.String() + "}":                             "at most 40 extensions",
		"[" + strings.Repeat("{"+good+"},", 100) + "{" + good + "}]": "at most 100 events",
	} {
		list, err := webhook.CloudEvents(http.Header{}, []byte(body))
		if list != nil || fault.As(err) == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80s: %v, %v; want %q", body, list, err, want)
		}
	}
	for _, kind := range []string{"application/cloudevents+xml", "application/cloudevents"} {
		if _, err := webhook.CloudEvents(http.Header{"Content-Type": {kind}}, []byte("{"+good+"}")); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for name, h := range map[string]http.Header{
		"no id":      {"Ce-Specversion": {"1.0"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}},
		"two ids":    {"Ce-Specversion": {"1.0"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "Ce-Id": {"1", "2"}},
		"bad escape": {"Ce-Specversion": {"1.0"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "Ce-Id": {"%zz"}},
		"no UTF-8":   {"Ce-Specversion": {"1.0"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "Ce-Id": {"%ff"}},
	} {
		if _, err := webhook.CloudEvents(h, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := webhook.CloudEvents(http.Header{}, make([]byte, bridge.MaxEvent+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestBadCDEvents(t *testing.T) {
	purl := "pkg:oci/web@" + url.QueryEscape(digest) + "?repository_url=r.example.com/web"
	for data, want := range map[string]string{
		``:                                 "data",
		`7`:                                "data",
		`{}`:                               "data.subject.id",
		`{"subject":{"id":"pkg:oci/web"}}`: "data.subject.id",
		`{"subject":{"id":"web"}}`:         "data.subject.id",
		`{"subject":{"id":"` + purl + `"},"context":{"timestamp":"now"}}`:                           "data.context.timestamp",
		`{"subject":{"id":"` + purl + `"},"context":{"chainId":"` + strings.Repeat("x", 65) + `"}}`: "data.context.chainId",
	} {
		e := webhook.CloudEvent{ID: "1", Source: "/a", Type: bridge.PublishedType, Data: []byte(data)}
		if f, err := e.Fact(); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), want) || f.Kind != "" {
			t.Errorf("%.80s: %+v, %v; want %q", data, f, err, want)
		}
	}
	e := webhook.CloudEvent{ID: "1", Source: "/a", Type: bridge.PublishedType, Data: []byte(`{"subject":{"id":"` + purl + `"},"customData":"free text"}`)}
	other := e
	other.Type = strings.Replace(e.Type, "dev.", "com.", 1)
	if f, err := other.Fact(); err != nil || f.Kind != bridge.KindEvent {
		t.Errorf("a type that is not CDEvents': %+v, %v", f, err)
	}
	if f, err := e.Fact(); err != nil || f.Git != nil || f.Artifact.Digest.String() != digest {
		t.Errorf("somebody else's customData: %+v, %v", f, err)
	}
}
