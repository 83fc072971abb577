package bridge

import (
	"context"
	"encoding/json"
	"fmt"
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
	in.note("condition", ok, "%s", reads(ctx, e, doc))
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
	if len(s) > 300 {
		return strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// document is what expressions read. A delivery that is no longer kept, or is no JSON, has
// an empty body, so that an expression which needs it says what it lacks.
func (s *Service) document(ctx context.Context, in *hearing, evidence EvidenceSet) (map[string]any, error) {
	event, err := expr.Document(in.ev.Fact)
	if err != nil {
		return nil, err
	}
	event["receiver"], event["sender"], event["id"] = in.ev.Receiver, in.ev.Sender, in.ev.ID
	raw, err := s.Ledger.Raw(ctx, in.ev.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	all := map[string]any{docEvent: event, docHeaders: raw.Headers, docBody: map[string]any{}}
	if raw.Headers == nil {
		all[docHeaders] = map[string]any{}
	}
	if json.Valid(raw.Body) {
		all[docBody] = json.RawMessage(raw.Body)
	}
	if evidence != nil {
		if all[docEvidence], err = evidence.document(); err != nil {
			return nil, err
		}
	}
	return expr.Document(all)
}

// document is the evidence as expressions read it: evidence.artifacts.NAME, and where there is
// one artifact its values at evidence itself. What nobody stated is not there.
func (e EvidenceSet) document() (map[string]any, error) {
	out := map[string]any{}
	for _, one := range e {
		if len(e) > 1 {
			break
		}
		var err error
		if out, err = expr.Document(one); err != nil {
			return nil, err
		}
	}
	out["artifacts"] = e
	return out, nil
}

// reads is what an expression looked at, in one line.
func reads(ctx context.Context, e *expr.Expr, doc map[string]any) string {
	list, err := e.Explain(ctx, doc)
	if err != nil || len(list) == 0 {
		return e.Source()
	}
	parts := make([]string, len(list))
	for i, r := range list {
		parts[i] = fmt.Sprintf("%s is %v", r.Path, r.Value)
	}
	return clipped(strings.Join(parts, ", "))
}
