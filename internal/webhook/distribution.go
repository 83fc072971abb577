package webhook

import (
	"drawbridge/internal/bridge"
)

// registryEvent is an event of the distribution registry, and of Azure's, which took it over.
// Documentation: https://distribution.github.io/distribution/about/notifications/ and
// https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference.
type registryEvent struct {
	ID     string `json:"id"`
	At     stamp  `json:"timestamp"`
	Action string `json:"action"`
	Target struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		URL        string `json:"url"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
	Actor struct {
		Name string `json:"name"`
	} `json:"actor"`
}

// manifests are the media types of what can be an image; a push of a blob or of a chart of
// Helm's is nothing to the bridge.
var manifests = map[string]bool{
	"application/vnd.docker.distribution.manifest.v2+json":      true,
	"application/vnd.docker.distribution.manifest.list.v2+json": true,
	"application/vnd.oci.image.manifest.v1+json":                true,
	"application/vnd.oci.image.index.v1+json":                   true,
}

// fact is what the event tells; none when it is no push of a tag.
func (e registryEvent) fact(source, host string) ([]bridge.Fact, error) {
	if e.Action != "push" || !manifests[e.Target.MediaType] {
		return nil, nil
	}
	f := bridge.Fact{Type: e.Action, Source: source, Actor: e.Actor.Name, At: e.At.Time}
	return published(f, host+"/"+e.Target.Repository, e.Target.Tag, e.Target.Digest)
}

func readDistribution(r Request, o Options) ([]bridge.Fact, error) {
	doc, err := decode[struct {
		Events []registryEvent `json:"events"`
	}](r.Body)
	if err != nil {
		return nil, err
	}
	var out []bridge.Fact
	for _, e := range doc.Events {
		host := e.Request.Host
		if e.Target.URL != "" {
			host = first(hostOf(e.Target.URL), host)
		}
		facts, err := e.fact(host, first(o.Host, host))
		if err != nil {
			return nil, err
		}
		out = append(out, facts...)
	}
	return out, nil
}
