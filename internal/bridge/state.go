package bridge

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

// State is the file environments/NAME.yaml of a GitOps repository: which release of which
// application one environment shall run. ParseState makes a valid one.
type State struct {
	APIVersion string            `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind       string            `json:"kind" jsonschema:"enum=EnvironmentState"`
	Releases   map[string]Wanted `json:"releases" jsonschema:"description=Application and the version that it shall run: VERSION or VERSION@sha256:DIGEST. A digest pins what the version must be."`
}

// Wanted is the version of an application that an environment shall run. The zero value wants
// nothing. As text it is "1.4.2", or "1.4.2@sha256:…".
type Wanted struct {
	Version string          // tag under which the release was accepted
	Digest  artifact.Digest // what the release's one artifact must be; zero: whatever the version names
}

// StateChange is one entry that differs between two states.
type StateChange struct {
	Environment string `json:"environment"`
	Application string `json:"application"`
	Before      Wanted `json:"before"` // zero: there was none
	After       Wanted `json:"after"`  // zero: the entry is gone
}

// Limits of a GitOps repository.
const (
	MaxStates   = 200  // files of environments
	MaxReleases = 1000 // entries of one file
)

// WantedForm is a regular expression of Wanted as text, for the schema of the file.
const WantedForm = `^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[0-9a-f]{64})?$`

var (
	stateName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	version   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// ParseWanted reads what Wanted.String writes; anything else is a fault of kind Invalid.
func ParseWanted(s string) (Wanted, error) {
	name, digest, pinned := strings.Cut(s, "@")
	if !version.MatchString(name) {
		return Wanted{}, fault.New(fault.Invalid, "%.80q is no version", name).WithHint("write VERSION or VERSION@sha256:DIGEST")
	}
	w := Wanted{Version: name}
	if !pinned {
		return w, nil
	}
	var err error
	w.Digest, err = artifact.ParseDigest(digest)
	return w, err
}

// String is the version, with "@" and the digest where there is one; "" for the zero Wanted.
func (w Wanted) String() string {
	if w.Digest.IsZero() {
		return w.Version
	}
	return w.Version + "@" + w.Digest.String()
}

// IsZero reports whether w wants nothing.
func (w Wanted) IsZero() bool { return w == Wanted{} }

// MarshalText writes what String gives.
func (w Wanted) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero Wanted.
func (w *Wanted) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*w = Wanted{}
		return nil
	}
	p, err := ParseWanted(string(b))
	*w = p
	return err
}

// stateFile is a State as YAML understands it. What is no text there is refused: YAML reads 1.10 as
// the number 1.1, which is another version.
type stateFile struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Releases   map[any]any `json:"releases"`
}

// ParseState reads one file; file is its name as the user knows it. Every mistake is a fault
// with line and column.
func ParseState(file string, src []byte) (State, error) {
	var raw stateFile
	f, err := yamlfile.Decode(file, src, &raw)
	if err != nil {
		return State{}, err
	}
	switch {
	case raw.APIVersion != "drawbridge/v1":
		return State{}, f.At("apiVersion", "apiVersion is %.80q", raw.APIVersion).WithHint("write apiVersion: drawbridge/v1")
	case raw.Kind != "EnvironmentState":
		return State{}, f.At("kind", "kind is %.80q", raw.Kind).WithHint("write kind: EnvironmentState")
	case raw.Releases == nil:
		return State{}, f.At("releases", "releases is missing").WithHint("write releases: {shop: 1.4.2}, or releases: {} where nothing is wanted")
	case len(raw.Releases) > MaxReleases:
		return State{}, f.At("releases", "%d releases are more than %d", len(raw.Releases), MaxReleases)
	}
	var first *fault.Error
	s := State{APIVersion: raw.APIVersion, Kind: raw.Kind, Releases: make(map[string]Wanted, len(raw.Releases))}
	for key, value := range raw.Releases {
		app, w, err := entry(f, key, value)
		if err != nil {
			first = earlier(first, err)
			continue
		}
		s.Releases[app] = w
	}
	if first != nil {
		return State{}, first
	}
	return s, nil
}

// entry reads one line of releases.
func entry(f *yamlfile.File, key, value any) (string, Wanted, *fault.Error) {
	place := fmt.Sprintf("releases.%v", key)
	app, ok := key.(string)
	if !ok || !stateName.MatchString(app) {
		return "", Wanted{}, f.At(place, "%.80q is no name of an application", fmt.Sprint(key)).
			WithHint("use lower-case letters, digits and hyphens, at most 63; in quotes where it is a number")
	}
	text, ok := value.(string)
	switch {
	case value == nil:
		return "", Wanted{}, f.At(place, "%s has no version", app).WithHint("write a version, or remove the line")
	case !ok:
		return "", Wanted{}, f.At(place, "YAML reads the version of %s as %v, which is no text", app, value).WithHint("write it in quotes: \"1.10\"")
	}
	w, err := ParseWanted(text)
	if err != nil {
		e := fault.As(err)
		return "", Wanted{}, f.At(place, "%s: %s", app, e.Message).WithHint("%s", e.Hint)
	}
	return app, w, nil
}

// earlier is the fault that stands first in the file.
func earlier(a, b *fault.Error) *fault.Error {
	if a == nil || b.Line < a.Line || b.Line == a.Line && (b.Column < a.Column || b.Column == a.Column && b.Message < a.Message) {
		return b
	}
	return a
}

// ParseStates reads the files of one folder, without those in folders below it, by their paths:
// NAME.yaml or NAME.yml is the state of environment NAME. Other files and hidden ones are passed
// over. The first mistake, in the order of the paths, is a fault that names the file: a commit
// holds as a whole or not at all.
func ParseStates(files map[string][]byte) (map[string]State, error) {
	out, from := map[string]State{}, map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		base := path.Base(file)
		ext := path.Ext(base)
		if ext != ".yaml" && ext != ".yml" || base[0] == '.' {
			continue
		}
		name := strings.TrimSuffix(base, ext)
		switch {
		case !stateName.MatchString(name):
			return nil, fault.At(file, 0, 0, "%.80q is no name of an environment", name).WithHint("use lower-case letters, digits and hyphens, at most 63")
		case from[name] != "":
			return nil, fault.At(file, 0, 0, "environment %s is also in %s", name, from[name]).WithHint("keep one of the two")
		case len(out) == MaxStates:
			return nil, fault.New(fault.TooLarge, "there are more than %d environments", MaxStates)
		}
		s, err := ParseState(file, files[file])
		if err != nil {
			return nil, err
		}
		out[name], from[name] = s, file
	}
	return out, nil
}

// Changes are the entries that differ, sorted by environment and application. A removed entry,
// or one of a removed environment, has a zero After.
func Changes(before, after map[string]State) []StateChange {
	var out []StateChange
	for _, env := range union(before, after) {
		b, a := before[env].Releases, after[env].Releases
		for _, app := range union(b, a) {
			if b[app] != a[app] {
				out = append(out, StateChange{Environment: env, Application: app, Before: b[app], After: a[app]})
			}
		}
	}
	return out
}

// union is the sorted keys of both maps.
func union[V any](a, b map[string]V) []string {
	keys := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.Sort(keys)
	return slices.Compact(keys)
}
