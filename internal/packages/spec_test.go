package packages_test

import (
	"path/filepath"
	"strings"
	"testing"

	"drawbridge/internal/fault"
	"drawbridge/internal/packages"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	github := packages.Spec{Kind: packages.GitHub, Name: "acme/shop", Files: []string{"*.tgz"}}
	change := func(f func(*packages.Spec)) packages.Spec {
		s := github
		f(&s)
		return s
	}
	for name, row := range map[string]struct {
		spec  packages.Spec
		field string // of the fault; "" means that the spec is right
	}{
		"github":             {github, ""},
		"gitea":              {packages.Spec{Kind: packages.Gitea, URL: "https://git.example.com/sub/", Name: "a/b", Files: []string{"x"}}, ""},
		"gitea on a laptop":  {packages.Spec{Kind: packages.Gitea, URL: "http://localhost:3000", Name: "a/b", Files: []string{"x"}}, ""},
		"gitlab":             {packages.Spec{Kind: packages.GitLab, Name: "a/b/c/d", Files: []string{"x"}}, ""},
		"maven":              {packages.Spec{Kind: packages.Maven, Name: "com.acme:shop", Classifier: "linux-x86_64", Extension: "tar.gz"}, ""},
		"npm":                {packages.Spec{Kind: packages.NPM, Name: "@acme/shop"}, ""},
		"no kind":            {change(func(s *packages.Spec) { s.Kind = "" }), "kind"},
		"another kind":       {change(func(s *packages.Spec) { s.Kind = "pypi" }), "kind"},
		"no server":          {packages.Spec{Kind: packages.Gitea, Name: "a/b", Files: []string{"x"}}, "url"},
		"plain http":         {change(func(s *packages.Spec) { s.URL = "http://git.example.com" }), "url"},
		"another scheme":     {change(func(s *packages.Spec) { s.URL = "file:///etc" }), "url"},
		"a login":            {change(func(s *packages.Spec) { s.URL = "https://me:secret@git.example.com" }), "url"},
		"a query":            {change(func(s *packages.Spec) { s.URL = "https://git.example.com?x=1" }), "url"},
		"a path upwards":     {change(func(s *packages.Spec) { s.URL = "https://git.example.com/a/../b" }), "url"},
		"no host":            {change(func(s *packages.Spec) { s.URL = "https:///x" }), "url"},
		"no name":            {change(func(s *packages.Spec) { s.Name = "" }), "name"},
		"no owner":           {change(func(s *packages.Spec) { s.Name = "shop" }), "name"},
		"upwards":            {change(func(s *packages.Spec) { s.Name = "../shop" }), "name"},
		"upwards inside":     {change(func(s *packages.Spec) { s.Name = "acme/.." }), "name"},
		"too deep":           {change(func(s *packages.Spec) { s.Name = "a/b/c" }), "name"},
		"a query in it":      {change(func(s *packages.Spec) { s.Name = "a/b?x" }), "name"},
		"a long name":        {change(func(s *packages.Spec) { s.Name = "a/" + strings.Repeat("b", 200) }), "name"},
		"maven upwards":      {packages.Spec{Kind: packages.Maven, Name: "com..acme:shop"}, "name"},
		"maven without":      {packages.Spec{Kind: packages.Maven, Name: "shop"}, "name"},
		"npm upwards":        {packages.Spec{Kind: packages.NPM, Name: "@acme/.."}, "name"},
		"npm hidden":         {packages.Spec{Kind: packages.NPM, Name: ".x"}, "name"},
		"no patterns":        {change(func(s *packages.Spec) { s.Files = nil }), "files"},
		"patterns of npm":    {packages.Spec{Kind: packages.NPM, Name: "a", Files: []string{"x"}}, "files"},
		"a broken pattern":   {change(func(s *packages.Spec) { s.Files = []string{"ok", "[a"} }), "files[1]"},
		"a pattern of paths": {change(func(s *packages.Spec) { s.Files = []string{"a/*"} }), "files[0]"},
		"an empty pattern":   {change(func(s *packages.Spec) { s.Files = []string{""} }), "files[0]"},
		"many patterns":      {change(func(s *packages.Spec) { s.Files = make([]string, 21) }), "files"},
		"a classifier":       {change(func(s *packages.Spec) { s.Classifier = "x" }), "classifier"},
		"an extension":       {packages.Spec{Kind: packages.Maven, Name: "a:b", Extension: "../jar"}, "extension"},
	} {
		err := row.spec.Check()
		if row.field == "" {
			if err != nil {
				t.Errorf("%s: Check = %v", name, err)
			}
			continue
		}
		wantKind(t, name, err, fault.Invalid)
		if f := fault.As(err); f != nil && f.Field != row.field {
			t.Errorf("%s: the field is %q, want %q", name, f.Field, row.field)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	f := packages.New(packages.Config{Guard: deny{}})
	for _, version := range []string{"", "..", "../v1", "v1/../..", "/v1", "v1/./x", "v 1", "v\n1", `a\b`, "v?1", strings.Repeat("v", 201)} {
		_, err := f.Find(t.Context(), packages.Spec{Kind: packages.GitHub, Name: "a/b", Files: []string{"x"}}, version)
		wantKind(t, version, err, fault.Invalid)
	}
	for _, version := range []string{"1/2", "^1", "@1", ".1", "1%2f"} {
		_, err := f.Find(t.Context(), packages.Spec{Kind: packages.NPM, Name: "a"}, version)
		wantKind(t, version, err, fault.Invalid)
	}
}

// A name that Fetch takes is one file directly in the directory.
func FuzzFileName(f *testing.F) {
	for _, s := range []string{"shop-1.0.tgz", "..", "../x", "a/b", "a\x00", ".x", "-x", "a\\b", "C:x", "ä", ""} {
		f.Add(s)
	}
	fetcher := packages.New(packages.Config{Guard: deny{}})
	f.Fuzz(func(t *testing.T, name string) {
		_, _, err := fetcher.Fetch(t.Context(), packages.File{Name: name, URL: "http://refused.invalid/"}, t.TempDir())
		if err == nil {
			t.Fatal("a fetch without TLS gave no error")
		}
		// The guard's word comes after the name's: only a plain name gets as far.
		if plain := strings.Contains(err.Error(), "https"); plain && (filepath.Base(name) != name || !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00:")) {
			t.Errorf("the name %q was taken", name)
		}
	})
}
