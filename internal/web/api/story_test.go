package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestStory(t *testing.T) {
	t.Parallel()
	later := at.Add(time.Hour)
	event := api.Event{ID: 7, Receiver: "hub", Sender: "hub", Type: "PUSH", Subject: "shop/web:1.0.0", Received: at}
	rule := api.TriggerRule{Name: "published", On: bridge.OnArtifact, Artifacts: []string{"web", "worker"}, Tags: &bridge.TagRule{Semver: ">=1"}, Promote: "dev"}
	handoff := api.Handoff{Application: "shop", Trigger: "published", Delivery: 3, At: at}
	for name, test := range map[string]struct {
		event   api.Event
		rule    *api.TriggerRule
		handoff api.Handoff
		want    []string
	}{
		"accepted": {
			event, &rule, with(handoff, func(h *api.Handoff) {
				h.State, h.Reason, h.Actor = bridge.Accepted, "3 attestations verified", "alice"
				h.Checks = []bridge.Check{{What: "tag rule", OK: true, Found: "tag 1.0.0 gives version 1.0.0"}}
				h.Asked = []bridge.Asked{
					{Environment: "dev", Version: "1.0.0"},
					{Environment: "qa", Version: "0.9.0", Rollback: true},
					{Environment: "production", Version: "1.0.0", Why: "runs there already"},
					{Version: "1.0.0"},
				}
			}),
			[]string{
				"Event 7 came through receiver hub at 2026-03-01 12:00:00 UTC: PUSH, shop/web:1.0.0.",
				"Trigger published of shop, in version 3 of the delivery, waits for images of web and worker with a version >=1, and asks for dev.",
				"Tag rule holds: tag 1.0.0 gives version 1.0.0.",
				"Alice stands behind it",
				"It was accepted at 2026-03-01 12:00:00 UTC: 3 attestations verified.",
				"shop@1.0.0 was asked for in dev.",
				"shop@0.9.0 was asked for in qa, to go back to it.",
				"shop@1.0.0 was asked for in production, and nothing was opened: runs there already.",
				"shop@1.0.0 may now go where an environment opens by itself.",
			},
		},
		"refused": {
			with(event, func(e *api.Event) {
				e.Receiver, e.Sender, e.Actor, e.Applications, e.Attempts, e.Subject, e.EventID = "api", "jenkins", "Bob", []string{"shop"}, 2, "", "d1"
			}),
			nil, with(handoff, func(h *api.Handoff) {
				h.State, h.Reason = bridge.Refused, "no provenance."
				h.Checks = []bridge.Check{{What: "evidence", Found: "no\nprovenance"}}
				h.Refusals = []attest.Refusal{{Rule: attest.RuleMissing, Message: "no provenance"}}
			}),
			[]string{
				"Event 7 came from jenkins over the API at 2026-03-01 12:00:00 UTC: PUSH, d1.",
				"It names Bob, which is shown and not believed.",
				"It may concern shop and no other application.",
				"It could not be judged at once: 2 tries failed.",
				"Trigger published of shop, in version 3 of the delivery, took it.",
				"Evidence does not hold: no provenance.",
				"Not proven, by rule " + string(attest.RuleMissing) + ": no provenance.",
				"It was refused at 2026-03-01 12:00:00 UTC: no provenance.",
			},
		},
		"waiting": {
			event, &rule, with(handoff, func(h *api.Handoff) {
				h.State, h.Reason, h.Look, h.Until = bridge.Waiting, "waits for worker", &at, &later
			}),
			[]string{
				"Event 7", "Trigger published",
				"It waits: waits for worker; it is looked at again at 2026-03-01 12:00:00 UTC or when something new comes; it is refused at 2026-03-01 13:00:00 UTC.",
			},
		},
		"a person": {
			with(event, func(e *api.Event) {
				e.Receiver, e.Sender, e.Type, e.Subject = "person", "alice", "promote", "shop@1.0.0 to dev"
			}),
			nil, with(handoff, func(h *api.Handoff) { h.Trigger, h.State, h.Reason = "", bridge.Ignored, "nothing new" }),
			[]string{
				"Event 7 came from alice at 2026-03-01 12:00:00 UTC: promote, shop@1.0.0 to dev.",
				"It is for shop, whose delivery was version 3, and for no trigger.",
				"There was nothing to do at 2026-03-01 12:00:00 UTC: nothing new.",
			},
		},
	} {
		got := api.Story(test.event, test.rule, test.handoff)
		same := slices.EqualFunc(got, test.want, func(got, want string) bool {
			return strings.HasPrefix(strings.ToLower(got), strings.ToLower(want))
		})
		if !same {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// Every kind of trigger and of door has words of its own.
func TestStoryOfEachKind(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, on := range bridge.TriggerKinds() {
		story := api.Story(api.Event{}, &api.TriggerRule{On: on, Repository: "acme/shop", Branch: "main", Cron: "0 2 * * *", From: "dev", Type: "com.example.*"}, api.Handoff{Trigger: "t"})
		if line := story[1]; seen[line] || strings.Contains(line, "events on ") {
			t.Errorf("%s: %s", on, line)
		} else {
			seen[line] = true
		}
	}
	for _, door := range []string{bridge.DoorAPI, bridge.DoorPoll, bridge.DoorClock, bridge.DoorPerson} {
		if line := api.Story(api.Event{Receiver: door, Sender: "alice"}, nil, api.Handoff{})[0]; strings.Contains(line, "receiver") || seen[line] {
			t.Errorf("%s: %s", door, line)
		} else {
			seen[line] = true
		}
	}
	for _, tags := range []bridge.TagRule{{Semver: "1"}, {Regex: "x"}, {Newest: true}, {Lexical: true}, {Digest: "latest"}, {Ignore: []string{"*-rc"}}} {
		line := api.Story(api.Event{}, &api.TriggerRule{On: bridge.OnRelease, Tags: &tags}, api.Handoff{Trigger: "t"})[1]
		if seen[line] {
			t.Errorf("%+v: %s", tags, line)
		}
		seen[line] = true
	}
}

func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}
