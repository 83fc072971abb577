package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// gitHubPackage is the package of the events package and registry_package.
type gitHubPackage struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Type      string `json:"package_type"`
	Updated   stamp  `json:"updated_at"`
	Version   *struct {
		Version   string `json:"version"`
		URL       string `json:"package_url"` // of an image "ghcr.io/OWNER/NAME:TAG"
		Commit    string `json:"target_oid"`
		Container *struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
		} `json:"container_metadata"`
	} `json:"package_version"`
	Registry struct {
		URL string `json:"url"`
	} `json:"registry"`
}

// read gives the fact about the package. GitHub's container registry takes names in lower
// case only, its payloads write an owner as he writes himself.
func (p *gitHubPackage) read(f bridge.Fact, action string, place *bridge.GitRef) ([]bridge.Fact, error) {
	if action != "published" && action != "updated" {
		return nil, nil
	}
	if p == nil || p.Version == nil {
		return nil, wrong("package.package_version", "is missing")
	}
	f.At = p.Updated.Time
	if !strings.EqualFold(p.Type, "container") && !strings.EqualFold(p.Type, "docker") {
		return p.version(f), nil
	}
	if p.Version.Container == nil {
		return nil, wrong("package.package_version.container_metadata", "is missing")
	}
	tag := p.Version.Container.Tag
	if tag.Name == "" && tag.Digest == "" {
		return nil, nil // GitHub leaves them out when it does not know the tag yet
	}
	facts, err := published(f, p.image(), tag.Name, tag.Digest)
	for i := range facts {
		if place != nil {
			g := *place
			if commitID.MatchString(p.Version.Commit) {
				g.Commit = p.Version.Commit
			}
			facts[i].Git = &g
		}
	}
	return facts, err
}

func (p *gitHubPackage) image() string {
	name := strings.TrimPrefix(strings.TrimPrefix(p.Version.URL, "https://"), "http://")
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	if name == "" {
		name = first(hostOf(p.Registry.URL), "ghcr.io") + "/" + p.Namespace + "/" + p.Name
	}
	return strings.ToLower(name)
}

// version is the fact that a package of another kind has a new version.
func (p *gitHubPackage) version(f bridge.Fact) []bridge.Fact {
	kind, name := strings.ToLower(p.Type), p.Name
	if kind == "npm" && !strings.HasPrefix(name, "@") && p.Namespace != "" {
		name = "@" + strings.ToLower(p.Namespace) + "/" + name
	}
	return packaged(f, newPackage(kind, hostOf(p.Registry.URL), name, p.Version.Version))
}

// packaged is the fact that p was published; none when p is nil.
func packaged(f bridge.Fact, p *bridge.Package) []bridge.Fact {
	if p == nil {
		return nil
	}
	f.Kind, f.Package, f.Subject = bridge.KindRelease, p, p.Name+" "+p.Version
	return []bridge.Fact{f}
}
