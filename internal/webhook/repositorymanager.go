package webhook

import (
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

// artifactory is what is read of a delivery of JFrog Artifactory. Documentation:
// https://jfrog.com/help/r/jfrog-platform-administration-documentation/event-types.
type artifactory struct {
	Domain string `json:"domain"`
	Type   string `json:"event_type"`
	Data   struct {
		RepoKey string `json:"repo_key"`
		Image   string `json:"image_name"`
		Tag     string `json:"tag"`
		SHA256  string `json:"sha256"` // of the manifest, without "sha256:"
	} `json:"data"`
	Origin string `json:"jpd_origin"`
	Source string `json:"source"` // "jfrog/USER"
}

// readArtifactory reads pushes of images. The image is HOST/REPOSITORY/IMAGE, as with
// Artifactory's repository path method, HOST being that of jpd_origin. With the subdomain
// method the receiver's host begins with the repository's name ("docker-local.example.com"):
// then the image is HOST/IMAGE.
func readArtifactory(r Request, o Options) ([]bridge.Fact, error) {
	doc, err := decode[artifactory](r.Body)
	if err != nil {
		return nil, err
	}
	if doc.Domain == "" || doc.Type == "" {
		return nil, wrong("event_type", "domain or event_type is missing")
	}
	if doc.Domain != "docker" || doc.Type != "pushed" {
		return nil, nil
	}
	host := o.Host
	if host == "" && doc.Origin != "" {
		host = hostOf(doc.Origin)
	}
	name := host + "/" + doc.Data.RepoKey + "/" + doc.Data.Image
	if strings.HasPrefix(host, doc.Data.RepoKey+".") {
		name = host + "/" + doc.Data.Image
	}
	digest := doc.Data.SHA256
	if digest != "" {
		digest = "sha256:" + strings.TrimPrefix(digest, "sha256:")
	}
	f := bridge.Fact{Type: doc.Domain + " " + doc.Type, Source: doc.Origin, Actor: strings.TrimPrefix(doc.Source, "jfrog/")}
	return published(f, name, doc.Data.Tag, digest)
}

// nexus is what is read of a delivery of Sonatype Nexus Repository 3 about a component.
// Documentation: https://help.sonatype.com/en/example-headers-and-payloads.html.
type nexus struct {
	At         stamp  `json:"timestamp"`
	Initiator  string `json:"initiator"` // "USER/ADDRESS"
	Repository string `json:"repositoryName"`
	Action     string `json:"action"`
	Component  *struct {
		Format  string `json:"format"`
		Name    string `json:"name"`
		Group   string `json:"group"`
		Version string `json:"version"`
	} `json:"component"`
}

// readNexus reads images and packages. A delivery does not say under which address an image
// is fetched: the receiver's host does.
func readNexus(r Request, o Options) ([]bridge.Fact, error) {
	if id, _ := one(r.Header, "X-Nexus-Webhook-Id"); id != "rm:repository:component" {
		return nil, nil // an asset is a part of a component, which comes as well
	}
	doc, err := decode[nexus](r.Body)
	if err != nil {
		return nil, err
	}
	c := doc.Component
	switch {
	case doc.Action != "CREATED" && doc.Action != "UPDATED":
		return nil, nil
	case c == nil:
		return nil, wrong("component", "is missing")
	}
	actor, _, _ := strings.Cut(doc.Initiator, "/")
	f := bridge.Fact{Type: "rm:repository:component", Source: doc.Repository, Actor: actor, At: doc.At.Time}
	name := c.Name
	switch c.Format {
	case "docker":
		if o.Host == "" {
			return nil, wrong("host", "the delivery does not say where its images are fetched").
				WithHint("set host of the receiver to the registry's address")
		}
		if strings.HasPrefix(c.Version, "sha256:") {
			return nil, nil // pushed without a tag
		}
		return published(f, strings.TrimSuffix(o.Host, "/")+"/"+name, c.Version, "")
	case "maven2":
		return packaged(f, newPackage("maven", o.Host, c.Group+":"+name, c.Version)), nil
	case "npm":
		if c.Group != "" {
			name = "@" + strings.TrimPrefix(c.Group, "@") + "/" + name
		}
		return packaged(f, newPackage("npm", o.Host, name, c.Version)), nil
	}
	return nil, nil
}

// sortedKeys are the keys of m.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
