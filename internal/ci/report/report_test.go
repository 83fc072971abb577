package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"drawbridge/internal/attest"
	"drawbridge/internal/ci/report"
	"drawbridge/internal/fault"
)

// events makes go test -json from lines "action package [test]".
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := append(strings.Fields(l), "", "")
		fmt.Fprintf(&b, `{"Time":"2026-01-01T00:00:00Z","Action":%q,"Package":%q,"Test":%q}`+"\n", f[0], f[1], f[2])
	}
	return b.String()
}

func counts(t attest.Tests) string {
	return fmt.Sprintf("%d/%d/%d", t.Passed, t.Failed, t.Skipped)
}

func TestGoTest(t *testing.T) {
	for name, row := range map[string]struct{ src, want, failed string }{
		"good":                {events("start p", "run p A", "output p A", "pass p A", "run p A/s", "skip p A/s", "pass p"), "1/0/1", ""},
		"failed test":         {events("run p A", "fail p A", "run p B", "pass p B", "fail p"), "1/1/0", "p.A"},
		"two packages":        {events("run p A", "run q A", "pass q A", "pass q", "fail p A", "fail p"), "1/1/0", "p.A"},
		"does not build":      {`{"ImportPath":"p","Action":"build-output","Output":"x"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}` + "\n", "0/1/0", "p (does not build)"},
		"exits":               {events("run p A", "pass p A", "fail p"), "1/1/0", "p"},
		"never ended":         {events("run p A", "fail p"), "0/1/0", "p.A (never ended)"},
		"never ended, passes": {events("run p A", "run p B", "pass p B", "pass p"), "1/1/0", "p.A (never ended)"},
		"run twice":           {events("run p A", "pass p A", "run p A", "fail p A", "fail p"), "1/1/0", "p.A"},
		"no tests in one":     {events("skip p", "run q A", "pass q A", "pass q"), "1/0/0", ""},
		"crlf and blanks":     {strings.ReplaceAll("\n"+events("run p A", "pass p A", "pass p"), "\n", "\r\n"), "1/0/0", ""},
		"byte order mark":     {"\xef\xbb\xbf" + events("run p A", "pass p A", "pass p"), "1/0/0", ""},
	} {
		got, err := report.Tests("t.json", strings.NewReader(row.src))
		if err != nil || counts(got) != row.want || strings.Join(got.FailedNames, ",") != row.failed || got.Observed {
			t.Errorf("%s: %+v, %v, want %s with %q failed", name, got, err, row.want, row.failed)
		}
	}
}

func TestJUnit(t *testing.T) {
	for name, row := range map[string]struct{ src, want, failed string }{
		"suites": {`<?xml version="1.0" encoding="UTF-8"?><testsuites tests="3"><testsuite name="s"><testcase name="a" classname="c"/>` +
			`<testcase name="b"><failure message="x">at &lt;</failure></testcase><testcase name="d"><skipped/></testcase></testsuite></testsuites>`, "1/1/1", "b"},
		"bare suite":          {`<testsuite><testcase name="a"/></testsuite>`, "1/0/0", ""},
		"nested":              {`<testsuites><testsuite><testsuite><testcase classname="x.Y" name="a"><error/></testcase></testsuite></testsuite></testsuites>`, "0/1/0", "x.Y.a"},
		"failed and skipped":  {`<testsuite><testcase name="a"><failure/><skipped/></testcase></testsuite>`, "0/1/0", "a"},
		"output":              {`<testsuite><properties><property name="x" value="y"/></properties><testcase name="a"><system-out><![CDATA[<failure/>]]></system-out></testcase></testsuite>`, "1/0/0", ""},
		"namespaced, comment": {`<!-- x --><testsuite xmlns="urn:x"><testcase name="a"/></testsuite>`, "1/0/0", ""},
		"crashed suite":       {`<testsuites failures="1" errors="1"><testsuite failures="1" errors="1"><testcase name="a"/></testsuite></testsuites>`, "1/2/0", ""},
		"crashed inner":       {`<testsuites><testsuite errors="1"/><testsuite failures="2"><testcase name="a"/></testsuite></testsuites>`, "1/3/0", ""},
		"suite failure":       {`<testsuite><failure/><testcase name="a"/></testsuite>`, "1/0/0", ""},
	} {
		got, err := report.Tests("t.xml", strings.NewReader(row.src))
		if err != nil || counts(got) != row.want || strings.Join(got.FailedNames, ",") != row.failed {
			t.Errorf("%s: %+v, %v, want %s with %q failed", name, got, err, row.want, row.failed)
		}
	}
}

func TestTestsRefused(t *testing.T) {
	good := events("run p A", "pass p A")
	for name, row := range map[string]struct{ src, want string }{
		"empty":            {"", "t: the report is empty"},
		"blank":            {" \n\t\n", "t: the report is empty"},
		"text":             {"ok  p 0.1s\n", "t:1: the report is neither"},
		"no tests":         {events("skip p"), "t: the report holds no tests"},
		"no tests, passes": {events("start p", "pass p"), "t: the report holds no tests"},
		"cut short":        {good, "t:1: the report is cut short: package p"},
		"cut line":         {good + `{"Action":"pass","Pac`, "t:3: the line is no event"},
		"text inside":      {good + "go: downloading x\n", "t:3: the line is no event"},
		"other JSON":       {`{"version":"2.1.0","runs":[]}`, "t:1: the line is no event"},
		"array event":      {`{"Action":["pass"]}`, "t:1: the line is no event"},
		"huge line":        {good + `{"Action":"output","Output":"` + strings.Repeat("x", report.MaxLine) + `"}`, "t:3: the line is longer than"},
		"too large":        {strings.Repeat(events("output p "+strings.Repeat("A", 1<<20)), report.MaxReport>>20), "t: the report is larger than"},
		"html":             {"<html>\n</html>", "t:1: the XML is no JUnit report: its root is <html>"},
		"xml cut":          {"<testsuite>\n<testcase name='a'/>\n", "t:3: the report is cut short: <testsuite> is not closed"},
		"xml cut in tag":   {"<testsuite>\n<testcase name=", "t:2:"},
		"xml crossed":      {"<testsuite>\n<testcase></testsuite>", "t:2: the XML is malformed"},
		"xml empty":        {"<testsuites></testsuites>", "t: the report holds no tests"},
		"entity bomb": {
			"<?xml version='1.0'?>\n<!DOCTYPE l [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>\n<testsuite><testcase name='&b;'/></testsuite>",
			"t:2:",
		},
		"unknown entity":  {"<testsuite><testcase name='&lol;'/></testsuite>", "invalid character entity"},
		"external entity": {"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><testsuite/>", "a document type is refused"},
		"charset":         {"<?xml version='1.0' encoding='UTF-7'?><testsuite/>", "encoding"},
		"deep":            {"<testsuite>" + strings.Repeat("<testsuite>", 100), "nested deeper than 64"},
		"bad utf-8":       {"<testsuite><testcase name='\xff'/></testsuite>", "UTF-8"},
	} {
		got, err := report.Tests("t", strings.NewReader(row.src))
		if f := fault.As(err); f == nil || f.File != "t" || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %s, %v, want %q", name, counts(got), err, row.want)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	var lines []string
	for i := range attest.MaxNames + 5 {
		lines = append(lines, fmt.Sprintf("pass p T%d", i))
	}
	lines = append(lines, "pass p "+strings.Repeat("n", 3000), "pass p")
	got, err := report.Tests("t", strings.NewReader(events(lines...)))
	if err != nil || got.Passed != attest.MaxNames+6 || len(got.PassedNames) != attest.MaxNames {
		t.Errorf("passed %d with %d names, %v", got.Passed, len(got.PassedNames), err)
	}
}

func TestReadErrorIsNoFault(t *testing.T) {
	broken := errors.New("pipe broke")
	for name, read := range map[string]func(string, io.Reader) error{
		"tests":    func(s string, r io.Reader) error { _, err := report.Tests(s, r); return err },
		"coverage": func(s string, r io.Reader) error { _, err := report.Coverage(s, r); return err },
		"findings": func(s string, r io.Reader) error { _, err := report.Findings(s, r); return err },
	} {
		for _, start := range []string{"", "{", "<", "mode: set\n"} {
			err := read("f", io.MultiReader(strings.NewReader(start), iotest.ErrReader(broken)))
			if err == nil || (start == "" && (!errors.Is(err, broken) || fault.As(err) != nil)) {
				t.Errorf("%s after %q: %v, want the reader's own error", name, start, err)
			}
		}
	}
}

const block = "a.go:1.2,3.4 "

func TestCoverage(t *testing.T) {
	for name, row := range map[string]struct {
		src            string
		covered, total int64
	}{
		"set":         {"mode: set\n" + block + "3 1\na.go:5.2,6.1 1 0\n", 3, 4},
		"count":       {"mode: count\n" + block + "2 700\n", 2, 2},
		"nothing ran": {"mode: atomic\n" + block + "2 0\n", 0, 2},
		"same block":  {"mode: set\n" + block + "2 0\n" + block + "2 1\n" + block + "2 0\n", 2, 2},
		"joined":      {"mode: set\n" + block + "2 1\nmode: set\nb.go:1.1,2.2 2 0\n", 2, 4},
		"odd path":    {"mode: set\r\nC:/a b/c.go:1.2,3.4 2 1\r\n", 2, 2},
		"zeros":       {"mode: set\n" + block + "2 000\n", 0, 2},
	} {
		got, err := report.Coverage("c.out", strings.NewReader(row.src))
		want := attest.Coverage{Covered: row.covered, Total: row.total, Line: float64(row.covered) / float64(row.total)}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for name, row := range map[string]struct{ src, want string }{
		"empty":         {"", "c: the report is empty"},
		"mode alone":    {"mode: set\n", "c: the profile holds no statements"},
		"no statements": {"mode: set\n" + block + "0 1\n", "c: the profile holds no statements"},
		"no mode":       {block + "2 1\n", "c:1: the line is not of"},
		"other mode":    {"mode: fast\n", "c:1: the line is not of"},
		"lcov":          {"mode: set\nDA:1,1\n", "c:2: the line is not of"},
		"negative":      {"mode: set\n" + block + "-2 1\n", "c:2: the line is not of"},
		"overflow":      {"mode: set\n" + block + "9223372036854775807 1\n", "c:2: the line is not of"},
		"no span":       {"mode: set\na.go:1 2 1\n", "c:2: the line is not of"},
		"cut":           {"mode: set\n" + block + "2", "c:2: the line is not of"},
		"contradiction": {"mode: set\n" + block + "2 1\n" + block + "3 1\n", "c:3: the block has 3 statements here and 2"},
		"huge line":     {"mode: set\n" + strings.Repeat("x", report.MaxLine+1), "c:2: the line is longer"},
	} {
		got, err := report.Coverage("c", strings.NewReader(row.src))
		if fault.As(err) == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, row.want)
		}
	}
}

const vetOutput = `# shop
{
	"shop": {
		"printf": [{"posn": "/src/a.go:3:24", "end": "/src/a.go:3:26", "message": "wrong type"}],
		"assign": [{"posn": "/src/b.go:7", "message": "self"}, {"posn": "", "message": "nowhere"}]
	}
}
# shop/db
{}
`

func TestFindings(t *testing.T) {
	sarif := func(results string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"scan"}},"results":[` + results + `]}]}`
	}
	for name, row := range map[string]struct {
		src, want string
		tool      string
	}{
		"vet":        {vetOutput, "0/0/3/0", "go vet"},
		"vet clean":  {"{}\n", "0/0/0/0", ""},
		"vet runs":   {`{"runs":{"printf":[{"posn":"a.go:1:1","message":"m"}]}}`, "0/0/1/0", "go vet"}, // a package of that name
		"sarif":      {sarif(`{"ruleId":"a","level":"error"},{"ruleId":"b","level":"note"},{"ruleId":"c"}`), "0/1/1/1", "scan"},
		"sarif none": {"\xef\xbb\xbf" + sarif(""), "0/0/0/0", ""},
		"score":      {sarif(`{"ruleId":"a","level":"note","properties":{"security-severity":"9.8"}}`), "1/0/0/0", "scan"},
	} {
		got, err := report.Findings("f.json", strings.NewReader(row.src))
		have := fmt.Sprintf("%d/%d/%d/%d", got.Critical, got.High, got.Medium, got.Low)
		if err != nil || have != row.want || got.Observed || !json.Valid(got.SARIF) || (row.tool != "" && got.ByTool[row.tool] == 0) {
			t.Errorf("%s: %s %v, %v, want %s by %q", name, have, got.ByTool, err, row.want, row.tool)
			continue
		}
		again, err := attest.CountSARIF(got.SARIF)
		if err != nil || again.Medium != got.Medium || again.High != got.High {
			t.Errorf("%s: the SARIF log counts otherwise: %+v, %v", name, again, err)
		}
	}
}

func TestVetBecomesSARIF(t *testing.T) {
	got, err := report.Findings("f", strings.NewReader(vetOutput))
	if err != nil {
		t.Fatal(err)
	}
	again, err := report.Findings("f", strings.NewReader(vetOutput))
	if err != nil || string(again.SARIF) != string(got.SARIF) {
		t.Error("the same report gives another log")
	}
	const want = `{"ruleId":"printf","level":"warning","message":{"text":"wrong type"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"/src/a.go"},"region":{"startLine":3,"startColumn":24}}}]}`
	if !strings.Contains(string(got.SARIF), want) {
		t.Errorf("log = %s, want it to hold %s", got.SARIF, want)
	}
	if back, err := report.Findings("f", strings.NewReader(string(got.SARIF))); err != nil || back.Medium != 3 {
		t.Errorf("our own log is read as %+v, %v", back, err)
	}
}

func TestFindingsRefused(t *testing.T) {
	run := func(s string) string { return `{"version":"2.1.0","runs":[` + s + `]}` }
	for name, row := range map[string]struct{ src, want string }{
		"empty":         {"", "f: the report is empty"},
		"comments only": {"# shop\n", "f: the report holds no package"},
		"text":          {"vet: ./a.go:1:1: oops\n", "f:1: the report is neither SARIF"},
		"cut":           {"{\n\"p\": {\n", "f:3:1: the report is no valid JSON"},
		"cut sarif":     {"{\"runs\": [\n{", "f:2:"},
		"trailing":      {"{}\n{}\n}", "f:3:1: the report is no valid JSON"},
		"wrong shape":   {"{}\n{\"p\": {\"printf\": {}}}", "f: the report is no output of go vet -json: printf of package p"},
		"wrong type":    {"{}\n{\"p\": [1]}", "f:2:"},
		"analyzer":      {`{"p":{"printf":{"error":"boom"}}}`, "f: go vet could not analyse p with printf: boom"},
		"go test":       {events("pass p A"), "f:1:"},
		"no runs":       {run(""), "f: the report holds no run of a tool"},
		"no tool":       {run(`{"results":[]}`), "runs[0] names no tool"},
		"no results":    {run(`{"tool":{"driver":{"name":"x"}}}`), "runs[0]: x did not finish"},
		"null results":  {run(`{"tool":{"driver":{"name":"x"}},"results":null}`), "runs[0]: x did not finish"},
		"tool failed": {
			run(`{"tool":{"driver":{"name":"x"}},"results":[],"invocations":[{"executionSuccessful":false}]}`),
			"runs[0]: x did not finish",
		},
		"version":   {`{"version":"1.0.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[]}]}`, "version 2.1.0"},
		"too large": {`{"p":{"x":[{"message":"` + strings.Repeat("x", report.MaxSARIF) + `"}]}}`, "f: the report is larger than"},
		"deep":      {strings.Repeat(`{"a":`, 20000), "f:1:"},
	} {
		got, err := report.Findings("f", strings.NewReader(row.src))
		if fault.As(err) == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %+v, %v, want %q", name, got.ByTool, err, row.want)
		}
	}
}

func TestMerge(t *testing.T) {
	a, b := attest.Tests{Passed: 1, PassedNames: []string{"a"}}, attest.Tests{Failed: 2, Skipped: 1, FailedNames: []string{"b", "c"}}
	if got := report.MergeTests(a, b); counts(got) != "1/2/1" || !slices.Equal(got.FailedNames, b.FailedNames) || !slices.Equal(got.PassedNames, a.PassedNames) {
		t.Errorf("tests: %+v", got)
	}
	if got := report.MergeCoverage(attest.Coverage{Covered: 1, Total: 2}, attest.Coverage{Covered: 2, Total: 2}); got.Line != 0.75 {
		t.Errorf("coverage: %+v", got)
	}
	vet, err := report.Findings("f", strings.NewReader(vetOutput))
	if err != nil {
		t.Fatal(err)
	}
	both, err := report.MergeFindings(vet, vet)
	if err != nil || both.Medium != 6 || both.ByTool["go vet"] != 6 {
		t.Fatalf("findings: %+v, %v", both, err)
	}
	if again, err := attest.CountSARIF(both.SARIF); err != nil || again.Medium != 6 {
		t.Errorf("the merged log counts %+v, %v", again, err)
	}
	if got, err := report.MergeFindings(attest.Findings{}, vet); err != nil || got.Medium != 3 {
		t.Errorf("with nothing: %+v, %v", got, err)
	}
}

func FuzzReports(f *testing.F) {
	for _, s := range []string{
		events("run p A", "pass p A", "pass p"), "<testsuite><testcase name='a'><failure/></testcase></testsuite>", "<!DOCTYPE a>", "<a/></b>",
		"mode: set\n" + block + "1 1\n", vetOutput, `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{}]}]}`, `{"runs":[{}]}`, "#\n{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		check := func(err error) {
			if err != nil && fault.As(err) == nil {
				t.Errorf("%q: %v is no fault", src, err)
			}
		}
		tests, err := report.Tests("r", strings.NewReader(string(src)))
		check(err)
		if err == nil && tests.Passed+tests.Failed+tests.Skipped == 0 {
			t.Errorf("%q: no tests, and no error", src)
		}
		c, err := report.Coverage("r", strings.NewReader(string(src)))
		check(err)
		if err == nil && (c.Line < 0 || c.Line > 1 || c.Total <= 0) {
			t.Errorf("%q: %+v", src, c)
		}
		found, err := report.Findings("r", strings.NewReader(string(src)))
		check(err)
		if err == nil && !json.Valid(found.SARIF) {
			t.Errorf("%q: the log is no JSON", src)
		}
	})
}
