package workflow

import (
	"regexp"
	"strings"
)

// Push says which pushes start the workflow. The zero Push matches every branch and tag.
type Push struct {
	branches, tags filter
}

// Matches reports whether a push to ref starts the workflow, by GitHub's rules: with filters
// for branches alone no tag matches, with filters for tags alone no branch does, and without
// filters both do. ref is a full name such as "refs/heads/main"; any other is no match.
func (p Push) Matches(ref string) bool {
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return p.branches.matches(name, p.tags.given)
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return p.tags.matches(name, p.branches.given)
	}
	return false
}

// filter is an ordered list of patterns over branch or tag names.
type filter struct {
	given  bool
	ignore bool // a match means no
	rules  []rule
}

type rule struct {
	negative bool // the pattern starts with "!": what it matches is out again
	pattern  *regexp.Regexp
}

func (f filter) matches(name string, otherGiven bool) bool {
	if !f.given {
		return !otherGiven
	}
	hit := false
	for _, r := range f.rules {
		if r.pattern.MatchString(name) {
			hit = !r.negative
		}
	}
	return hit != f.ignore
}
