package webhook

import (
	"encoding/json"
	"strconv"

	"drawbridge/internal/bridge"
)

// subjectKeys are the members of a document that say what it is about, best first, and
// actorKeys those that say who did it.
var (
	subjectKeys = []string{"subject", "number", "key", "id", "name", "title", "short_description"}
	actorKeys   = []string{"actor", "user", "sender", "sys_updated_by", "updated_by", "author"}
	typeKeys    = []string{"type", "event_type", "event", "action"}
	timeKeys    = []string{"timestamp", "time", "sys_updated_on", "updated_at", "occurred_at"}
	nameKeys    = []string{"login", "username", "display_name", "displayName", "name", "email", "id", "value", "display_value"}
	// wrappers are members in which some senders put the document itself.
	wrappers = []string{"data", "result", "record", "change", "change_request", "payload"}
)

// readDocument takes any JSON document. What is in it is for conditions to read; here only
// a line for people is looked for.
func readDocument(typeHeaders ...string) func(Request, Options) ([]bridge.Fact, error) {
	return func(r Request, _ Options) ([]bridge.Fact, error) {
		doc, err := decode[any](r.Body)
		if err != nil {
			return nil, err
		}
		f := bridge.Fact{Kind: bridge.KindTicket}
		for _, h := range typeHeaders {
			if v, ok := one(r.Header, h); ok && f.Type == "" {
				f.Type = v
			}
		}
		outer, _ := doc.(map[string]any)
		f = describe(f, outer)
		for _, w := range wrappers {
			if inner, ok := outer[w].(map[string]any); ok {
				f = describe(f, inner)
			}
		}
		f.Type = first(f.Type, "document")
		f.Subject = first(f.Subject, f.Type)
		return []bridge.Fact{f}, nil
	}
}

// describe fills what f does not have from the members of doc.
func describe(f bridge.Fact, doc map[string]any) bridge.Fact {
	f.Type = first(f.Type, member(doc, typeKeys))
	f.Subject = first(f.Subject, member(doc, subjectKeys))
	f.Actor = first(f.Actor, member(doc, actorKeys))
	for _, k := range timeKeys {
		b, err := json.Marshal(doc[k])
		var at stamp
		if err == nil && at.UnmarshalJSON(b) == nil && f.At.IsZero() {
			f.At = at.Time
		}
	}
	return f
}

// member is the first member of doc under one of the keys that is a text, a number, or an
// object with a name.
func member(doc map[string]any, keys []string) string {
	for _, k := range keys {
		switch v := doc[k].(type) {
		case string:
			if v != "" {
				return v
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		case map[string]any:
			for _, n := range nameKeys {
				if s, ok := v[n].(string); ok && s != "" {
					return s
				}
			}
		}
	}
	return ""
}
