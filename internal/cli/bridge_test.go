package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

// tellOf are the documents of a bridge at which something happened.
func tellOf() map[string]any {
	digest := artifact.DigestOf([]byte("a"))
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	soon := now.Add(90 * time.Second)
	event := api.Event{
		ID: 7, Source: "https://ghcr.io", EventID: "0b1f", Key: "0b1f", Artifact: "ghcr.io/acme/web:1.2.0@" + digest.String(),
		Sender: "github", Receiver: "github", State: bridge.EventProcessed, Received: ago(3 * time.Minute), Kind: bridge.KindArtifact,
		Type: "package", Subject: "acme/web:1.2.0", Actor: "octocat", Applications: []string{"shop"},
		Git: &bridge.GitRef{Repository: "https://github.com/acme/web", Ref: "refs/tags/1.2.0", Commit: strings.Repeat("ab", 20)},
	}
	dead := api.Event{
		ID: 8, Key: "sha256:00", EventID: "sha256:00", Sender: "jira", Receiver: "jira", State: bridge.EventDead, Received: ago(time.Hour),
		Type: "", Reason: "line 1: the body is no JSON: invalid character 'x' looking for beginning of value",
	}
	handoff := api.Handoff{
		ID: 12, Event: 7, Application: "shop", Trigger: "published", State: bridge.Refused, Reason: "the provenance names another repository",
		Image: event.Artifact, Version: "1.2.0", Delivery: 3, Trust: 2, At: ago(3 * time.Minute), Chain: "c1",
		Checks: []bridge.Check{
			{What: "tag rule", OK: true, Found: "1.2.0 fits >=1.0.0-0"},
			{What: "tag resolved", OK: true, Found: "ghcr.io/acme/web:1.2.0 is " + digest.String()},
			{What: "evidence of web", OK: false, Found: "provenance, sbom and tests are there, signed by github; one statement of four could not be verified by any signer"},
		},
		Refusals: []attest.Refusal{{Rule: "repository", Message: "the provenance names another repository", Found: "https://github.com/evil/web"}},
	}
	accepted := api.Handoff{
		ID: 13, Event: 9, Application: "shop", Trigger: "state", State: bridge.Accepted, Reason: "alice states 2 releases", Version: "1.2.0",
		At: ago(time.Minute), Actor: "alice",
		Asked: []bridge.Asked{
			{Environment: "staging", Release: digest.String(), Version: "1.2.0"},
			{Environment: "production", Release: digest.String(), Version: "1.1.0", Rollback: true, Why: "it runs there already"},
		},
	}
	rule := api.TriggerRule{Name: "published", On: bridge.OnArtifact, Artifacts: []string{"web"}, Tags: &bridge.TagRule{Semver: ">=1.0.0-0", Ignore: []string{"*-dev"}}, Promote: "dev"}
	outcome := &api.Outcome{Handoff: 12, State: bridge.Refused, Reason: handoff.Reason, Version: "1.2.0", At: handoff.At}
	fired := &api.Outcome{Handoff: 4, State: bridge.Accepted, Reason: "release shop 1.1.0 is asked for in dev", Version: "1.1.0", At: ago(50 * time.Hour)}
	trigger := api.Trigger{
		Application: "shop", Delivery: 3, TriggerRule: rule, Last: outcome, LastFired: fired, Next: &soon,
		Polls: []api.Poll{{Kind: bridge.ClockRegistry, Name: "web", What: "ghcr.io/acme/web every 5m0s", Next: &soon, Last: &handoff.At, Failures: 2, Reason: "ghcr.io answers 429 Too Many Requests"}},
	}
	nightly := api.Trigger{
		Application: "shop", Delivery: 3, Last: fired, LastFired: fired, Next: &soon,
		TriggerRule: api.TriggerRule{Name: "nightly", On: bridge.OnSchedule, Cron: "0 2 * * 1-5", Timezone: "Europe/Berlin", From: "dev", Promote: "staging"},
		Paused:      &api.Pause{By: "bob", Reason: "Christmas", At: ago(2 * time.Hour)},
	}
	receiver := api.Receiver{Name: "github", Type: "github", Applications: []string{"shop"}, Address: "http://127.0.0.1:8080/hooks/github", Version: 2}
	hub := api.Receiver{Name: "hub", Type: "dockerhub", Applications: []string{"*"}, Address: "http://127.0.0.1:8080/hooks/hub/SECRET", Version: 1}
	explained := api.Explanation{Handoff: handoff, Event: event, Rule: &rule}
	explained.Story = api.Story(event, &rule, handoff)
	waiting := handoff
	waiting.State, waiting.Until, waiting.Look, waiting.Refusals = bridge.Waiting, &soon, &soon, nil
	return map[string]any{
		"GET /api/v1/events":                          api.List[api.Event]{Items: []api.Event{dead, event}},
		"GET /api/v1/events/7":                        event,
		"GET /api/v1/events/8":                        dead,
		"GET /api/v1/events/7/raw":                    api.RawEvent{Headers: map[string]string{"x-github-event": "package"}, Body: []byte(`{"action":"published","evil":"` + "\u009b31m" + `"}`)},
		"POST /api/v1/events/8/redrive":               dead,
		"POST /api/v1/events/7/redrive":               api.Event{ID: 20},
		"GET /api/v1/handoffs":                        api.List[api.Handoff]{Items: []api.Handoff{accepted, handoff}},
		"GET /api/v1/handoffs/12":                     handoff,
		"GET /api/v1/handoffs/13":                     accepted,
		"GET /api/v1/handoffs/12/explain":             explained,
		"GET /api/v1/triggers":                        api.List[api.Trigger]{Items: []api.Trigger{trigger, nightly}},
		"GET /api/v1/triggers/shop/published":         trigger,
		"GET /api/v1/triggers/shop/nightly":           nightly,
		"POST /api/v1/triggers/shop/nightly/pause":    nightly,
		"POST /api/v1/triggers/shop/published/resume": trigger,
		"POST /api/v1/triggers/shop/published/test":   api.TriggerTest{Handoff: waiting, Opens: []string{"dev"}},
		"GET /api/v1/receivers":                       api.List[api.Receiver]{Items: []api.Receiver{receiver, hub}},
		"GET /api/v1/receivers/hub":                   api.Receiver{Source: "x", Name: "hub", Type: "dockerhub"},
		"GET /api/v1/receivers/github":                receiver,
		"POST /api/v1/receivers/github/rotate":        api.MadeReceiver{Receiver: receiver, Version: 2, Secret: "s3cret", Address: receiver.Address},
		"PUT /api/v1/receivers":                       api.MadeReceiver{Receiver: hub, Version: 1, Changed: true, Secret: "0123", Address: "http://127.0.0.1:8080/hooks/hub/0123"},
		"GET /api/v1/receivertypes":                   api.List[api.ReceiverType]{Items: []api.ReceiverType{{Name: "github", Title: "GitHub: pushes, tags, releases, packages and images", Secret: "text", Schemes: []string{"X-Hub-Signature-256: sha256= and the hex HMAC-SHA256 of the body"}}, {Name: "dockerhub", Title: "Docker Hub: pushed images", Secret: "path", Schemes: []string{"the secret is the last part of the address"}}}},
		"GET /api/v1/policy":                          api.Policy{Version: 2, Policy: bridge.Policy{Hosts: bridge.HostsPolicy{Private: []string{"10.1.0.0/16"}}}},
		"GET /api/v1/workloads":                       api.List[api.Workload]{Items: []api.Workload{{Name: "github-shop", Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:acme/shop:ref:refs/heads/main", Claims: map[string]string{"repository": "acme/shop"}, Applications: []string{"shop"}, Version: 1}}},
		"GET /api/v1/drifts":                          api.List[api.Drift]{Items: []api.Drift{{Application: "shop", Environment: "production", Trigger: "state", Version: "1.2.0", Commit: strings.Repeat("ab", 20), Actor: "alice", Runs: "1.1.0", Since: ago(2 * time.Hour)}}},
	}
}

func TestLook(t *testing.T) {
	server := stub(t, tellOf())
	file := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(file, []byte("kind: Receiver\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"event list", "event show 7", "event show 8", "event show 7 --raw", "event redrive 7 8", "handoff list", "handoff show 12", "handoff show 13",
		"handoff explain 12", "trigger list", "trigger show shop/published", "trigger show shop/nightly", "trigger pause shop/nightly --reason x",
		"trigger resume shop/published", "trigger test shop/published --event 7", "receiver list", "receiver show github", "receiver types",
		"event list --state dead", "receiver rotate github", "receiver add hub --type dockerhub --application *", "apply -f " + file, "policy show", "workload list", "drift", "status",
	} {
		out, talk, code := run(t.Context(), server, true, strings.Fields(args)...)
		t.Logf("$ drawbridge %s (%d)\n%s--\n%s", args, code, out, talk)
	}
}
