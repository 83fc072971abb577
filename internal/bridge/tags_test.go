package bridge_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

func TestTagRuleMatch(t *testing.T) {
	stable := bridge.TagRule{Semver: ">=1.0.0"}
	for name, c := range map[string]struct {
		rule         bridge.TagRule
		tag, version string
		why          string // "" means taken
	}{
		"no rule":                         {bridge.TagRule{}, "anything", "anything", ""},
		"no tag":                          {bridge.TagRule{}, "", "", "there is no tag"},
		"in the range":                    {stable, "1.2.3", "1.2.3", ""},
		"with a v":                        {stable, "v1.2.3", "v1.2.3", ""},
		"below the range":                 {stable, "0.9.0", "", "tag 0.9.0 does not meet >=1.0.0"},
		"a pre-release":                   {stable, "1.1.0-rc1", "", "tag 1.1.0-rc1 does not meet >=1.0.0, which names no pre-release"},
		"a pre-release below":             {stable, "0.1.0-rc1", "", "tag 0.1.0-rc1 does not meet >=1.0.0"},
		"a pre-release that is asked for": {bridge.TagRule{Semver: ">=1.0.0-0"}, "1.1.0-rc1", "1.1.0-rc1", ""},
		"no version":                      {stable, "latest", "", "tag latest is no semantic version"},
		"a moving tag of two numbers":     {stable, "1.2", "", "tag 1.2 is no semantic version"},
		"a commit of seven digits":        {stable, "1234567", "", "tag 1234567 is no semantic version"},
		"two v":                           {stable, "vv1.2.3", "", "tag vv1.2.3 is no semantic version"},
		"either of two ranges":            {bridge.TagRule{Semver: "~1.4 || ^2"}, "2.9.1", "2.9.1", ""},
		"a line break":                    {stable, "1.2.3\nfake: yes", "", `tag "1.2.3\nfake: yes" is no semantic version`},
		"a long tag":                      {stable, strings.Repeat("9", 5000), "", `tag "` + strings.Repeat("9", 128) + `" is no semantic version`},

		"the whole tag must match":    {bridge.TagRule{Regex: `v\d+`}, "xv12", "", `tag xv12 does not match v\d+`},
		"and its end":                 {bridge.TagRule{Regex: `v\d+`}, "v12-evil", "", `tag v12-evil does not match v\d+`},
		"no flag opens the ends":      {bridge.TagRule{Regex: `(?m)v\d+$`}, "v12\nevil", "", `tag "v12\nevil" does not match (?m)v\d+$`},
		"both sides of an or":         {bridge.TagRule{Regex: `a|b`}, "bc", "", "tag bc does not match a|b"},
		"no group: the tag":           {bridge.TagRule{Regex: `main-.*`}, "main-abc", "main-abc", ""},
		"the first group":             {bridge.TagRule{Regex: `main-([0-9]+)-([a-f0-9]+)`}, "main-17-abc", "17", ""},
		"the group named version":     {bridge.TagRule{Regex: `([a-z]+)-(?P<version>.+)`}, "web-1.2.3", "1.2.3", ""},
		"the group is not there":      {bridge.TagRule{Regex: `main(-\d+)?`}, "main", "", `main(-\d+)? captures no version in tag main`},
		"a range over what is caught": {bridge.TagRule{Regex: `web-(.+)`, Semver: "^1"}, "web-1.2.3", "1.2.3", ""},
		"and not met":                 {bridge.TagRule{Regex: `web-(.+)`, Semver: "^1"}, "web-2.0.0", "", "version 2.0.0 of tag web-2.0.0 does not meet ^1"},
		"newest with a filter":        {bridge.TagRule{Regex: `main-.*`, Newest: true}, "dev-1", "", "tag dev-1 does not match main-.*"},
		"lexical":                     {bridge.TagRule{Lexical: true}, "2026-11-05", "2026-11-05", ""},

		"the moving tag":        {bridge.TagRule{Digest: "latest"}, "latest", "", ""},
		"another tag":           {bridge.TagRule{Digest: "latest"}, "latest2", "", "tag latest2 is not latest"},
		"ignored":               {bridge.TagRule{Ignore: []string{"x", "*-rc*"}}, "1.0-rc1", "", "tag 1.0-rc1 is ignored by *-rc*"},
		"ignored by a set":      {bridge.TagRule{Ignore: []string{"build-[0-9]?"}}, "build-12", "", "tag build-12 is ignored by build-[0-9]?"},
		"not ignored":           {bridge.TagRule{Ignore: []string{"rc"}}, "1.0-rc1", "1.0-rc1", ""},
		"ignored over a slash":  {bridge.TagRule{Ignore: []string{"*-rc*"}}, "release/1.0-rc1", "", "tag release/1.0-rc1 is ignored by *-rc*"},
		"ignored with a slash":  {bridge.TagRule{Ignore: []string{"old/*"}}, "old/1/2", "", "tag old/1/2 is ignored by old/*"},
		"unchecked: a bad glob": {bridge.TagRule{Ignore: []string{"[a"}}, "1", "", "the glob [a cannot be read"},
		"unchecked: bad RE":     {bridge.TagRule{Regex: "("}, "1", "", "the regular expression ( cannot be read"},
		"unchecked: bad range":  {bridge.TagRule{Semver: "x.y.z.1"}, "1.0.0", "", "the range x.y.z.1 cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			version, ok, why := c.rule.Match(c.tag)
			if version != c.version || ok != (c.why == "") || why != c.why {
				t.Errorf("Match(%.40q) = %q, %v, %q, want %q, %q", c.tag, version, ok, why, c.version, c.why)
			}
		})
	}
}

func TestTagRuleCheck(t *testing.T) {
	for name, c := range map[string]struct {
		rule           bridge.TagRule
		field, message string
	}{
		"two orders":            {bridge.TagRule{Semver: "^1", Newest: true}, "", "not 2 of them"},
		"four orders":           {bridge.TagRule{Semver: "^1", Newest: true, Lexical: true, Digest: "a"}, "", "not 4 of them"},
		"digest and regex":      {bridge.TagRule{Digest: "latest", Regex: "a"}, "", "nothing to choose from"},
		"digest and ignore":     {bridge.TagRule{Digest: "latest", Ignore: []string{"a"}}, "", "nothing to choose from"},
		"no range":              {bridge.TagRule{Semver: "newest"}, "semver", "no range of versions"},
		"a long range":          {bridge.TagRule{Semver: strings.Repeat("1", 1001)}, "semver", "at most 1000"},
		"an open bracket":       {bridge.TagRule{Regex: "(a"}, "regex", "no regular expression"},
		"an early end":          {bridge.TagRule{Regex: "a)|(b"}, "regex", "no regular expression"},
		"an open quotation":     {bridge.TagRule{Regex: `\Qa`}, "regex", "no regular expression"},
		"a look-ahead":          {bridge.TagRule{Regex: "(?!a)b"}, "regex", "no regular expression"},
		"a bomb":                {bridge.TagRule{Regex: "((a{100}){100}){100}"}, "regex", "no regular expression"},
		"a long expression":     {bridge.TagRule{Regex: strings.Repeat("a", 1001)}, "regex", "at most 1000"},
		"a digest, not a tag":   {bridge.TagRule{Digest: "sha256:abc"}, "digest", "is no tag"},
		"an open set":           {bridge.TagRule{Ignore: []string{"ok", "abc[a"}}, "ignore", "is no glob"},
		"an empty glob":         {bridge.TagRule{Ignore: []string{""}}, "ignore", "1 to 1000"},
		"more globs than reads": {bridge.TagRule{Ignore: make([]string, 101)}, "ignore", "at most 100"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fault.As(c.rule.Check())
			if f == nil || f.Kind != fault.Invalid || f.Field != c.field || !strings.Contains(f.Message, c.message) {
				t.Errorf("got %v, want field %q and %q", f, c.field, c.message)
			}
		})
	}
	for _, r := range []bridge.TagRule{
		{},
		{Semver: ">=1.0.0-0"},
		{Semver: "^1", Regex: "web-(.+)", Ignore: []string{"*-rc*"}},
		{Newest: true, Regex: "main-.*"},
		{Lexical: true, Regex: ".*"},
		{Digest: "latest"},
		{Regex: "a|b"},
	} {
		if err := r.Check(); err != nil {
			t.Errorf("Check(%+v): %v", r, err)
		}
	}
}

func TestTagRuleNewer(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	type pair struct{ a, b bridge.Candidate }
	tags := func(a, b string) pair {
		return pair{bridge.Candidate{Tag: a, Built: early}, bridge.Candidate{Tag: b, Built: late}}
	}
	// Of each pair the first is newer by its rule, though built before the second.
	for name, c := range map[string]struct {
		rule bridge.TagRule
		pair
	}{
		"semver: numbers, not letters":   {bridge.TagRule{Semver: ">=0"}, tags("1.10.0", "1.9.0")},
		"semver: release after rc":       {bridge.TagRule{Semver: ">=0-0"}, tags("1.0.0", "1.0.0-rc9")},
		"semver: with and without a v":   {bridge.TagRule{Semver: ">=0"}, tags("v1.0.1", "1.0.0")},
		"semver: a version after none":   {bridge.TagRule{Semver: ">=0"}, tags("0.0.1", "zzz")},
		"semver: what was captured":      {bridge.TagRule{Semver: ">=0", Regex: "[a-z]+-(.+)"}, pair{bridge.Candidate{Tag: "a-2.0.0", Version: "2.0.0"}, bridge.Candidate{Tag: "b-1.0.0", Version: "1.0.0"}}},
		"lexical":                        {bridge.TagRule{Lexical: true}, tags("2026-11-05", "2026-11-04")},
		"lexical: by what was captured":  {bridge.TagRule{Lexical: true}, pair{bridge.Candidate{Tag: "a-2", Version: "2"}, bridge.Candidate{Tag: "b-1", Version: "1"}}},
		"newest":                         {bridge.TagRule{Newest: true}, pair{bridge.Candidate{Tag: "a", Built: late}, bridge.Candidate{Tag: "z", Built: early}}},
		"newest: a time that is unknown": {bridge.TagRule{Newest: true}, pair{bridge.Candidate{Tag: "a", Built: early}, bridge.Candidate{Tag: "z"}}},
		"no rule: when it was built":     {bridge.TagRule{}, pair{bridge.Candidate{Tag: "a", Built: late}, bridge.Candidate{Tag: "z", Built: early}}},
		"digest: when it was built":      {bridge.TagRule{Digest: "latest"}, pair{bridge.Candidate{Tag: "latest", Built: late}, bridge.Candidate{Tag: "latest", Built: early}}},
	} {
		t.Run(name, func(t *testing.T) {
			if !c.rule.Newer(c.a, c.b) || c.rule.Newer(c.b, c.a) {
				t.Errorf("want %v newer than %v, got %v and %v", c.a, c.b, c.rule.Newer(c.a, c.b), c.rule.Newer(c.b, c.a))
			}
			if c.rule.Newer(c.a, c.a) || c.rule.Newer(c.b, c.b) {
				t.Error("a candidate is newer than itself")
			}
		})
	}
}

func TestTagRuleIsStored(t *testing.T) {
	text, err := json.Marshal(bridge.TagRule{Semver: "^1", Regex: "a", Ignore: []string{"b"}})
	if err != nil || string(text) != `{"semver":"^1","regex":"a","ignore":["b"]}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func FuzzTagRule(f *testing.F) {
	f.Add(">=1.0.0", `v(\d+)`, "*-rc*", "v1.2.3")
	f.Add("", "(?i)a|b", "[^a]*", "A")
	f.Add("^1 || 2 - 3", "", `\*`, "2.0.0-a+b")
	f.Fuzz(func(t *testing.T, semver, regex, ignore, tag string) {
		r := bridge.TagRule{Semver: semver, Regex: regex, Ignore: []string{ignore}}
		if err := r.Check(); err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%+v: %v is no fault of the user", r, err)
			}
			return
		}
		version, ok, why := r.Match(tag)
		if ok != (why == "") || ok != (version != "") || strings.Contains(why, "cannot be read") {
			t.Fatalf("%+v.Match(%q) = %q, %v, %q", r, tag, version, ok, why)
		}
		if strings.ContainsAny(why, "\n\r") {
			t.Fatalf("%q has two lines", why)
		}
	})
}

func BenchmarkTagRuleMatch(b *testing.B) {
	r := bridge.TagRule{Semver: ">=1.0.0 <2", Regex: `web-(?P<version>.+)`, Ignore: []string{"*-rc*"}}
	for b.Loop() {
		if _, ok, why := r.Match("web-1.2.3"); !ok {
			b.Fatal(why)
		}
	}
}
