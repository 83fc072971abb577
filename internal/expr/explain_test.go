package expr_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/expr"
)

func TestExplain(t *testing.T) {
	for src, want := range map[string][]expr.Read{
		`true`: nil,
		`evidence.tests.failed == 0 && evidence.coverage.lines > 79`:  {{"evidence.tests.failed", int64(0)}, {"evidence.coverage.lines", 79.5}},
		`evidence.tests.failed == 1 && evidence.coverage.lines > 79`:  {{"evidence.tests.failed", int64(0)}}, // the right was not asked
		`event.tag != "" && event.tag != "a"`:                         {{"event.tag", "v1.2.3"}},
		`evidence[event.key].failed == 0`:                             {{`evidence["tests"].failed`, int64(0)}, {"event.key", "tests"}},
		`event.tags[0] == "a"`:                                        {{"event.tags[0]", "a"}},
		`has(evidence.sbom) || evidence.nothing == null`:              {{"has(evidence.sbom)", false}, {"evidence.nothing", nil}},
		`evidence.signed && evidence.sbom.packages > 0`:               {{"evidence.signed", true}}, // what is missing is the error's to tell
		`event.tags.all(t, t != event.tag)`:                           {{"event.tags", []any{"a", "b"}}, {"event.tag", "v1.2.3"}},
		`event.tags.map(event, event + "x").size() == 2`:              {{"event.tags", []any{"a", "b"}}},
		`{"a": event.key}["a"] == "tests" && [event.key].size() == 1`: {{"event.key", "tests"}},
		`event.tag.startsWith("v") && size(evidence.labels) == 1`:     {{"event.tag", "v1.2.3"}, {"evidence.labels", map[string]any{"team": "shop"}}},
	} {
		got, err := compile(t, src, expr.Bool).Explain(t.Context(), document())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", src, err, diff)
		}
	}
}

func TestReadsAreJSON(t *testing.T) {
	got, err := compile(t, `event == evidence || event.tags.size() == 2`, expr.Bool).Explain(t.Context(), document())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(got); err != nil || len(got) != 3 {
		t.Errorf("%d reads, %v", len(got), err)
	}
}

func TestDocument(t *testing.T) {
	doc, err := expr.Document(struct {
		Failed int       `json:"failed"`
		Big    int64     `json:"big"`
		Share  float64   `json:"share"`
		At     time.Time `json:"at"`
		Hidden string    `json:"-"`
	}{0, 1<<53 + 1, 0.5, time.Unix(0, 0).UTC(), "secret"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := expr.Compile(`failed == 0 && big == 9007199254740993 && share < 1 && at == "1970-01-01T00:00:00Z"`, expr.Bool, "failed", "big", "share", "at")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := e.Bool(t.Context(), doc); err != nil || !ok {
		t.Errorf("got %v, %v", ok, err)
	}
	if _, there := doc["Hidden"]; there {
		t.Error("a hidden field is in the document")
	}
	for _, v := range []any{[]int{1}, "text", func() {}, nil} {
		if doc, err := expr.Document(v); err == nil && doc != nil {
			t.Errorf("Document(%T) = %v", v, doc)
		}
	}
}
