package webhook

import (
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

// maxAlso is the most further addresses of one repository that are kept.
const maxAlso = 5

// commitID is a commit's name: SHA-1 or SHA-256 in lower-case hex.
var commitID = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// gitPlace is the repository that has these addresses, the first of which is the best;
// nil when none is one.
func gitPlace(addresses ...string) *bridge.GitRef {
	var names []string
	for _, a := range addresses {
		if n, ok := bridge.NormalRepository(a); ok && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	also := names[1:min(len(names), maxAlso+1)]
	if len(also) == 0 {
		also = nil
	}
	return &bridge.GitRef{Repository: names[0], Also: also}
}

// moved is the fact that ref of the repository names commit now. Zeros mean that it was
// deleted, and the fact says so; an empty commit that the sender does not name it. A branch
// gives a push, a tag a release; any other ref nothing.
func moved(f bridge.Fact, place *bridge.GitRef, ref, commit string) ([]bridge.Fact, error) {
	switch {
	case ref == "":
		return nil, wrong("ref", "is missing")
	case strings.HasPrefix(ref, "refs/heads/"):
		f.Kind = bridge.KindPush
	case strings.HasPrefix(ref, "refs/tags/"):
		f.Kind = bridge.KindRelease
	default:
		return nil, nil
	}
	if place == nil {
		return nil, wrong("repository", "names no address of the repository")
	}
	if !validRef(ref) {
		return nil, wrong("ref", "%q is no ref", clean(ref, 80))
	}
	g := *place
	switch {
	case strings.Trim(commit, "0") == "" && commit != "":
		g.Deleted = true
	case commit == "":
	case !commitID.MatchString(commit):
		return nil, wrong("commit", "%q is no commit: want 40 or 64 lower-case hex digits", clean(commit, 80))
	default:
		g.Commit = commit
	}
	g.Ref = ref
	f.Git = &g
	if f.Subject == "" {
		f.Subject = g.Repository + " " + strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
	}
	return []bridge.Fact{f}, nil
}

// validRef reports whether ref can name a branch or a tag, see git-check-ref-format(1).
func validRef(ref string) bool {
	_, name, _ := strings.Cut(strings.TrimPrefix(ref, "refs/"), "/")
	return name != "" && len(ref) <= 255 && strings.ToValidUTF8(ref, "") == ref && !strings.HasSuffix(name, "/") &&
		!strings.Contains(name, "..") && !strings.Contains(name, "@{") && !strings.HasPrefix(name, "-") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("~^:?*[\\", r) })
}
