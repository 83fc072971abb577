package expr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"drawbridge/internal/expr"
	"drawbridge/internal/fault"
)

// FuzzCompile holds that a text from outside gives an expression or a fault of one line, and
// that an expression gives a value or an error, never a panic.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`evidence.tests.failed == 0`, `has(event.a.b) ? event.a.b : "x"`, `evidence.findings.all(f, f.score < 9.0)`,
		`event.tags.map(t, t.upperAscii()).join(",")`, `event.tag.replace("v", event.body).size() > event.tag.substring(1).size()`, `event["tag"].matches("v.*")`, "a\n==\tb", `'\u0000'`, `b"x" + b"y"`,
		`timestamp("2026-01-01T00:00:00Z").getHours("Europe/Berlin") > 1`, `google.protobuf.Struct{fields: {}}`, `{1: 2, "a": [true]}.size()`, `1u - 2u`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, kind := range []expr.Kind{expr.Bool, expr.String} {
			e, err := expr.Compile(src, kind, "evidence", "event")
			if err != nil {
				one := fault.As(err)
				if one == nil || strings.ContainsAny(one.Message+one.Hint, "\n\r") {
					t.Fatalf("Compile(%q): %v is no fault of one line", src, err)
				}
				continue
			}
			if kind == expr.Bool {
				_, err = e.Bool(t.Context(), document())
			} else {
				_, err = e.String(t.Context(), document())
			}
			if err != nil && fault.As(err) == nil {
				t.Fatalf("run %q: %v is no fault", src, err)
			}
			if _, err := e.Explain(t.Context(), document()); err != nil {
				t.Fatalf("explain %q: %v", src, err)
			}
		}
	})
}

// FuzzBool holds that whatever stands in a document gives a value or a fault.
func FuzzBool(f *testing.F) {
	f.Add(`{"tests": {"failed": 0, "total": 1e300}}`)
	f.Add(`{"tests": {"failed": [1, null, {"a": -0.0}]}, "list": "text"}`)
	f.Add(`{"list": [{"level": 9223372036854775808}, {"level": "x"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var doc map[string]any
		if json.Unmarshal([]byte(text), &doc) != nil {
			return
		}
		e, err := expr.Compile(`evidence.tests.failed + 1 > 0 && evidence.list.all(f, f.level == "x" || f[0] > 1.5) && string(evidence.tests) != ""`, expr.Bool, "evidence")
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := e.Bool(t.Context(), map[string]any{"evidence": doc}); err != nil && (ok || fault.As(err) == nil) {
			t.Fatalf("%s: %v, %v", text, ok, err)
		}
	})
}
