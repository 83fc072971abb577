package arch_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestPlanted breaks each rule once and expects exactly that violation: a law that cannot
// fail proves nothing.
func TestPlanted(t *testing.T) {
	t.Parallel()
	const good = "// Package x is here to be judged by the law.\npackage x\n"
	for name, test := range map[string]struct {
		rule string
		path string // of the planted file
		code string // after the package clause
		want string // in the one violation; "" for none
	}{
		"ci knows cd":             {"imports", "internal/ci/x.go", `import _ "drawbridge/internal/cd"`, "internal/ci imports drawbridge/internal/cd: CI and CD never know each other"},
		"cd knows ci":             {"imports", "internal/cd/x.go", `import _ "drawbridge/internal/ci/workflow"`, "CI and CD never know each other"},
		"a test crosses":          {"imports", "internal/cd/x_test.go", `import _ "drawbridge/internal/ci"`, "CI and CD never know each other"},
		"ci's store knows cd's":   {"imports", "internal/store/ci/x.go", `import _ "drawbridge/internal/store/cd"`, "CI and CD never know each other"},
		"bridge knows ci":         {"imports", "internal/bridge/x.go", `import _ "drawbridge/internal/ci"`, "knows neither"},
		"ci knows bridge":         {"imports", "internal/ci/x.go", `import _ "drawbridge/internal/bridge"`, ""},
		"leaf knows plane":        {"imports", "internal/fault/x.go", `import _ "drawbridge/internal/bridge"`, "leaf"},
		"leaf knows leaf":         {"imports", "internal/artifact/x.go", `import _ "drawbridge/internal/attest"`, "artifact is a leaf"},
		"plane knows adapter":     {"imports", "internal/ci/x.go", `import _ "drawbridge/internal/sandbox"`, "through the bridge alone"},
		"SQL in a plane":          {"imports", "internal/cd/x.go", `import _ "database/sql"`, "SQL lives in internal/store"},
		"HTTP in a plane":         {"imports", "internal/ci/report/x.go", `import _ "net/http"`, "HTTP lives in"},
		"files in a plane":        {"imports", "internal/bridge/x.go", `import _ "os"`, "files and the environment"},
		"files in a plane's test": {"imports", "internal/bridge/x_test.go", `import _ "os"`, ""},
		"SQL outside the store":   {"imports", "internal/registry/x.go", `import _ "database/sql"`, "only internal/store may"},
		"driver outside":          {"imports", "internal/web/x.go", `import _ "modernc.org/sqlite"`, "only internal/store may"},
		"engine outside":          {"imports", "internal/web/x.go", `import _ "github.com/riverqueue/river/rivertype"`, "only internal/store, internal/queue may"},
		"engine in the queue":     {"imports", "internal/queue/x.go", `import _ "github.com/riverqueue/river"`, ""},
		"adapter knows adapter":   {"imports", "internal/forge/x.go", `import _ "drawbridge/internal/registry"`, "adapters do not know each other"},
		"store knows a plane":     {"imports", "internal/store/x.go", `import _ "drawbridge/internal/ci"`, "knows no plane"},
		"web knows adapter":       {"imports", "internal/web/x.go", `import _ "drawbridge/internal/store/cd"`, "come"},
		"app is imported":         {"imports", "internal/web/x.go", `import _ "drawbridge/internal/app"`, "only internal/cli, cmd, e2e, bench may"},
		"a fake in the product":   {"imports", "internal/app/x.go", `import _ "drawbridge/internal/ci/citest"`, "stays out of the product"},
		"no row":                  {"imports", "internal/surprise/x.go", ``, "internal/surprise has no row"},
		"nobody's library":        {"imports", "internal/web/x.go", `import _ "github.com/acme/left-pad"`, "no row names an owner"},
		"module with our name":    {"imports", "internal/web/x.go", `import _ "drawbridge.example/x"`, "no row names an owner"},
		"clock":                   {"clocks", "internal/cd/x.go", "import \"time\"\nfunc f() { _ = time.Now() }", "time.Now: a plane takes the time"},
		"waiting":                 {"clocks", "internal/bridge/x.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "time.Sleep"},
		"clock passed on":         {"clocks", "internal/ci/x.go", "import \"time\"\nvar _ = time.Now", "time.Now"},
		"clock in an adapter":     {"clocks", "internal/store/x.go", "import \"time\"\nfunc f() { _ = time.Now() }", ""},
		"goroutine":               {"clocks", "internal/cd/x.go", "func f() { go f() }", "starts no goroutine"},
		"init":                    {"hidden", "internal/web/x.go", "func init() {}", "init: nothing runs before main"},
		"method named init":       {"hidden", "internal/web/x.go", "type t int\nfunc (t) init() {}", ""},
		"lock":                    {"hidden", "internal/web/x.go", "import \"sync\"\nvar mu sync.Mutex", "variable mu"},
		"map to fill":             {"hidden", "internal/web/x.go", "var seen = make(map[string]bool)", "variable seen"},
		"singleton":               {"hidden", "internal/web/x.go", "type t struct{}\nvar one = &t{}", "variable one"},
		"table":                   {"hidden", "internal/web/x.go", "var table = map[string]int{`a`: 1}", ""},
		"error":                   {"hidden", "internal/web/x.go", "import \"errors\"\nvar errGone = errors.New(`gone`)", ""},
		"table that changes":      {"hidden", "internal/web/x.go", "var table = map[string]int{}\nfunc f() { table[`a`]++ }", "write to table"},
		"table that shrinks":      {"hidden", "internal/web/x.go", "var table = map[string]int{}\nfunc f() { delete(table, `a`) }", "delete table"},
		"variable handed out":     {"hidden", "internal/web/x.go", "var n int\nfunc f() *int { return &n }", "pointer to n"},
		"counter":                 {"hidden", "internal/web/x.go", "import \"fmt\"\nvar n int\nfunc f() { fmt.Print(1); n = 2 }", "write to n"},
		"local of that name":      {"hidden", "internal/web/x.go", "var n = []int{1}\nfunc f() { n := n; n[0] = 2; _ = n }", ""},
		"no comment":              {"words", "internal/web/x.go", "func F() {}", "F is exported and has no comment"},
		"method without":          {"words", "internal/web/x.go", "// T is.\ntype T int\nfunc (*T) F() {}", "F is exported"},
		"hidden type":             {"words", "internal/web/x.go", "type t int\nfunc (t) F() {}", ""},
		"constants":               {"words", "internal/web/x.go", "// Kinds of all.\nconst (\nA = 1\nB = 2\n)", ""},
		"long file":               {"words", "internal/web/x.go", strings.Repeat("\n", 600), "603 lines: a file has 600 at most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := read(fstest.MapFS{test.path: {Data: []byte(good + test.code + "\n")}})
			if err != nil {
				t.Fatal(err)
			}
			got := rules[test.rule](s)
			if test.want == "" {
				if len(got) != 0 {
					t.Errorf("got %q, want none", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0], test.want) || !strings.HasPrefix(got[0], test.path+":") {
				t.Errorf("got %q, want one with %q", got, test.want)
			}
		})
	}
}

// TestPlantedPackages are the rules that look at the package clause or at several files.
func TestPlantedPackages(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no package comment":  {map[string]string{"internal/web/x.go": "package web\n"}, []string{"package internal/web has no comment"}},
		"comment in doc.go":   {map[string]string{"internal/web/doc.go": "// Package web serves the API and the page.\npackage web\n", "internal/web/x.go": "package web\n"}, nil},
		"empty name":          {map[string]string{"internal/util/x.go": "// Package util holds everything and nothing.\npackage util\n"}, []string{"package util (internal/util)"}},
		"empty name in tests": {map[string]string{"internal/web/helpers/x_test.go": "package helpers_test\n"}, []string{"package helpers"}},
		"generated":           {map[string]string{"internal/web/x.go": "// Code generated by sqlc. DO NOT EDIT.\n\npackage web\n\nfunc F() {}\n"}, nil},
		"other modules and testdata": {map[string]string{
			"examples/shop/go.mod": "module shop\n", "examples/shop/x.go": "package util\n",
			"internal/web/testdata/x.go": "package util\n", ".hidden/x.go": "package util\n",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{}
			for path, text := range test.files {
				fsys[path] = &fstest.MapFile{Data: []byte(text)}
			}
			s, err := read(fsys)
			if err != nil {
				t.Fatal(err)
			}
			got := words(s)
			fits := slices.EqualFunc(got, test.want, strings.Contains)
			if !fits {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
