// Package remote reads Git repositories that are kept elsewhere, over HTTPS.
//
// It speaks Git's smart HTTP protocol itself and gives the git program nothing but what has
// arrived: no git process ever connects anywhere, learns a credential or meets a redirect, a
// hook or a file of the repository. Every connection is made by Options.Dial, to a host that
// Options.Allow let pass; answers are bounded in bytes and in time, and redirects to another
// host are refused. Other transports (ssh, git, file) are refused with a hint.
//
// What was read of a commit is kept in a bare repository per address below Options.Dir,
// named by the address's hash. It is a cache: it is emptied at the start, when it has grown
// over its limit, and, the least recently used first, when there are too many. Objects enter
// it through git index-pack, which computes their names anew: a host cannot pass one for another.
//
// Formats: https://git-scm.com/docs/protocol-v2, gitprotocol-pack and gitprotocol-http.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Options says how repositories elsewhere are reached and what may be spent on them.
type Options struct {
	// Dir holds the cache; it is made when it is missing. One server uses it at a time.
	Dir string
	// Allow judges a host, a name or an address without port, before anything is sent to
	// it; its fault is what the caller gets. nil allows all.
	Allow func(host string) error
	// Dial connects. This is where the resolved address can be judged, and it is the only
	// way out: what Allow says of a name holds for an address only here. nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Auth returns what to log in with at a host with its port, if any; an empty token means
	// anonymous, an empty user is sent as "drawbridge". Over plain HTTP it is sent to loopback
	// alone. nil means anonymous everywhere.
	Auth func(host string) (user, token string)
	// Plain allows http:// for hosts that are not this machine's loopback.
	Plain bool
	// Now is the clock.
	Now func() time.Time
	// Timeout bounds one call; 0 means 2 minutes.
	Timeout time.Duration
	// MaxFetch bounds one answer of a host, bytes; 0 means 64 MiB.
	MaxFetch int64
	// MaxMirror bounds what is kept of one repository between calls, bytes; 0 means 256 MiB.
	MaxMirror int64
	// Mirrors bounds of how many repositories something is kept; 0 means 100.
	Mirrors int
}

// Remote reads repositories elsewhere. Make it with New. It is safe for concurrent use;
// calls for one repository wait for each other.
type Remote struct {
	options Options
	git     string // path of the git program
	http    *http.Client

	mu      sync.Mutex
	tick    int64
	mirrors map[string]*mirror // by directory name
}

var _ bridge.Sources = (*Remote)(nil)

// mirrorName is what a directory of the cache is called, and one for the time of a call.
var mirrorName = regexp.MustCompile(`^(?:[0-9a-f]{64}\.git|history-[0-9]+)$`)

// New empties the cache and looks for git. It is a fault of kind Unavailable when git is
// not installed.
func New(options Options) (*Remote, error) {
	if options.Dir == "" || options.Now == nil {
		return nil, errors.New("remote: Dir and Now are needed")
	}
	if options.Allow == nil {
		options.Allow = func(string) error { return nil }
	}
	if options.Auth == nil {
		options.Auth = func(string) (string, string) { return "", "" }
	}
	if options.Dial == nil {
		options.Dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	options.Timeout = cmp.Or(options.Timeout, 2*time.Minute)
	options.MaxFetch = cmp.Or(options.MaxFetch, 64<<20)
	options.MaxMirror = cmp.Or(options.MaxMirror, 256<<20)
	options.Mirrors = cmp.Or(options.Mirrors, 100)
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "git is not installed").WithHint("install git 2.36 or newer")
	}
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	if err := empty(options.Dir); err != nil {
		return nil, fmt.Errorf("empty the cache of repositories: %w", err)
	}
	r := &Remote{options: options, git: git, mirrors: map[string]*mirror{}}
	r.http = &http.Client{
		Transport: &http.Transport{
			DialContext: options.Dial, TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: r.redirect,
	}
	return r, nil
}

// empty makes the directory, and removes from it what only an earlier process can have left.
func empty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !mirrorName.MatchString(e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// redirect follows a host within itself, as hosts do that add ".git", and nowhere else.
func (r *Remote) redirect(to *http.Request, via []*http.Request) error {
	from := via[0].URL
	upgraded := to.URL.Scheme == "https" && from.Scheme == "http" && to.URL.Hostname() == from.Hostname()
	same := to.URL.Scheme == from.Scheme && to.URL.Host == from.Host
	switch {
	case to.Method != http.MethodGet || len(via) > 3:
		return fault.New(fault.Invalid, "%s redirects too often", from.Host)
	case !same && !upgraded:
		return fault.New(fault.Refused, "%s redirects to %.100q, and only redirects within a host are followed", from.Host, host(to.URL)).
			WithHint("name the repository's new address")
	}
	return nil
}

// host is what people are told of where a redirect leads.
func host(u *url.URL) string { return u.Scheme + "://" + u.Host }
