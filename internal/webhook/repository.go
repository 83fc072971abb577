package webhook

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

// maxAddress is the longest address of a repository, in bytes.
const maxAddress = 512

// maxAlso is the most further addresses of one repository that are kept.
const maxAlso = 5

// commitID is a commit's name: SHA-1 or SHA-256 in lower-case hex.
var commitID = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// NormalRepository is the one address under which a Git repository is known here, whatever
// form a sender uses: https, host in lower case, without user, query, default port and
// ".git". An SSH address, also as user@host:path, becomes the https address of the same host.
// A name without a host, of a repository on this server, stays as it is. What is no address
// gives "". NormalRepository of its own result changes nothing.
func NormalRepository(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxAddress || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return ""
	}
	if !strings.Contains(s, "://") {
		host, rest, ok := strings.Cut(s, ":")
		if !ok {
			return ownName(s)
		}
		if strings.Contains(host, "/") || strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, ":") {
			return "" // the last is a remote helper of git's, "ext::command"
		}
		s = "ssh://" + host + "/" + strings.TrimPrefix(rest, "/")
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Host[0] == '-' {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "ssh", "git", "git+ssh", "ssh+git": // their ports say nothing of the port for https
		if host = strings.ToLower(u.Hostname()); strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	default:
		return ""
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":")
	p := repositoryPath(u.EscapedPath())
	if p == "" || p == "/" {
		return ""
	}
	if out := "https://" + host + p; len(out) <= maxAddress {
		return out
	}
	return ""
}

// ownName is a name on this server. One that a program could take for an option is none.
func ownName(s string) string {
	name := strings.TrimPrefix(repositoryPath(s), "/")
	if strings.HasPrefix(name, "-") {
		return ""
	}
	return name
}

// repositoryPath is p with one slash before it, none behind it and no ".git".
func repositoryPath(p string) string {
	for {
		short := strings.TrimSuffix(path.Clean("/"+p), ".git")
		if short == p {
			return p
		}
		p = short
	}
}

// gitPlace is the repository that has these addresses, the first of which is the best;
// nil when none is one.
func gitPlace(addresses ...string) *bridge.GitRef {
	var names []string
	for _, a := range addresses {
		if n := NormalRepository(a); n != "" && !slices.Contains(names, n) {
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
