package webhook

import (
	"encoding/json"
	"strings"

	"drawbridge/internal/bridge"
)

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
