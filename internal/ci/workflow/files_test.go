package workflow_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

func TestParseOutput(t *testing.T) {
	type kv = workflow.Assignment
	for src, want := range map[string][]kv{
		"":                      nil,
		"\n\n":                  nil,
		"a=b":                   {{"a", "b"}},
		"a=b\r\nc=\r\n":         {{"a", "b"}, {"c", ""}},
		"a=b=c":                 {{"a", "b=c"}},
		"a= b ":                 {{"a", " b "}},
		"a=x<<y":                {{"a", "x<<y"}},
		"\xef\xbb\xbfa=b":       {{"a", "b"}},
		"a<<E\nE\n":             {{"a", ""}},
		"a<<E\n1\n2\nE\nb=c\n":  {{"a", "1\n2"}, {"b", "c"}},
		"a<<E\n\nx=y\n\nE":      {{"a", "\nx=y\n"}},
		"a<<E=\nE\nE=\n":        {{"a", "E"}},
		"a=1\na=2":              {{"a", "1"}, {"a", "2"}},
		"a<<E\n E\nE \nE\nb=1":  {{"a", " E\nE "}, {"b", "1"}},
		"digest=sha256:00\nn=ü": {{"digest", "sha256:00"}, {"n", "ü"}},
	} {
		got, err := workflow.ParseOutput([]byte(src))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseOutput(%q) = %v, %v, want %v", src, got, err, want)
		}
	}
}

func TestParseOutputErrors(t *testing.T) {
	for src, want := range map[string]string{
		"a":             "GITHUB_OUTPUT:1: ",
		"a=1\n=2":       "GITHUB_OUTPUT:2: ",
		"a=1\n\nb<<\nx": "GITHUB_OUTPUT:3: ",
		"<<E\nE":        "GITHUB_OUTPUT:1: ",
		"a<<E\n1\nEE\n": "GITHUB_OUTPUT:1: the value of \"a\" has no end",
		"a=1\nb=\x00":   "GITHUB_OUTPUT:2: the line holds a NUL",
		"a=\xff":        "no UTF-8",
		strings.Repeat("a=1\n", workflow.MaxAssignments+1): "more than 4096",
		strings.Repeat("a", workflow.MaxCommandFile+1):     "at most 1048576 bytes",
	} {
		got, err := workflow.ParseOutput([]byte(src))
		if f := fault.As(err); f == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseOutput(%.40q) = %v, %v, want %q", src, got, err, want)
		}
	}
}

func TestParseEnv(t *testing.T) {
	if got, err := workflow.ParseEnv([]byte("A_1=x\nCI=false\nGITHUB_TOKEN=t\n")); err != nil || len(got) != 3 {
		t.Errorf("good names: %v, %v", got, err)
	}
	for _, src := range []string{"GITHUB_SHA=x", "RUNNER_OS=x", "1a=x", "a b=x", "ü=x", "a-b=x", strings.Repeat("a", 300) + "=x"} {
		if got, err := workflow.ParseEnv([]byte("OK=1\n" + src)); !fault.Is(err, fault.Invalid) || got != nil {
			t.Errorf("ParseEnv(%.20q) = %v, %v, want a refusal", src, got, err)
		}
	}
}

func TestParsePath(t *testing.T) {
	got, err := workflow.ParsePath([]byte("/a/bin\r\n\nb\n"))
	if err != nil || !slices.Equal(got, []string{"/a/bin", "b"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := workflow.ParsePath([]byte("/a\n/b:/c\n")); err == nil || !strings.HasPrefix(err.Error(), "GITHUB_PATH:2: ") {
		t.Errorf("a colon: got %v", err)
	}
}

func TestParseSummary(t *testing.T) {
	if got := workflow.ParseSummary([]byte("# ok\n"), 5); got != "# ok\n" {
		t.Errorf("got %q", got)
	}
	if got := workflow.ParseSummary([]byte("a\xff\x00b"), 4); got != "a\uFFFD\uFFFDb" {
		t.Errorf("got %q", got)
	}
	for _, pad := range []string{"", "x", "xx"} {
		big := []byte(pad + strings.Repeat("€", workflow.MaxSummary/3+10))
		got := workflow.ParseSummary(big, int64(len(big)))
		if !utf8.ValidString(got) || strings.Contains(got, "\uFFFD") || !strings.Contains(got, "was cut") || len(got) > workflow.MaxSummary+200 {
			t.Errorf("pad %q: %d bytes, end %q", pad, len(got), got[len(got)-90:])
		}
	}
	if got := workflow.ParseSummary([]byte("x"), 5<<20); !strings.Contains(got, "it has 5242880 bytes") {
		t.Errorf("a file that the caller cut: got %q", got)
	}
}

func TestScanner(t *testing.T) {
	type line = workflow.Line
	text := func(s string) line { return line{Kind: workflow.LineText, Text: s} }
	note := func(a workflow.Annotation) line {
		return line{Kind: workflow.LineAnnotation, Text: a.Message, Annotation: &a}
	}
	for in, want := range map[string]line{
		"plain":                   text("plain"),
		"::":                      text("::"),
		"::group":                 text("::group"),
		":: ::x":                  text(":: ::x"),
		"x ::error::no":           text("x ::error::no"),
		"::nonsense::x":           text("::nonsense::x"),
		"::group::Build %25 all":  {Kind: workflow.LineGroup, Text: "Build % all"},
		" ::GROUP::x":             {Kind: workflow.LineGroup, Text: "x"},
		"::endgroup::":            {Kind: workflow.LineEndGroup},
		"::debug::a%0Ab":          {Kind: workflow.LineDebug, Text: "a\nb"},
		"::error::bad":            note(workflow.Annotation{Level: "error", Message: "bad"}),
		"::warning ::a::b":        note(workflow.Annotation{Level: "warning", Message: "a::b"}),
		"::notice title=T%2C1::m": note(workflow.Annotation{Level: "notice", Title: "T,1", Message: "m"}),
		"::error file=a%3Ab.go,line=3,endLine=4,col=5,endColumn=6,title=X::%250A": note(workflow.Annotation{
			Level: "error", Message: "%0A", File: "a:b.go", Line: 3, EndLine: 4, Column: 5, EndColumn: 6, Title: "X",
		}),
		"::error line=-1,col=99999999999,endLine=x::m": note(workflow.Annotation{Level: "error", Message: "m"}),
		"::add-mask::s3cret":                           {Kind: workflow.LineMask, Mask: "s3cret"},
		"::add-mask:: ":                                {Kind: workflow.LineMask},
		"::stop-commands::abc":                         {Kind: workflow.LineStop},
		"::stop-commands::":                            text("::stop-commands::"),
		"::stop-commands::group":                       text("::stop-commands::group"),
		"::set-env name=PATH::/evil": note(workflow.Annotation{
			Level: "warning", FromServer: true, Message: "the command set-env is not followed: append NAME=VALUE to the file $GITHUB_ENV",
		}),
		"::error::" + strings.Repeat("x", workflow.MaxCommandLine): text("::error::" + strings.Repeat("x", workflow.MaxCommandLine)),
	} {
		var s workflow.Scanner
		if got := s.Scan(in); !sameLine(got, want) {
			t.Errorf("Scan(%.60q) = %+v %+v, want %+v %+v", in, got, got.Annotation, want, want.Annotation)
		}
	}
}

func sameLine(a, b workflow.Line) bool {
	if (a.Annotation == nil) != (b.Annotation == nil) || (a.Annotation != nil && *a.Annotation != *b.Annotation) {
		return false
	}
	return a.Kind == b.Kind && a.Text == b.Text && a.Mask == b.Mask
}

func TestStopCommands(t *testing.T) {
	var s workflow.Scanner
	var got []string
	for _, l := range []string{"::stop-commands::t0k", "::error::x", "::other::", "::T0K::", "::t0k::", "::error::y"} {
		got = append(got, string(s.Scan(l).Kind))
	}
	if want := "stop text text text resume annotation"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestScannerLimits(t *testing.T) {
	var s workflow.Scanner
	for range workflow.MaxAnnotations {
		if s.Scan("::error::x").Kind != workflow.LineAnnotation {
			t.Fatal("an annotation within the limit is text")
		}
	}
	if got := s.Scan("::error::x"); got.Kind != workflow.LineText || got.Text != "::error::x" {
		t.Errorf("over the limit: %+v", got)
	}
	for range workflow.MaxMasks {
		s.Scan("::add-mask::abc")
	}
	if got := s.Scan("::add-mask::late"); got.Kind != workflow.LineMask || got.Text != "" || got.Mask != "" {
		t.Errorf("a mask over the limit must still hide its line: %+v", got)
	}
}

func FuzzCommandFiles(f *testing.F) {
	for _, s := range []string{"a=b\nc<<E\nx\nE\n", "a<<b<<c\n", "=\n", "\xef\xbb\xbf", "a<<=\n=\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, parse := range []func([]byte) ([]workflow.Assignment, error){workflow.ParseOutput, workflow.ParseEnv} {
			got, err := parse(src)
			if err != nil && (got != nil || fault.As(err) == nil) {
				t.Errorf("%q: %v, %v", src, got, err)
			}
			for _, a := range got {
				if a.Name == "" || strings.Contains(a.Name, "\n") || strings.Contains(a.Value, "\x00") {
					t.Errorf("%q gave %+v", src, a)
				}
			}
		}
		if dirs, err := workflow.ParsePath(src); err == nil && slices.Contains(dirs, "") {
			t.Errorf("%q gave an empty directory", src)
		}
		if s := workflow.ParseSummary(src, int64(len(src))); !utf8.ValidString(s) {
			t.Errorf("%q gave no UTF-8", src)
		}
	})
}

func FuzzScanner(f *testing.F) {
	f.Add("::error file=a,line=1::m\n::stop-commands::x\n::x::")
	f.Add("::add-mask::\n::group\n::::")
	f.Fuzz(func(t *testing.T, out string) {
		var s workflow.Scanner
		for l := range strings.SplitSeq(out, "\n") {
			got := s.Scan(l)
			if (got.Kind == workflow.LineAnnotation) != (got.Annotation != nil) || (got.Kind == workflow.LineText && got.Text != l) {
				t.Errorf("Scan(%q) = %+v", l, got)
			}
		}
	})
}
