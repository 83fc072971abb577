package packages

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// Kind is what kind of service holds the files. Kinds are stored and only added to.
type Kind string

// The kinds.
const (
	GitHub Kind = "github" // assets of a release
	Gitea  Kind = "gitea"  // assets of a release; Forgejo too
	GitLab Kind = "gitlab" // links of a release
	Maven  Kind = "maven"  // one file of a version
	NPM    Kind = "npm"    // the tarball of a version
)

// Spec says which files of each version are wanted. It is a part of a delivery.
type Spec struct {
	Kind Kind `json:"kind"`
	// URL is the base address, without user and query: of the API for GitHub, of the server for
	// Gitea and GitLab, of the repository for Maven, of the registry for npm. Empty means the
	// public service; Gitea has none. Plain http is for this machine alone.
	URL string `json:"url,omitempty"`
	// Name is "owner/repository" on GitHub and Gitea, the project's path on GitLab,
	// "group:artifact" of Maven, "name" or "@scope/name" of npm.
	Name string `json:"name"`
	// Files are patterns of the names of assets, as path.Match has them: "shop_*_linux_amd64.tar.gz".
	// Release assets need at least one, packages take none.
	Files []string `json:"files,omitempty"`
	// Classifier and Extension choose the file of a Maven version; none and "jar" are usual.
	Classifier string `json:"classifier,omitempty"`
	Extension  string `json:"extension,omitempty"`
}

// public are the addresses of the public services.
var public = map[Kind]string{
	GitHub: "https://api.github.com",
	Gitea:  "",
	GitLab: "https://gitlab.com",
	Maven:  "https://repo1.maven.org/maven2",
	NPM:    "https://registry.npmjs.org",
}

// names are the forms of Spec.Name.
var names = map[Kind]*regexp.Regexp{
	GitHub: regexp.MustCompile(`^` + word + `/` + word + `$`),
	Gitea:  regexp.MustCompile(`^` + word + `/` + word + `$`),
	GitLab: regexp.MustCompile(`^` + word + `(/` + word + `)+$`),
	Maven:  regexp.MustCompile(`^` + word + `:` + word + `$`),
	NPM:    regexp.MustCompile(`^(@[a-z0-9_~-][a-z0-9._~-]*/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`),
}

// word begins with no dot: it is never a step upwards.
const word = `[A-Za-z0-9_-][A-Za-z0-9._-]*`

var (
	wholeWord    = regexp.MustCompile(`^` + word + `$`)
	mavenVersion = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)
	plainName    = regexp.MustCompile(`^[A-Za-z0-9_@][A-Za-z0-9._+~@-]*$`)
)

// Limits of names and lists.
const (
	maxName     = 200 // bytes of a file's name, a version, a Spec.Name
	maxPatterns = 20
)

// Check says what is wrong with a Spec: a fault of kind Invalid with the field, or nil.
func (s Spec) Check() error {
	if _, ok := public[s.Kind]; !ok {
		return fault.New(fault.Invalid, "%q is no kind of package", s.Kind).WithField("kind").
			WithHint("write github, gitea, gitlab, maven or npm")
	}
	if _, err := s.base(); err != nil {
		return err
	}
	if len(s.Name) > maxName || !names[s.Kind].MatchString(s.Name) || strings.Contains(s.Name, "..") {
		return fault.New(fault.Invalid, "%q cannot be a name on %s", s.Name, s.Kind).WithField("name").WithHint("%s", nameHint(s.Kind))
	}
	if err := s.checkFiles(); err != nil {
		return err
	}
	for field, v := range map[string]string{"classifier": s.Classifier, "extension": s.Extension} {
		if v != "" && (s.Kind != Maven || len(v) > 50 || !wholeWord.MatchString(v)) {
			return fault.New(fault.Invalid, "%q cannot be the %s of a %s file", v, field, s.Kind).WithField(field)
		}
	}
	return nil
}

func (s Spec) checkFiles() error {
	if assets := s.assets(); assets != (len(s.Files) > 0) || len(s.Files) > maxPatterns {
		if !assets {
			return fault.New(fault.Invalid, "a version of %s has one file; name no patterns", s.Kind).WithField("files")
		}
		return fault.New(fault.Invalid, "a release needs 1 to %d patterns of its files", maxPatterns).WithField("files").
			WithHint(`write files: ["NAME_*_linux_amd64.tar.gz"]`)
	}
	for i, pattern := range s.Files {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" || strings.Contains(pattern, "/") || len(pattern) > maxName {
			return fault.New(fault.Invalid, "%q is no pattern of a file's name", pattern).WithField(fmt.Sprintf("files[%d]", i))
		}
	}
	return nil
}

// assets reports whether the files are assets of a release of a Git host.
func (s Spec) assets() bool { return s.Kind == GitHub || s.Kind == Gitea || s.Kind == GitLab }

func nameHint(k Kind) string {
	switch k {
	case GitHub, Gitea:
		return "write owner/repository"
	case GitLab:
		return "write group/project"
	case Maven:
		return "write group:artifact"
	case NPM:
		return "write name or @scope/name"
	}
	return ""
}

// base is the base address, without a slash at its end.
func (s Spec) base() (*url.URL, error) {
	raw := cmp.Or(s.URL, public[s.Kind])
	if raw == "" {
		return nil, fault.New(fault.Invalid, "%s needs the address of its server", s.Kind).WithField("url").WithHint("write url: https://HOST")
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, "..") {
		return nil, fault.New(fault.Invalid, "%q is no address of a server", raw).WithField("url").WithHint("write https://HOST, without user and query")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fault.New(fault.Invalid, "%q is not fetched over https", raw).WithField("url").WithHint("write https://%s", u.Host)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

// checkVersion refuses versions that could be steps in a path, or that may change.
func (s Spec) checkVersion(version string) error {
	bad := version == "" || len(version) > maxName || strings.Contains(version, "..") || strings.HasPrefix(version, "/") ||
		strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' || r == '?' }) ||
		slices.Contains(strings.Split(version, "/"), ".")
	if s.Kind == Maven || s.Kind == NPM {
		bad = bad || !mavenVersion.MatchString(version)
	}
	if bad {
		return fault.New(fault.Invalid, "%.50q cannot be a version on %s", version, s.Kind).WithField("version")
	}
	if s.Kind == Maven && strings.HasSuffix(version, "-SNAPSHOT") {
		return fault.New(fault.Refused, "%s is a snapshot, whose files change; a release never does", version).WithHint("publish a version without -SNAPSHOT")
	}
	return nil
}

// wanted reports whether a pattern takes the name.
func (s Spec) wanted(name string) bool {
	return slices.ContainsFunc(s.Files, func(pattern string) bool {
		ok, _ := path.Match(pattern, name) // Check has tried the pattern
		return ok
	})
}

// checkName refuses what cannot be the name of a file in a directory of ours.
func checkName(name string) error {
	if len(name) > maxName || !plainName.MatchString(name) {
		return fault.New(fault.Refused, "a file is named %.50q", name).
			WithHint("name it with letters, digits and . _ + ~ @ -, at most %d of them", maxName)
	}
	return nil
}
