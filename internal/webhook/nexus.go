package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

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
