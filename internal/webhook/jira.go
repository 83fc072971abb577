package webhook

import "drawbridge/internal/bridge"

// jira is what is read of a delivery of Jira; what a condition needs it reads itself.
// Documentation: https://developer.atlassian.com/server/jira/platform/webhooks/.
type jira struct {
	Event string `json:"webhookEvent"`
	At    stamp  `json:"timestamp"` // milliseconds
	User  struct {
		Name    string `json:"name"`
		Display string `json:"displayName"`
	} `json:"user"`
	Issue *struct {
		Key  string `json:"key"`
		Self string `json:"self"`
	} `json:"issue"`
	Version *struct {
		Name string `json:"name"`
	} `json:"version"`
}

func readJira(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[jira](r.Body)
	if err != nil {
		return nil, err
	}
	f := bridge.Fact{
		Kind: bridge.KindTicket, Type: first(doc.Event, "issue"), At: doc.At.Time,
		Actor: first(doc.User.Name, doc.User.Display),
	}
	switch {
	case doc.Issue != nil && doc.Issue.Key != "":
		f.Subject, f.Source = doc.Issue.Key, hostOf(doc.Issue.Self)
	case doc.Version != nil && doc.Version.Name != "":
		f.Subject = doc.Version.Name
	case doc.Event != "":
		f.Subject = doc.Event
	default:
		return nil, wrong("issue.key", "is missing")
	}
	return []bridge.Fact{f}, nil
}
