package cd

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// ArtifactSpec names an artifact and what must be proven of it.
type ArtifactSpec struct {
	Name    string       `json:"name" jsonschema:"description=How triggers and targets call it."`
	Image   string       `json:"image,omitempty" jsonschema:"description=[host/]repository; without a host: this server's registry. A package needs none."`
	Package *PackageSpec `json:"package,omitempty" jsonschema:"description=It is a file from elsewhere\\, which the bridge wraps as an artifact."`
	Source  *SourceSpec  `json:"source,omitempty" jsonschema:"description=Where it must have been built from."`
	Signers []string     `json:"signers,omitempty" jsonschema:"description=Who may vouch for it; omitted: ci."`
	Require []string     `json:"require,omitempty" jsonschema:"description=Attestations without which nothing crosses; omitted: signature and provenance."`
	Wait    Duration     `json:"wait,omitempty" jsonschema:"description=How long evidence that is still being attached is waited for\\, at most 24h; omitted: not at all."`
	Poll    Duration     `json:"poll,omitempty" jsonschema:"description=How often the registry is looked at for new tags\\, at least 10s; omitted: never."`
}

// SourceSpec is where an artifact must have been built from.
type SourceSpec struct {
	Repository string   `json:"repository,omitempty" jsonschema:"description=Git repository; omitted: the package's\\, else the one on this server with the delivery's name."`
	Refs       []string `json:"refs,omitempty" jsonschema:"description=Refs; a trailing * stands for the rest. Omitted: refs/heads/main and refs/tags/v*."`
}

// PackageSpec says where a file comes from that is no image: exactly one field is set.
type PackageSpec struct {
	GitHub *AssetSpec `json:"github,omitempty" jsonschema:"description=An asset of a release on GitHub."`
	Gitea  *AssetSpec `json:"gitea,omitempty" jsonschema:"description=An asset of a release on Gitea or Forgejo."`
	GitLab *AssetSpec `json:"gitlab,omitempty" jsonschema:"description=A link of a release on GitLab."`
	Maven  *MavenSpec `json:"maven,omitempty" jsonschema:"description=A file of a Maven repository."`
	NPM    *NPMSpec   `json:"npm,omitempty" jsonschema:"description=A package of an npm registry."`
}

// AssetSpec names the asset of a release of a Git host.
type AssetSpec struct {
	URL        string `json:"url,omitempty" jsonschema:"description=Address of the server; on GitHub that of its API. Omitted: the public service."`
	Repository string `json:"repository" jsonschema:"description=owner/repository; on GitLab the project's path."`
	File       string `json:"file" jsonschema:"description=The asset's name: * any text\\, ? one character\\, {version} the version."`
}

// MavenSpec names a file of a Maven repository.
type MavenSpec struct {
	URL  string `json:"url,omitempty" jsonschema:"description=Address of the repository; omitted: Maven Central."`
	Name string `json:"name" jsonschema:"description=group:artifact"`
	File string `json:"file,omitempty" jsonschema:"description=Extension\\, or classifier:extension.,default=jar"`
}

// NPMSpec names a package of an npm registry.
type NPMSpec struct {
	URL  string `json:"url,omitempty" jsonschema:"description=Address of the registry; omitted: the public one."`
	Name string `json:"name" jsonschema:"description=name or @scope/name"`
}

// What holds where the file says nothing.
const (
	defaultSigner = "ci"
	defaultFile   = "jar"
)

func defaultRefs() []string    { return []string{"refs/heads/main", "refs/tags/v*"} }
func defaultRequire() []string { return []string{"signature", "provenance"} }

// rule is the artifact as the bridge judges it. The spec is one that was checked.
func (a ArtifactSpec) rule(delivery string) bridge.ArtifactRule {
	r := bridge.ArtifactRule{
		Name: a.Name, Image: a.reference(delivery), Repository: delivery, Refs: defaultRefs(),
		Signers: []string{defaultSigner}, Require: defaultRequire(),
		Wait: time.Duration(a.Wait), Poll: time.Duration(a.Poll), Package: a.Package.rule(),
	}
	if from := repositoryOf(r.Package); from != "" {
		r.Repository = from
	}
	if s := a.Source; s != nil {
		r.Repository = cmp.Or(s.Repository, r.Repository)
		if len(s.Refs) > 0 {
			r.Refs = s.Refs
		}
	}
	if len(a.Signers) > 0 {
		r.Signers = a.Signers
	}
	if len(a.Require) > 0 {
		r.Require = a.Require
	}
	return r
}

// image is where the artifact lies, as the file says it or as it follows from the names.
func (a ArtifactSpec) image(delivery string) string {
	if a.Image == "" && a.Package != nil {
		return fmt.Sprintf("packages/%s/%s", delivery, a.Name)
	}
	return a.Image
}

func (a ArtifactSpec) reference(delivery string) artifact.Reference {
	ref, err := artifact.ParseReference(a.image(delivery))
	if err != nil {
		panic("cd: a parsed delivery holds a malformed image: " + err.Error())
	}
	return ref
}

// rule is the package as the bridge wraps it; nil for none.
func (p *PackageSpec) rule() *bridge.PackageRule {
	if p == nil {
		return nil
	}
	asset := func(kind string, a *AssetSpec) *bridge.PackageRule {
		return &bridge.PackageRule{Kind: kind, URL: strings.TrimRight(a.URL, "/"), Name: a.Repository, File: a.File}
	}
	switch {
	case p.GitHub != nil:
		return asset("github", p.GitHub)
	case p.Gitea != nil:
		return asset("gitea", p.Gitea)
	case p.GitLab != nil:
		return asset("gitlab", p.GitLab)
	case p.Maven != nil:
		return &bridge.PackageRule{Kind: "maven", URL: strings.TrimRight(p.Maven.URL, "/"), Name: p.Maven.Name, File: cmp.Or(p.Maven.File, defaultFile)}
	case p.NPM != nil:
		return &bridge.PackageRule{Kind: "npm", URL: strings.TrimRight(p.NPM.URL, "/"), Name: p.NPM.Name}
	}
	return nil
}

// repositoryOf is the Git repository whose releases hold the package; "" where that is none.
func repositoryOf(p *bridge.PackageRule) string {
	if p == nil {
		return ""
	}
	base := ""
	switch p.Kind {
	case "github":
		base = "https://github.com"
		if p.URL != "" && p.URL != "https://api.github.com" {
			base = strings.TrimSuffix(p.URL, "/api/v3") // where a GitHub of one's own has its API
		}
	case "gitlab":
		base = cmp.Or(p.URL, "https://gitlab.com")
	case "gitea":
		base = p.URL
	}
	if base == "" {
		return ""
	}
	address, _ := bridge.NormalRepository(base + "/" + p.Name)
	return address
}
