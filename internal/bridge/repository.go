package bridge

import (
	"net/url"
	"path"
	"strings"
)

// maxAddress is the longest address of a repository, in bytes.
const maxAddress = 512

// NormalRepository is the one address under which a Git repository is known here, whatever
// form a file or a sender uses: https, host in lower case, without user, query, default port
// and ".git". An SSH address, also as user@host:path, becomes the https address of the same
// host. A name without a host, of a repository on this server, stays as it is. ok is false
// for what is no address. NormalRepository of its own result changes nothing.
func NormalRepository(s string) (address string, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxAddress || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return "", false
	}
	if !strings.Contains(s, "://") {
		host, rest, remote := strings.Cut(s, ":")
		if !remote {
			name := strings.TrimPrefix(repositoryPath(s), "/")
			if strings.HasPrefix(name, "-") { // a program could take it for an option
				return "", false
			}
			return name, name != ""
		}
		if strings.Contains(host, "/") || strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, ":") {
			return "", false // the last is a remote helper of git's, "ext::command"
		}
		s = "ssh://" + host + "/" + strings.TrimPrefix(rest, "/")
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Host[0] == '-' {
		return "", false
	}
	host, ok := repositoryHost(u)
	if p := repositoryPath(u.EscapedPath()); ok && p != "" && p != "/" {
		address = "https://" + host + p
	}
	if address == "" || len(address) > maxAddress {
		return "", false
	}
	return address, true
}

// repositoryHost is the host and port at which u's repository is asked for over https.
func repositoryHost(u *url.URL) (host string, ok bool) {
	host = strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "ssh", "git", "git+ssh", "ssh+git": // their ports say nothing of the port for https
		if host = strings.ToLower(u.Hostname()); strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	default:
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":"), true
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
