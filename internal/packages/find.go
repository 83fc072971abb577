package packages

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// Config says how a Fetcher works. Guard is needed.
type Config struct {
	// Guard is asked about every request.
	Guard Guard
	// Auth is the value of the Authorization header for a host ("registry.npmjs.org",
	// "git.example.com:3000"), "" for none. It is sent to the host of a Spec's address alone,
	// never where a link or a redirect leads. nil means none.
	Auth func(host string) string
	// Transport carries the requests; nil means one of its own, that also asks Guard about
	// addresses. One that is given has to keep itself from private addresses.
	Transport http.RoundTripper
	// MaxFile bounds one file, bytes; 0 means 512 MiB.
	MaxFile int64
	// Timeout bounds the fetch of one file; 0 means 15 minutes.
	Timeout time.Duration
}

// Fetcher finds and fetches files. It is safe for concurrent use.
//
// Its faults are Invalid (a Spec or version that cannot be), NotFound, Forbidden (the host
// demands a login, or a better one), Refused (the guard, a wrong checksum, a name that can be
// no file's), TooLarge, Blocked (the release is not published yet), Full, and Unavailable
// (out of reach, failing, or malformed; one that asks for patience wraps bridge.Throttled).
type Fetcher struct {
	config Config
	inner  http.RoundTripper
}

// New makes a Fetcher; it connects to nothing yet. Without a Guard it panics: whoever wires
// it must decide where it may go.
func New(config Config) *Fetcher {
	if config.Guard == nil {
		panic("packages.New without a Guard")
	}
	if config.Auth == nil {
		config.Auth = func(string) string { return "" }
	}
	config.MaxFile = cmp.Or(config.MaxFile, 512<<20)
	config.Timeout = cmp.Or(config.Timeout, 15*time.Minute)
	f := &Fetcher{config: config, inner: config.Transport}
	if f.inner == nil {
		f.inner = newTransport(config.Guard)
	}
	return f
}

// File is one file of a version, as its registry describes it. It can be kept as JSON.
type File struct {
	Name string `json:"name"` // of the file alone, without any path; safe as a name in a directory
	URL  string `json:"url"`
	// Integrity is the checksum that the registry states, as Subresource Integrity has it:
	// "sha512-BASE64", alternatives separated by spaces; "" where it states none.
	Integrity    string        `json:"integrity,omitempty"`
	Size         int64         `json:"size,omitempty"` // bytes; 0 where it does not say
	Attestations []Attestation `json:"attestations,omitempty"`
	// Origin is the scheme and host of the Spec's address, "https://git.example.com:3000":
	// what is logged in to.
	Origin string `json:"origin"`
}

// Attestation is a place where bundles of a file may be found.
type Attestation struct {
	URL  string `json:"url"`
	Form Form   `json:"form"`
}

// Form is how bundles are written at a place. Forms are stored and only added to.
type Form string

// The forms.
const (
	FormBundle Form = "bundle" // one Sigstore bundle, as JSON
	FormLines  Form = "lines"  // one on each line
	FormGitHub Form = "github" // GitHub's attestations API; the file's digest is added to the URL
	FormNPM    Form = "npm"    // npm's attestations document
)

// Limits of what is read of one version.
const (
	MaxAssets = 1000 // files of one release, wanted or not
	MaxFiles  = 50   // files that are wanted
)

// Find lists the files of a version that spec wants, sorted by name, each name once. version
// is a tag on a Git host, a version of a package. No such version, and none of its files
// wanted, are faults of kind NotFound.
func (f *Fetcher) Find(ctx context.Context, spec Spec, version string) ([]File, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if err := spec.checkVersion(version); err != nil {
		return nil, err
	}
	base, err := spec.base()
	if err != nil {
		return nil, err
	}
	q := query{f: f, spec: spec, base: base, version: version}
	var files []File
	switch spec.Kind {
	case GitHub:
		files, err = q.github(ctx)
	case Gitea:
		files, err = q.gitea(ctx)
	case GitLab:
		files, err = q.gitlab(ctx)
	case Maven:
		files, err = q.maven(ctx)
	case NPM:
		files, err = q.npm(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if file.Size > f.config.MaxFile {
			return nil, tooLarge(file.Name, f.config.MaxFile)
		}
		if _, err := parseIntegrity(file.Integrity); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// beside are the endings of files that hold the bundles of the file named before them.
var beside = []struct {
	ending string
	form   Form
}{{".sigstore.json", FormBundle}, {".sigstore", FormBundle}, {".intoto.jsonl", FormLines}}

// pick takes the wanted files among the assets of a release, and gives each the bundles
// beside it, which are not wanted for themselves.
func (q query) pick(assets []File) ([]File, error) {
	if len(assets) > MaxAssets {
		return nil, fault.New(fault.TooLarge, "release %s of %s has more than %d files", q.version, q.spec.Name, MaxAssets)
	}
	all := map[string]File{}
	for _, a := range assets {
		if _, twice := all[a.Name]; twice && q.spec.wanted(a.Name) {
			return nil, fault.New(fault.Refused, "release %s of %s has two files named %.50q", q.version, q.spec.Name, a.Name)
		}
		all[a.Name] = a
	}
	var picked []File
	for name, a := range all {
		if !q.spec.wanted(name) || isBeside(all, name) {
			continue
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		for _, b := range beside {
			if other, ok := all[name+b.ending]; ok {
				a.Attestations = append(a.Attestations, Attestation{other.URL, b.form})
			}
		}
		picked = append(picked, a)
	}
	switch {
	case len(picked) == 0:
		return nil, fault.New(fault.NotFound, "release %s of %s has no file that matches %s", q.version, q.spec.Name, strings.Join(q.spec.Files, ", "))
	case len(picked) > MaxFiles:
		return nil, fault.New(fault.TooLarge, "%d files of release %s of %s match; at most %d are taken", len(picked), q.version, q.spec.Name, MaxFiles).
			WithHint("write narrower patterns in files")
	}
	slices.SortFunc(picked, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return picked, nil
}

// isBeside reports whether name is a bundle of another file.
func isBeside(all map[string]File, name string) bool {
	for _, b := range beside {
		if other, ok := strings.CutSuffix(name, b.ending); ok {
			if _, there := all[other]; there {
				return true
			}
		}
	}
	return false
}
