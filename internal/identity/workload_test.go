package identity_test

import (
	"strings"
	"testing"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

func rule() identity.Workload {
	return identity.Workload{
		Name: "github", Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:acme/*:ref:refs/heads/main", Applications: []string{"shop"},
	}
}

func TestWorkloadCheck(t *testing.T) {
	if err := rule().Check(); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]func(*identity.Workload){
		"loopback":        func(w *identity.Workload) { w.Issuer = "http://127.0.0.1:8080/realms/a" },
		"localhost":       func(w *identity.Workload) { w.Issuer = "http://localhost:1" },
		"loopback IPv6":   func(w *identity.Workload) { w.Issuer = "http://[::1]:1" },
		"trailing slash":  func(w *identity.Workload) { w.Issuer = "https://example.com/" },
		"any, by a claim": func(w *identity.Workload) { w.Subject = "*"; w.Claims = map[string]string{"email": "a@b.c"} },
	} {
		w := rule()
		good(&w)
		if err := w.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, test := range map[string]struct {
		change func(*identity.Workload)
		field  string
	}{
		"no name":           {func(w *identity.Workload) { w.Name = "" }, "name"},
		"prefix in name":    {func(w *identity.Workload) { w.Name = "workload:x" }, "name"},
		"long name":         {func(w *identity.Workload) { w.Name = strings.Repeat("a", 55) }, "name"},
		"no issuer":         {func(w *identity.Workload) { w.Issuer = "" }, "issuer"},
		"http":              {func(w *identity.Workload) { w.Issuer = "http://example.com" }, "issuer"},
		"http, looks local": {func(w *identity.Workload) { w.Issuer = "http://127.0.0.1.example.com" }, "issuer"},
		"file":              {func(w *identity.Workload) { w.Issuer = "file:///etc/passwd" }, "issuer"},
		"no host":           {func(w *identity.Workload) { w.Issuer = "https://" }, "issuer"},
		"user":              {func(w *identity.Workload) { w.Issuer = "https://a:b@example.com" }, "issuer"},
		"query":             {func(w *identity.Workload) { w.Issuer = "https://example.com?x" }, "issuer"},
		"empty query":       {func(w *identity.Workload) { w.Issuer = "https://example.com?" }, "issuer"},
		"fragment":          {func(w *identity.Workload) { w.Issuer = "https://example.com#" }, "issuer"},
		"long issuer":       {func(w *identity.Workload) { w.Issuer = "https://example.com/" + strings.Repeat("a", 512) }, "issuer"},
		"audience":          {func(w *identity.Workload) { w.Audience = "a\nb" }, "audience"},
		"no subject":        {func(w *identity.Workload) { w.Subject = "" }, "subject"},
		"everybody":         {func(w *identity.Workload) { w.Subject = "*:*/*" }, "subject"},
		"two stars":         {func(w *identity.Workload) { w.Subject = "repo:acme/**" }, "subject"},
		"long subject":      {func(w *identity.Workload) { w.Subject = strings.Repeat("a", 513) }, "subject"},
		"claim iss":         {func(w *identity.Workload) { w.Claims = map[string]string{"iss": "x"} }, "claims"},
		"claim without a name": {
			func(w *identity.Workload) { w.Claims = map[string]string{"": "x"} }, "claims",
		},
		"empty claim":       {func(w *identity.Workload) { w.Claims = map[string]string{"ref": ""} }, "claims.ref"},
		"no application":    {func(w *identity.Workload) { w.Applications = nil }, "applications"},
		"any application":   {func(w *identity.Workload) { w.Applications = []string{"shop", "*"} }, "applications[1]"},
		"many applications": {func(w *identity.Workload) { w.Applications = make([]string, 101) }, "applications"},
	} {
		w := rule()
		test.change(&w)
		err := fault.As(w.Check())
		if err == nil || err.Kind != fault.Invalid || err.Field != test.field {
			t.Errorf("%s: %v, want invalid at %s", name, err, test.field)
		}
	}
}

func TestMatches(t *testing.T) {
	const main = "repo:acme/*:ref:refs/heads/main"
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{main, "repo:acme/shop:ref:refs/heads/main", true},
		{main, "repo:acme/evil/x:ref:refs/heads/main", false},
		{main, "repo:acme/x:ref:refs/heads/main:ref:refs/heads/main", false},
		{main, "repo:acme/x:environment:y:ref:refs/heads/main", false},
		{main, "repo:acme/:ref:refs/heads/main", false},
		{main, "repo:acme-evil/x:ref:refs/heads/main", false},
		{main, "repo:Acme/x:ref:refs/heads/main", false},
		{main, "repo:acme/x:ref:refs/heads/main2", false},
		{main, "xrepo:acme/x:ref:refs/heads/main", false},
		{main, "repo:acme/x:pull_request", false},
		{main, "", false},
		{"repo:acme/shop:ref:refs/tags/v*", "repo:acme/shop:ref:refs/tags/v1.2.3", true},
		{"repo:acme/shop:ref:refs/tags/v*", "repo:acme/shop:ref:refs/tags/v", false},
		{"repo:acme/shop:ref:refs/heads/*", "repo:acme/shop:ref:refs/heads/feature/x", false},
		{"a/b", "a:b", false},
		{"a*/b", "a1:b", false},
		{"*", "x", true},
		{"*", "", false},
		{"a*c*e", "abcde", true},
		{"a*c*e", "ace", false},
		{"a*c*e", "abcce", true},
		{"*a*", "xaay", true},
		{"*ab", "ab", false},
		{"*ab", "éab", true},
		{"ab*ab", "abab", false},
		{"ab*ab", "ab-ab", true},
		{"a*b*c", "aXbXbXc", true},
		{"a.c", "abc", false},
		{"a?c", "abc", false},
		{"[a-z]", "b", false},
	} {
		if got := identity.Matches(test.pattern, test.text); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.text, got)
		}
	}
}

// What a pattern takes has the pattern's separators, and its own text in front and behind.
func FuzzMatches(f *testing.F) {
	f.Add("repo:acme/*:ref:refs/heads/main", "repo:acme/shop:ref:refs/heads/main")
	f.Add("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := identity.Matches(pattern, text)
		if !strings.Contains(pattern, "*") && got != (pattern == text) {
			t.Errorf("matches(%q, %q) = %v without a star", pattern, text, got)
		}
		marks := func(s string) string {
			return strings.Map(func(r rune) rune {
				if r == '/' || r == ':' {
					return r
				}
				return -1
			}, s)
		}
		first, _, _ := strings.Cut(pattern, "*")
		if got && (marks(pattern) != marks(text) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, pattern[strings.LastIndex(pattern, "*")+1:])) {
			t.Errorf("matches(%q, %q)", pattern, text)
		}
	})
}
