package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/textproto"
	"strings"

	"drawbridge/internal/expr"
	"drawbridge/internal/fault"
)

// The documents that a trigger's expressions read.
const (
	docEvent    = "event"    // the fact, with receiver, sender and id
	docBody     = "body"     // the delivery of the sender, as JSON
	docHeaders  = "headers"  // its headers, names in lower case
	docEvidence = "evidence" // what was verified: of the one artifact, and artifacts.NAME of each
)

// CheckCondition reads a trigger's condition; the fault holds the place in the expression.
func CheckCondition(src string, on TriggerKind) error {
	_, err := expr.Compile(src, expr.Bool, documents(on)...)
	return err
}

// CheckVersion reads the expression that names a version.
func CheckVersion(src string) error {
	_, err := expr.Compile(src, expr.String, documents(OnWebhook)...)
	return err
}

func documents(on TriggerKind) []string {
	if on == OnArtifact || on == OnRelease {
		return []string{docEvent, docBody, docHeaders, docEvidence}
	}
	return []string{docEvent, docBody, docHeaders}
}

// condition asks the trigger's condition. What it cannot read is no match and says so.
func (s *Service) condition(ctx context.Context, in *hearing, evidence EvidenceSet) (o Outcome, done bool, err error) {
	if in.t.When == "" {
		return o, false, nil
	}
	e, err := expr.Compile(in.t.When, expr.Bool, documents(in.t.On)...)
	if err != nil {
		return in.refuse("the condition cannot be read: %s", reason(err)), true, nil
	}
	doc, err := s.document(ctx, in, evidence)
	if err != nil {
		return o, true, err
	}
	ok, err := e.Bool(ctx, doc)
	if err != nil {
		in.note("condition", false, "%s", reason(err))
		return in.ignore("the condition cannot be judged: %s", reason(err)), true, nil
	}
	in.note("condition", ok, "%s", in.t.When)
	if !ok {
		return in.ignore("the condition does not hold: %s", in.t.When), true, nil
	}
	return o, false, nil
}

// named asks for the version that the trigger's expression names.
func (s *Service) named(ctx context.Context, in *hearing) (version string, o Outcome, done bool, err error) {
	e, err := expr.Compile(in.t.Version, expr.String, documents(in.t.On)...)
	if err != nil {
		return "", in.refuse("the version's expression cannot be read: %s", reason(err)), true, nil
	}
	doc, err := s.document(ctx, in, nil)
	if err != nil {
		return "", o, true, err
	}
	version, err = e.String(ctx, doc)
	if err != nil {
		in.note("version", false, "%s", reason(err))
		return "", in.refuse("the event names no version: %s", reason(err)), true, nil
	}
	if version = strings.TrimSpace(version); version == "" || len(version) > 200 {
		in.note("version", false, "%q", clipped(version))
		return "", in.refuse("the event names no version: %s gives %q", in.t.Version, clipped(version)), true, nil
	}
	in.note("version", true, "%s", version)
	return version, o, false, nil
}

func clipped(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// document is what expressions read. A delivery that is no longer kept, or is no JSON, has
// an empty body, so that an expression which needs it says what it lacks.
func (s *Service) document(ctx context.Context, in *hearing, evidence EvidenceSet) (map[string]any, error) {
	event, err := plain(in.ev.Fact)
	if err != nil {
		return nil, err
	}
	about, _ := event.(map[string]any)
	about["receiver"], about["sender"], about["id"] = in.ev.Receiver, in.ev.Sender, in.ev.ID
	doc := map[string]any{docEvent: about, docBody: map[string]any{}, docHeaders: map[string]any{}}
	raw, err := s.Ledger.Raw(ctx, in.ev.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	headers := map[string]any{}
	for k, v := range raw.Headers {
		headers[strings.ToLower(textproto.TrimString(k))] = v
	}
	doc[docHeaders] = headers
	var body any
	if len(raw.Body) > 0 && decode(raw.Body, &body) == nil {
		doc[docBody] = body
	}
	if evidence != nil {
		doc[docEvidence], err = evidence.document()
	}
	return doc, err
}

// document is the evidence as expressions read it: evidence.artifacts.NAME, and where there is
// one artifact its values at evidence itself. What nobody stated is not there.
func (e EvidenceSet) document() (any, error) {
	all, err := plain(e)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"artifacts": all}
	if len(e) == 1 {
		for _, one := range e {
			fields, err := plain(one)
			if err != nil {
				return nil, err
			}
			if m, ok := fields.(map[string]any); ok {
				for k, v := range m {
					out[k] = v
				}
			}
		}
	}
	return out, nil
}

// plain is v as its JSON reads.
func plain(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a document for an expression: %w", err)
	}
	var out any
	return out, decode(b, &out)
}

// decode reads JSON with whole numbers as integers where they are.
func decode(b []byte, v *any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	*v = numbers(*v)
	return nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}
