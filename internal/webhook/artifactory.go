package webhook

import (
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
