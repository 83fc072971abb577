package expr_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/expr"
	"drawbridge/internal/fault"
)

// document is evidence and an event as callers hand them over.
func document() map[string]any {
	return map[string]any{
		"evidence": map[string]any{
			"tests":    map[string]any{"failed": 0.0, "total": json.Number("12"), "flaky": 3},
			"coverage": map[string]any{"lines": 79.5, "branches": 80.0},
			"findings": []any{map[string]any{"level": "high", "score": 9.5}, map[string]any{"level": "low", "score": 1.0}},
			"labels":   map[string]string{"team": "shop"},
			"built":    time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("", 3600)),
			"nothing":  nil,
			"signed":   true,
		},
		"event": map[string]any{
			"tag": "v1.2.3", "key": "tests", "tags": []string{"a", "b"},
			"body": strings.Repeat("ab", 5000),
		},
	}
}

func compile(t *testing.T, src string, kind expr.Kind) *expr.Expr {
	t.Helper()
	e, err := expr.Compile(src, kind, "evidence", "event")
	if err != nil {
		t.Fatalf("Compile(%q): %v", src, err)
	}
	return e
}

func TestBool(t *testing.T) {
	for src, want := range map[string]bool{
		`evidence.tests.failed == 0 && evidence.tests.total > 0`:                         true,
		`evidence.tests.failed == 0.0`:                                                   true,
		`evidence.tests.failed + 1 == 1`:                                                 true,
		`evidence.tests.total == 12 && evidence.tests.flaky < 4`:                         true,
		`evidence.coverage.lines >= 80`:                                                  false,
		`evidence.coverage.lines > 79`:                                                   true,
		`evidence.coverage.branches >= 80`:                                               true,
		`double(evidence.coverage.branches) / 100.0 > 0.7`:                               true,
		`evidence.signed`:                                                                true,
		`!evidence.signed`:                                                               false,
		`evidence.nothing == null`:                                                       true,
		`has(evidence.sbom)`:                                                             false,
		`has(evidence.sbom) && evidence.sbom.packages > 3`:                               false,
		`evidence.sbom.packages > 3 || evidence.signed`:                                  true, // what decides is there
		`evidence.findings.all(f, f.score < 9)`:                                          false,
		`evidence.findings.exists(f, f.level == "high")`:                                 true,
		`evidence.findings.filter(f, f.level == "low").size() == 1`:                      true,
		`evidence[event.key].failed == 0`:                                                true,
		`evidence.labels.team == "shop" && "team" in evidence.labels`:                    true,
		`evidence.built == "2026-11-23T05:00:00Z"`:                                       true,
		`timestamp(evidence.built) > timestamp("2026-11-22T00:00:00Z")`:                  true,
		`event.tag.startsWith("v") && event.tag.matches("^v[0-9.]+$")`:                   true,
		`event.tag.substring(1) == "1.2.3"`:                                              true,
		`"a" in event.tags && event.tags.join("-") == "a-b"`:                             true,
		`event.tag.split(".").map(x, x.size()) == [2, 1, 1]`:                             true,
		`event.tag == 1`:                                                                 false,
		`evidence.findings.all(evidence, evidence.level != "medium") && evidence.signed`: true, // a loop's own variable
	} {
		t.Run(src, func(t *testing.T) {
			got, err := compile(t, src, expr.Bool).Bool(t.Context(), document())
			if err != nil || got != want {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
}

func TestString(t *testing.T) {
	for src, want := range map[string]string{
		`event.tag`:                                           "v1.2.3",
		`"web-" + event.tag.replace("v", "")`:                 "web-1.2.3",
		`string(evidence.tests.total)`:                        "12",
		`event.tags[1]`:                                       "b",
		`evidence.signed ? "yes" : "no"`:                      "yes",
		`evidence.built`:                                      "2026-11-23T05:00:00Z",
		`has(event.sha) ? event.sha : "none"`:                 "none",
		`event.tags.join(",") + ":" + event.tag.upperAscii()`: "a,b:V1.2.3",
		`" äÄaZ ".trim().lowerAscii()`:                        "äÄaz",
		`event.tag.substring(0, 2) + "äöü".substring(1)`:      "v1öü",
	} {
		if got, err := compile(t, src, expr.String).String(t.Context(), document()); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", src, got, err, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	deep := `evidence.findings.all(a, evidence.findings.all(b, evidence.findings.all(c, a.x == b.x && b.x == c.x)))`
	for name, c := range map[string]struct {
		src     string
		result  expr.Kind
		kind    fault.Kind
		message string // it begins so
	}{
		"a misspelt name":         {`evidnce.tests.failed == 0`, expr.Bool, fault.Invalid, "1:1: unknown name evidnce: did you mean evidence?"},
		"on the third line":       {"true &&\n  true &&\n  evnt.tag == ''", expr.Bool, fault.Invalid, "3:3: unknown name evnt: did you mean event?"},
		"a name like no other":    {`status == 1`, expr.Bool, fault.Invalid, "1:1: unknown name status"},
		"a misspelt function":     {`event.tag.startWith("v")`, expr.Bool, fault.Invalid, "1:11: unknown function startWith: did you mean startsWith?"},
		"no clock":                {`now() > event.tag`, expr.Bool, fault.Invalid, "1:1: unknown function now"},
		"no macro of others":      {`cel.bind(a, 1, a == 1)`, expr.Bool, fault.Invalid, "1:"},
		"an unfinished sum":       {`event.tag == `, expr.Bool, fault.Invalid, "1:14: unexpected end of the expression"},
		"nothing":                 {``, expr.Bool, fault.Invalid, "1:1: unexpected end of the expression"},
		"an assignment":           {`event.tag = "a"`, expr.Bool, fault.Invalid, "1:11: "},
		"types that never meet":   {`"a" + 1 == 2`, expr.Bool, fault.Invalid, "1:5: + cannot be used with (string, int)"},
		"a number as a condition": {`size(event.tags)`, expr.Bool, fault.Invalid, "1:1: the condition gives a number, not true or false"},
		"a string as a condition": {`"true"`, expr.Bool, fault.Invalid, "1:1: the condition gives a string"},
		"a condition as a string": {`event.tag == ""`, expr.String, fault.Invalid, "1:1: the expression gives true or false, not a string"},
		"a broken pattern":        {`event.tag.matches("(")`, expr.Bool, fault.Invalid, "1:19: invalid matches argument"},
		"three loops":             {deep, expr.Bool, fault.TooLarge, "1:1: the expression may cost"},
		"a long text":             {strings.Repeat(" ", expr.MaxSource) + "true", expr.Bool, fault.TooLarge, "an expression has at most"},
		"deep brackets":           {strings.Repeat("(", 2000) + "true", expr.Bool, fault.Invalid, "1:1: expression recursion limit exceeded"},
		"deep lists":              {strings.Repeat("[", 2000), expr.Bool, fault.Invalid, "1:"},
		"deep conditions":         {strings.Repeat("true?", 800), expr.Bool, fault.Invalid, "1:"},
		"a long chain":            {"event" + strings.Repeat(".a", 1000), expr.Bool, fault.Invalid, "1:"},
		"a macro bomb":            {strings.Repeat("[1].all(a,", 300) + "true" + strings.Repeat(")", 300), expr.Bool, fault.Invalid, "1:"},
		"lists that double":       {`[event.tags]` + strings.Repeat(".map(a, a + a)", 20) + `.all(a, a == a)`, expr.Bool, fault.TooLarge, "1:1: the expression may cost"},
		"no format":               {`"%.1000000000f".format([1.0]) == ""`, expr.Bool, fault.Invalid, "1:17: unknown function format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := expr.Compile(c.src, c.result, "evidence", "event")
			f := fault.As(err)
			if f == nil || f.Kind != c.kind || !strings.HasPrefix(f.Message, c.message) {
				t.Errorf("got %v, want %s: %s", err, c.kind, c.message)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	for name, c := range map[string]struct {
		src     string
		kind    fault.Kind
		message string
	}{
		"a missing value":             {`evidence.sbom == "x"`, fault.NotFound, "no such key: evidence.sbom"},
		"a missing value, denied":     {`!(evidence.tests.skipped > 0)`, fault.NotFound, "no such key: evidence.tests.skipped"},
		"a missing map":               {`evidence.sbom.packages > 0`, fault.NotFound, "no such key: evidence.sbom"},
		"of one name twice":           {`evidence.tests.tests.failed == 0`, fault.NotFound, "no such key: evidence.tests.tests"},
		"behind one that is there":    {`evidence.tests.failed == 0 && evidence.tests.skipped == 0`, fault.NotFound, "no such key: evidence.tests.skipped"},
		"in brackets":                 {`evidence["coverage"]["functions"] > 0`, fault.NotFound, `no such key: evidence["coverage"]["functions"]`},
		"of an item":                  {`evidence.findings.all(f, f.severity == "")`, fault.NotFound, "no such key: f.severity"},
		"of labels":                   {`evidence.labels.owner == ""`, fault.NotFound, "no such key: evidence.labels.owner"},
		"has, two steps away":         {`has(evidence.sbom.packages)`, fault.NotFound, "no such key: evidence.sbom"},
		"an item too far":             {`event.tags[2] == ""`, fault.Invalid, "index out of bounds: 2"},
		"no condition":                {`evidence.tests.failed`, fault.Invalid, "gives a number, not true or false"},
		"null is not false":           {`evidence.nothing`, fault.Invalid, "gives null, not true or false"},
		"text is not true":            {`event.tag ? true : false`, fault.Invalid, "no such overload"},
		"a number and a text":         {`event.tag < 3`, fault.Invalid, "no such overload"},
		"division by zero":            {`1 / evidence.tests.failed == 1`, fault.Invalid, "division by zero"},
		"loops over long text":        {`event.body.split("").all(a, event.body.split("").all(b, a == a || b == b))`, fault.TooLarge, "costs more than 100000"},
		"text that grows":             {`event.body.replace("", event.body).size() > 0`, fault.TooLarge, "a text of more than"},
		"text that is joined":         {`event.body.substring(0, 200).split("").map(x, event.body).join("") == ""`, fault.TooLarge, "a text of more than"},
		"documents that are compared": {`event.body.split("").all(a, evidence == evidence && event == event)`, fault.TooLarge, "costs more than 100000"},
		"a cut too far":               {`event.tag.substring(2, 99) == ""`, fault.Invalid, "index out of range: 2 to 99 of 6 characters"},
		"a cut backwards":             {`event.tag.substring(3, 2) == ""`, fault.Invalid, "index out of range"},
		"a cut before the beginning":  {`event.tag.substring(-1) == ""`, fault.Invalid, "index out of range"},
		"a list of others joined":     {`evidence.findings.join(",") == ""`, fault.Invalid, "no such overload"},
		"a pattern from outside":      {`event.body.matches(event.body)`, fault.Invalid, "stopped"},
		"text that doubles by loops":  {`[event.body]` + strings.Repeat(".map(a, a + a)", 12) + `.size() == 1`, fault.TooLarge, "costs more than 100000"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := compile(t, c.src, expr.Bool).Bool(t.Context(), document())
			f := fault.As(err)
			if got || f == nil || f.Kind != c.kind || !strings.Contains(f.Message, c.message) {
				t.Errorf("got %v, %v, want %s: %s", got, err, c.kind, c.message)
			}
		})
	}
	if got, err := compile(t, `evidence.tests.failed`, expr.String).String(t.Context(), document()); got != "" || !fault.Is(err, fault.Invalid) {
		t.Errorf("a number as a string: %q, %v", got, err)
	}
	if _, err := compile(t, `evidence.signed`, expr.Bool).Bool(t.Context(), nil); err == nil || err.Error() != "no such key: evidence" {
		t.Errorf("without a document: %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := compile(t, `evidence.signed`, expr.Bool)
	if _, err := e.Bool(ctx, document()); !errors.Is(err, context.Canceled) {
		t.Errorf("Bool: %v", err)
	}
	if _, err := e.Explain(ctx, document()); !errors.Is(err, context.Canceled) {
		t.Errorf("Explain: %v", err)
	}
}

func TestDocumentStaysAsItIs(t *testing.T) {
	doc := document()
	if _, err := compile(t, `evidence.tests.failed == 0`, expr.Bool).Bool(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if v, ok := doc["evidence"].(map[string]any)["tests"].(map[string]any)["failed"].(float64); !ok || v != 0 {
		t.Error("running an expression changed its document")
	}
}

func TestManyAtOnce(t *testing.T) {
	e := compile(t, `evidence.tests.failed == 0`, expr.Bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if ok, err := e.Bool(t.Context(), document()); err != nil || !ok {
					t.Errorf("got %v, %v", ok, err)
				}
				if _, err := expr.Compile(`event.tag == ""`, expr.Bool, "event"); err != nil {
					t.Error(err)
				}
				if r, err := e.Explain(t.Context(), document()); err != nil || len(r) != 1 {
					t.Errorf("explains %v, %v", r, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkBool(b *testing.B) {
	e, err := expr.Compile(`evidence.tests.failed == 0 && evidence.coverage.lines > 79`, expr.Bool, "evidence")
	if err != nil {
		b.Fatal(err)
	}
	doc := document()
	for b.Loop() {
		if ok, err := e.Bool(b.Context(), doc); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := expr.Compile(`evidence.tests.failed == 0 && evidence.coverage.lines > 79`, expr.Bool, "evidence"); err != nil {
			b.Fatal(err)
		}
	}
}
