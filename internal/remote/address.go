package remote

import (
	"net"
	"net/url"
	"regexp"
	"strings"

	"drawbridge/internal/fault"
)

// maxAddress is the longest address of a repository, bytes.
const maxAddress = 512

// addressForm is a whole address: nothing that needs escaping, no user, no query, no empty
// or hidden part. What is refused here never reaches a URL parser, a request or a file name.
var addressForm = regexp.MustCompile(`^https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9_~+@][A-Za-z0-9._~+@-]*)+/?$`)

// parseAddress reads the address of a repository as people and events write it.
func (r *Remote) parseAddress(repository string) (*url.URL, error) {
	bad := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Invalid, format, args...).WithField("repository").WithHint("write https://HOST/PATH")
	}
	scheme, _, ok := strings.Cut(repository, "://")
	switch {
	case len(repository) > maxAddress:
		return nil, bad("the address of a repository has at most %d characters, not %d", maxAddress, len(repository))
	case !ok:
		return nil, bad("%.100q is no address of a repository", repository)
	case scheme != "https" && scheme != "http":
		return nil, bad("repositories are read over https, not over %.20q", scheme)
	case strings.Contains(repository, "@") && strings.Contains(authority(repository), "@"):
		return nil, bad("the address of a repository holds no user and no password").WithHint("give the credential to the server's settings for that host")
	case !addressForm.MatchString(repository):
		return nil, bad("%.100q is no address of a repository", repository)
	}
	u, err := url.Parse(strings.TrimSuffix(repository, "/"))
	if err != nil {
		return nil, bad("%.100q is no address of a repository", repository)
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "http" && !r.options.Plain && !loopback(u.Hostname()) {
		return nil, bad("%s is asked over https alone: over http anybody in between can change what it says", u.Host)
	}
	return u, nil
}

// authority is the part of an address between the slashes.
func authority(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// loopback reports whether host is this machine's loopback.
func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
