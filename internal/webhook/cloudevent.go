package webhook

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// CloudEvent is one CloudEvents 1.0 event, see https://github.com/cloudevents/spec.
type CloudEvent struct {
	ID              string            // 1 to 256 characters; unique together with Source
	Source          string            // 1 to 256 characters
	Type            string            // 1 to 256 characters
	Subject         string            // may be empty
	Time            time.Time         // UTC; zero when the event has none
	Extensions      map[string]string // nil when there are none; numbers and booleans as text
	Data            json.RawMessage   // valid JSON or nil; data of another form is a JSON string: its text, or base64 of what is no UTF-8
	DataContentType string            // of the data as it was sent
}

// Limits of one event.
const (
	maxAttribute  = 256 // characters of an attribute that names something
	maxExtensions = 40
)

// attributeName is the name of an attribute; 20 characters are usual, more must be taken.
var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// CloudEvents reads the events of one HTTP request in any of the three modes: binary (the
// attributes in Ce- headers), structured (application/cloudevents+json) and batch
// (application/cloudevents-batch+json); application/json is read as one of the latter two.
// They come in the order of the batch, at most bridge.MaxFacts. A request that holds no
// CloudEvent, or a malformed one, is a fault of kind Invalid that names the attribute.
func CloudEvents(h http.Header, body []byte) ([]CloudEvent, error) {
	if len(body) > bridge.MaxEvent {
		return nil, fault.New(fault.TooLarge, "an event has at most %d bytes, not %d", bridge.MaxEvent, len(body))
	}
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case kind == "application/cloudevents-batch+json":
		return batch(body)
	case kind == "application/cloudevents+json":
		return single(body)
	case strings.HasPrefix(kind, "application/cloudevents"):
		return nil, notCloudEvent("%s is not read", clean(kind, 80))
	case h.Get("Ce-Specversion") != "":
		ev, err := binaryEvent(h, body)
		return []CloudEvent{ev}, err
	case strings.HasPrefix(strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"), "["):
		return batch(body)
	}
	return single(body)
}

func notCloudEvent(format string, args ...any) error {
	return fault.New(fault.Invalid, "the body is no CloudEvent: "+format, args...).
		WithHint("send CloudEvents 1.0 as structured JSON, as a batch, or with Ce- headers")
}

func single(body []byte) ([]CloudEvent, error) {
	ev, err := structured(body)
	if err != nil {
		return nil, err
	}
	return []CloudEvent{ev}, nil
}

func batch(body []byte) ([]CloudEvent, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, notCloudEvent("%s", clean(err.Error(), 200))
	}
	if len(list) > bridge.MaxFacts {
		return nil, fault.New(fault.TooLarge, "a batch has at most %d events, not %d", bridge.MaxFacts, len(list))
	}
	var out []CloudEvent
	for i, raw := range list {
		ev, err := structured(raw)
		if f := fault.As(err); f != nil {
			return nil, f.WithField(strings.TrimSuffix("["+strconv.Itoa(i)+"]."+f.Field, "."))
		}
		out = append(out, ev)
	}
	return out, nil
}

// structured reads one event in the JSON format.
func structured(body []byte) (CloudEvent, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(body, &doc); err != nil || doc == nil {
		return CloudEvent{}, notCloudEvent("it is no JSON object")
	}
	attributes := map[string]string{}
	for name, raw := range doc {
		if name == "data" || name == "data_base64" || string(raw) == "null" {
			continue
		}
		v, err := scalar(raw)
		if err != nil {
			return CloudEvent{}, wrong(clean(name, 64), "is no text, number or boolean")
		}
		attributes[name] = v
	}
	ev, err := event(attributes)
	if err != nil {
		return ev, err
	}
	if raw, ok := doc["data_base64"]; ok && string(raw) != "null" {
		var data []byte // encoding/json reads base64 into it
		if err := json.Unmarshal(raw, &data); err != nil {
			return CloudEvent{}, wrong("data_base64", "is no base64 text")
		}
		ev.Data = asJSON(data, ev.DataContentType)
		return ev, nil
	}
	if raw := doc["data"]; len(raw) > 0 && string(raw) != "null" {
		ev.Data = raw
	}
	return ev, nil
}

// binaryEvent reads one event whose attributes are headers; their values are percent-encoded.
func binaryEvent(h http.Header, body []byte) (CloudEvent, error) {
	attributes := map[string]string{}
	for name := range h {
		n, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		v, once := one(h, name)
		text, err := url.PathUnescape(v)
		if !once || err != nil || !utf8.ValidString(text) {
			return CloudEvent{}, wrong(clean("ce-"+n, 64), "must stand there once, percent-encoded")
		}
		attributes[n] = text
	}
	delete(attributes, "datacontenttype")
	if t := h.Get("Content-Type"); t != "" {
		attributes["datacontenttype"] = t
	}
	ev, err := event(attributes)
	if err == nil && len(body) > 0 {
		ev.Data = asJSON(body, ev.DataContentType)
	}
	return ev, err
}

// event checks the attributes of an event.
func event(attributes map[string]string) (CloudEvent, error) {
	take := func(name string) string {
		v := attributes[name]
		delete(attributes, name)
		return v
	}
	if v := take("specversion"); v != "1.0" {
		return CloudEvent{}, wrong("specversion", "want 1.0, not %q", clean(v, 40))
	}
	ev := CloudEvent{ID: take("id"), Source: take("source"), Type: take("type"), Subject: take("subject"), DataContentType: take("datacontenttype")}
	for _, a := range []struct{ name, value string }{{"id", ev.ID}, {"source", ev.Source}, {"type", ev.Type}} {
		if a.value == "" || len(a.value) > maxAttribute {
			return CloudEvent{}, wrong(a.name, "must have 1 to %d characters", maxAttribute)
		}
	}
	if at := take("time"); at != "" {
		if ev.Time = when(at); ev.Time.IsZero() {
			return CloudEvent{}, wrong("time", "%q is no RFC 3339 time", clean(at, 40))
		}
	}
	if len(attributes) > maxExtensions {
		return CloudEvent{}, fault.New(fault.TooLarge, "an event has at most %d extensions, not %d", maxExtensions, len(attributes))
	}
	for name := range attributes {
		if !attributeName.MatchString(name) {
			return CloudEvent{}, wrong(clean(name, 64), "is no name of an attribute: only lower-case letters and digits")
		}
	}
	if len(attributes) > 0 {
		ev.Extensions = attributes
	}
	return ev, nil
}

func scalar(raw json.RawMessage) (string, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return text, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err == nil {
		return n.String(), nil
	}
	var b bool
	err := json.Unmarshal(raw, &b)
	return strconv.FormatBool(b), err
}

// asJSON is data as a JSON value: itself where its type says JSON and it is, else a text.
func asJSON(data []byte, contentType string) json.RawMessage {
	kind, _, err := mime.ParseMediaType(contentType)
	isJSON := contentType == "" || err == nil && (kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json"))
	if isJSON && json.Valid(data) {
		return data
	}
	text := string(data)
	if !utf8.Valid(data) {
		text = base64.StdEncoding.EncodeToString(data)
	}
	out, err := json.Marshal(text)
	if err != nil {
		return nil // a text always has a JSON form
	}
	return out
}
