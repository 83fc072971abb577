package webhook

import (
	"encoding/json"
	"strings"

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

// gridEvent is an event of Azure's Event Grid in its own form or in that of CloudEvents.
// Documentation: https://learn.microsoft.com/azure/event-grid/event-schema-container-registry.
type gridEvent struct {
	ID        string          `json:"id"`
	EventType string          `json:"eventType"`
	Type      string          `json:"type"`
	Topic     string          `json:"topic"`
	Source    string          `json:"source"`
	Data      json.RawMessage `json:"data"`
}

const (
	gridPushed     = "Microsoft.ContainerRegistry.ImagePushed"
	gridValidation = "Microsoft.EventGrid.SubscriptionValidationEvent"
)

// readACR reads the registry's own webhook, which is one event, or Event Grid's, which is a
// list of them or one CloudEvent.
func readACR(r Request, o Options) ([]bridge.Fact, error) {
	grid, err := gridEvents(r.Body)
	if err != nil {
		return nil, err
	}
	if grid == nil {
		doc, err := decode[registryEvent](r.Body)
		if err != nil {
			return nil, err
		}
		return doc.fact(doc.Request.Host, first(o.Host, doc.Request.Host))
	}
	var out []bridge.Fact
	for _, e := range grid {
		if first(e.EventType, e.Type) != gridPushed {
			continue
		}
		doc, err := decode[registryEvent](e.Data)
		if err != nil {
			return nil, err
		}
		facts, err := doc.fact(first(e.Topic, e.Source), first(o.Host, doc.Request.Host))
		if err != nil {
			return nil, err
		}
		for i := range facts {
			facts[i].Type = gridPushed
		}
		out = append(out, facts...)
	}
	return out, nil
}

// gridEvents are the events of a body of Event Grid's; nil when it is none.
func gridEvents(body []byte) ([]gridEvent, error) {
	if strings.HasPrefix(strings.TrimSpace(string(body[:min(len(body), 64)])), "[") {
		list, err := decode[[]gridEvent](body)
		if list == nil {
			list = []gridEvent{}
		}
		return list, err
	}
	one, err := decode[gridEvent](body)
	if err != nil || first(one.EventType, one.Type) == "" {
		return nil, err
	}
	return []gridEvent{one}, nil
}

// acrHandshake answers the event with which Event Grid asks whether an address wants its
// events: the code comes back, see
// https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema.
func acrHandshake(r Request) ([]byte, bool) {
	list, err := gridEvents(r.Body)
	if err != nil || len(list) != 1 || list[0].EventType != gridValidation {
		return nil, false
	}
	var data struct {
		Code string `json:"validationCode"`
	}
	if json.Unmarshal(list[0].Data, &data) != nil || data.Code == "" || len(data.Code) > 512 {
		return nil, false
	}
	out, err := json.Marshal(map[string]string{"validationResponse": data.Code})
	return out, err == nil
}

// acrKey is the id of a single event, the same when Azure repeats it.
func acrKey(r Request) string {
	list, err := gridEvents(r.Body)
	switch {
	case err != nil || len(list) > 1:
		return ""
	case len(list) == 1:
		return list[0].ID
	}
	doc, err := decode[registryEvent](r.Body)
	if err != nil {
		return ""
	}
	return doc.ID
}
