package cd

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// predicates are the attestations that a delivery may require.
var predicates = []string{"signature", "provenance", "sbom", "tests", "coverage", "findings"}

// How long and how often.
const (
	minPoll         = Duration(10 * time.Second) // between two looks
	maxPoll         = Duration(24 * time.Hour)   // between two looks
	maxEvidenceWait = Duration(24 * time.Hour)   // for evidence that is still being attached
)

func (c *checker) artifacts() {
	if n := len(c.d.Artifacts); n < 1 || n > MaxArtifacts {
		c.fail("artifacts", "describe what a release is made of", "a delivery has 1 to %d artifacts, not %d", MaxArtifacts, n)
		return
	}
	for i, a := range c.d.Artifacts {
		p := fmt.Sprintf("artifacts[%d]", i)
		c.name(p+".name", a.Name)
		if slices.ContainsFunc(c.d.Artifacts[:i], func(o ArtifactSpec) bool { return o.Name == a.Name }) {
			c.fail(p+".name", "names are unique", "artifact %q stands twice", a.Name)
		}
		c.packageOf(p+".package", a.Package)
		c.image(p, a)
		c.proof(p, a)
		c.span(p+".wait", a.Wait, 0, maxEvidenceWait)
		c.span(p+".poll", a.Poll, minPoll, maxPoll)
		if a.Package != nil && a.Poll != 0 {
			c.fail(p+".poll", "write poll into a trigger on: release with the repository", "only registries of images are looked at")
		}
	}
	c.imagesDiffer()
}

// image checks where the artifact lies.
func (c *checker) image(p string, a ArtifactSpec) {
	if a.image(c.d.Name) == "" {
		c.fail(p, "write image: [host/]repository", "artifact %q names no image", a.Name)
		return
	}
	ref, err := artifact.ParseReference(a.image(c.d.Name))
	switch {
	case err != nil:
		c.fail(p+".image", "write [host/]repository", "%s", err)
	case ref.Tag != "" || !ref.Digest.IsZero():
		c.fail(p+".image", "the trigger says which tags count", "image names a tag or a digest")
	}
}

// imagesDiffer refuses two artifacts in one repository: an event could not tell them apart.
func (c *checker) imagesDiffer() {
	if c.err != nil {
		return
	}
	seen := map[string]string{}
	for i, a := range c.d.Artifacts {
		name := a.reference(c.d.Name).Name()
		if other, ok := seen[name]; ok {
			c.fail(fmt.Sprintf("artifacts[%d].image", i), "give each artifact a repository of its own", "artifact %q has the image of %q", a.Name, other)
		}
		seen[name] = a.Name
	}
}

// proof checks who must vouch for what.
func (c *checker) proof(p string, a ArtifactSpec) {
	for i, r := range a.Require {
		if !slices.Contains(predicates, r) {
			c.fail(fmt.Sprintf("%s.require[%d]", p, i), "known: "+strings.Join(predicates, ", "), "%q is no attestation", r)
		}
	}
	for i, s := range a.Signers {
		c.name(fmt.Sprintf("%s.signers[%d]", p, i), s)
	}
	if a.Source == nil {
		return
	}
	for i, r := range a.Source.Refs {
		if !validRef(r) {
			c.fail(fmt.Sprintf("%s.source.refs[%d]", p, i), "write refs/heads/main or refs/tags/v*", "%q is no ref", r)
		}
	}
}

// artifactName checks that the delivery has an artifact.
func (c *checker) artifactName(p, name string) bool {
	if _, ok := c.d.artifact(name); ok {
		return true
	}
	names := make([]string, len(c.d.Artifacts))
	for i, a := range c.d.Artifacts {
		names[i] = a.Name
	}
	c.fail(p, "artifacts here: "+strings.Join(names, ", "), "there is no artifact %q", name)
	return false
}

// word is a part of a package's name. It begins with no dot: it is never a step upwards.
const word = `[A-Za-z0-9_-][A-Za-z0-9._-]*`

// packageNames are the forms of the names of packages.
var packageNames = map[string]struct {
	form *regexp.Regexp
	hint string
}{
	"github": {regexp.MustCompile(`^` + word + `/` + word + `$`), "write owner/repository"},
	"gitea":  {regexp.MustCompile(`^` + word + `/` + word + `$`), "write owner/repository"},
	"gitlab": {regexp.MustCompile(`^` + word + `(/` + word + `)+$`), "write group/project"},
	"maven":  {regexp.MustCompile(`^` + word + `:` + word + `$`), "write group:artifact"},
	"npm":    {regexp.MustCompile(`^(@[a-z0-9_~-][a-z0-9._~-]*/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`), "write name or @scope/name"},
}

// mavenFile is the file of a Maven version: extension, or classifier:extension.
var mavenFile = regexp.MustCompile(`^(?:` + word + `:)?` + word + `$`)

func (c *checker) packageOf(p string, s *PackageSpec) {
	if s == nil {
		return
	}
	kinds := 0
	for _, set := range []bool{s.GitHub != nil, s.Gitea != nil, s.GitLab != nil, s.Maven != nil, s.NPM != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		c.fail(p, "write one of github, gitea, gitlab, maven and npm", "package names %d kinds", kinds)
		return
	}
	r := s.rule()
	p += "." + r.Kind
	key := "name"
	if assets := r.Kind != "maven" && r.Kind != "npm"; assets {
		key = "repository"
		c.assetPattern(p+".file", r.File)
	}
	if n := packageNames[r.Kind]; len(r.Name) > 200 || strings.Contains(r.Name, "..") || !n.form.MatchString(r.Name) {
		c.fail(p+"."+key, n.hint, "%q cannot be a name on %s", r.Name, r.Kind)
	}
	if r.Kind == "maven" && (len(r.File) > 100 || strings.Contains(r.File, "..") || !mavenFile.MatchString(r.File)) {
		c.fail(p+".file", "write jar, or classifier:jar", "%q is no file of a Maven version", r.File)
	}
	c.address(p+".url", r)
}

// assetPattern checks the pattern of an asset's name.
func (c *checker) assetPattern(p, file string) {
	_, err := path.Match(file, "x")
	if file == "" || len(file) > 200 || err != nil || strings.ContainsAny(file, "/\\\x00") || strings.Contains(file, "..") {
		c.fail(p, `write for example "shop_{version}_linux_amd64.tar.gz"`, "%q is no pattern of a file's name", file)
	}
}

// address checks where a package is asked for. Plain http is for this machine alone.
func (c *checker) address(p string, r *bridge.PackageRule) {
	if r.URL == "" {
		if r.Kind == "gitea" {
			c.fail(p, "write url: https://HOST", "gitea needs the address of its server")
		}
		return
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, ".."):
		c.fail(p, "write https://HOST, without user and query", "%q is no address of a server", r.URL)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		c.fail(p, "write https://"+u.Host, "%q is not fetched over https", r.URL)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func validRef(s string) bool {
	return strings.HasPrefix(s, "refs/") && !strings.ContainsAny(s, " \t\x00") && strings.Count(s, "*") <= 1 &&
		(!strings.Contains(s, "*") || strings.HasSuffix(s, "*"))
}
