package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/commitsig"
	"drawbridge/internal/web/api"
)

// bridgeThatRefused are the documents of a bridge at which something happened.
func bridgeThatRefused() map[string]any {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	soon := now.Add(30 * time.Second)
	event := api.Event{
		ID: 7, EventID: "0b1f", Artifact: "ghcr.io/acme/web:1.2.0@" + artifact.DigestOf([]byte("a")).String(), Sender: "github", Receiver: "github",
		State: bridge.EventProcessed, Received: ago(3 * time.Minute), Kind: bridge.KindArtifact, Type: "package", Subject: "acme/web:1.2.0",
		Actor: "octocat", Applications: []string{"shop"},
	}
	dead := api.Event{ID: 8, EventID: "x", Sender: "jira", Receiver: "jira", State: bridge.EventDead, Received: ago(time.Hour), Reason: "the body is no JSON"}
	long := dead
	long.Reason = "line 1: the body is no JSON: invalid character 'x' looking for beginning of value in the middle of nowhere"
	handoff := api.Handoff{
		ID: 12, Event: 7, Application: "shop", Trigger: "published", State: bridge.Refused, Reason: "the provenance names another repository",
		Image: event.Artifact, Version: "1.2.0", Delivery: 3, Trust: 2, At: ago(3 * time.Minute),
		Checks: []bridge.Check{
			{What: "tag rule", OK: true, Found: "1.2.0 fits >=1.0.0-0"},
			{What: "evidence of web", Found: "provenance, sbom and tests are there, signed by github; one statement of four could not be verified by any signer"},
		},
		Refusals: []attest.Refusal{{Rule: "repository", Message: "the provenance names another repository", Found: "https://github.com/evil/web"}},
	}
	rule := api.TriggerRule{Name: "published", On: bridge.OnArtifact, Artifacts: []string{"web"}, Tags: &bridge.TagRule{Semver: ">=1.0.0-0"}, Promote: "dev"}
	fired := &api.Outcome{Handoff: 4, State: bridge.Accepted, Reason: "3 attestations verified", Version: "1.1.0", At: ago(50 * time.Hour)}
	last := &api.Outcome{Handoff: 12, State: bridge.Refused, Reason: handoff.Reason, Version: "1.2.0", At: handoff.At}
	looks := api.Poll{Kind: bridge.ClockRegistry, Name: "web", What: "ghcr.io/acme/web every 5m0s", Next: &soon, Last: &handoff.At, Failures: 2, Reason: "ghcr.io answers 429 Too Many Requests"}
	trigger := api.Trigger{Application: "shop", Delivery: 3, TriggerRule: rule, Last: last, LastFired: fired, Next: &soon, Polls: []api.Poll{looks}}
	nightly := api.Trigger{
		Application: "shop", Delivery: 3, Paused: &api.Pause{By: "bob", Reason: "it shall be a quiet Christmas for everybody, for once, and nothing moves at all", At: now},
		TriggerRule: api.TriggerRule{Name: "nightly", On: bridge.OnSchedule, Cron: "0 2 * * 1-5", Timezone: "Europe/Berlin", From: "dev", Promote: "staging"},
	}
	types := []api.ReceiverType{
		{Name: "github", Title: "GitHub: pushes, tags, releases, packages and images", Secret: "text", Schemes: []string{"X-Hub-Signature-256: sha256= and the hex HMAC-SHA256 of the body, as it is sent and not otherwise"}},
		{Name: "dockerhub", Title: "Docker Hub: pushed images", Secret: "path", Schemes: []string{"the secret is the last part of the address"}},
	}
	return map[string]any{
		"GET /api/v1/events":                  api.List[api.Event]{Items: []api.Event{dead, event}},
		"GET /api/v1/events/8":                long,
		"GET /api/v1/handoffs":                api.List[api.Handoff]{Items: []api.Handoff{handoff}},
		"GET /api/v1/handoffs/12/explain":     api.Explanation{Handoff: handoff, Event: event, Rule: &rule, Story: api.Story(event, &rule, handoff)},
		"GET /api/v1/triggers":                api.List[api.Trigger]{Items: []api.Trigger{trigger, nightly}},
		"GET /api/v1/triggers/shop/published": trigger,
		"GET /api/v1/triggers/shop/nightly":   nightly,
		"GET /api/v1/receivers":               api.List[api.Receiver]{Items: []api.Receiver{{Name: "hub", Type: "dockerhub", Applications: []string{"*"}, Address: "http://127.0.0.1:8080/hooks/hub/SECRET"}}},
		"GET /api/v1/receivertypes":           api.List[api.ReceiverType]{Items: types},
		"GET /api/v1/policy":                  api.Policy{Version: 2, Policy: bridge.Policy{Hosts: bridge.HostsPolicy{Private: []string{"10.1.0.0/16"}}}},
		"GET /api/v1/drifts":                  api.List[api.Drift]{Items: []api.Drift{{Application: "shop", Environment: "production", Version: "1.2.0", Commit: strings.Repeat("ab", 20), Actor: "alice", Since: ago(2 * time.Hour)}}},
	}
}

// What a person reads of a handoff fits 80 columns, and says what held and what did not.
func TestHandoffExplain(t *testing.T) {
	out, talk, code := run(t.Context(), stub(t, bridgeThatRefused()), false, "handoff", "explain", "12")
	if code != 0 || talk != "" || out != explained {
		t.Errorf("code %d, stderr %q, stdout:\n%s", code, talk, out)
	}
	out, _, _ = run(t.Context(), stub(t, bridgeThatRefused()), true, "handoff", "explain", "12")
	if !strings.Contains(out, ": \x1b[31mrefused\x1b[0m\n") || !strings.Contains(out, "\n\x1b[32m✓\x1b[0m Tag rule holds") {
		t.Errorf("a terminal gets\n%s", out)
	}
}

const explained = `handoff 12 of event 7 at shop/published: refused

• Event 7 came through receiver github at 2026-01-02 14:57:00 UTC: package,
  acme/web:1.2.0.
• It names octocat, which is shown and not believed.
• It may concern shop and no other application.
• Trigger published of shop, in version 3 of the delivery, waits for images of
  web with a version >=1.0.0-0, and asks for dev.
✓ Tag rule holds: 1.2.0 fits >=1.0.0-0.
✗ Evidence of web does not hold: provenance, sbom and tests are there, signed
  by github; one statement of four could not be verified by any signer.
✗ Not proven, by rule repository: the provenance names another repository.
  found: https://github.com/evil/web
• It was refused at 2026-01-02 14:57:00 UTC: the provenance names another
  repository.
`

// Running text is at most 80 columns wide on a terminal, but for what has no space in it.
func TestWidth(t *testing.T) {
	answers := bridgeThatRefused()
	answers["GET /api/v1/handoffs"] = "{}" // tables are as wide as what is in them
	server := stub(t, answers)
	for _, args := range []string{"event show 8", "handoff explain 12", "trigger show shop/published", "trigger show shop/nightly", "receiver types", "policy show"} {
		out, _, code := run(t.Context(), server, true, strings.Fields(args)...)
		if code != 0 {
			t.Errorf("%s: exit code %d", args, code)
		}
		for line := range strings.Lines(out) {
			if n := len([]rune(colours.ReplaceAllString(strings.TrimRight(line, "\n"), ""))); n > 80 && strings.Count(strings.TrimSpace(line), " ") > 0 {
				t.Errorf("%s: %d columns: %s", args, n, line)
			}
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestBridgeTables(t *testing.T) {
	server := stub(t, bridgeThatRefused())
	for _, tt := range []struct{ args, want string }{
		{"event list", "ID  STATE      ABOUT                   KIND      FROM    AGE  REASON\n" +
			"8   dead       -                       -         jira    1h   the body is no JSON\n" +
			"7   processed  ghcr.io/acme/web:1.2.0  artifact  github  3m   -\n"},
		{"handoff list", "ID  STATE    APPLICATION  TRIGGER    WHAT                    AGE  REASON\n" +
			"12  refused  shop         published  ghcr.io/acme/web:1.2.0  3m   the provenance names another repository\n"},
		{"trigger list", "TRIGGER         ON        PROMOTES  STATE   FIRED   NEXT    LAST OUTCOME\n" +
			"shop/published  artifact  dev       active  2d ago  in 30s  refused: the provenance names another repository\n" +
			"shop/nightly    schedule  staging   paused  -       -       -\n"},
		{"receiver list", "NAME  TYPE       FOR  ADDRESS\nhub   dockerhub  *    http://127.0.0.1:8080/hooks/hub/SECRET\n"},
		{"drift", "APPLICATION  ENVIRONMENT  STATED  RUNS     COMMIT        BY     SINCE\nshop         production   1.2.0   nothing  abababababab  alice  2h\n"},
	} {
		out, talk, code := run(t.Context(), server, false, strings.Fields(tt.args)...)
		if code != 0 || talk != "" || out != tt.want {
			t.Errorf("%s: code %d, stderr %q, stdout:\n%s", tt.args, code, talk, out)
		}
	}
}

// A person's inputs go out as they were written: what is JSON with its type, and no number loses digits.
func TestPromoteInputs(t *testing.T) {
	var got map[string]json.RawMessage
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Environment, Trigger string
			Inputs               map[string]json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Trigger != "by-hand" || in.Environment != "" {
			t.Errorf("%v: %+v", err, in)
		}
		got = in.Inputs
		_, _ = io.WriteString(w, `{"id": 1}`)
	}))
	defer s.Close()
	args := []string{"promote", "shop@1.0.0", "--trigger", "by-hand"}
	want := map[string]string{
		"n": "12345678901234567890", "b": "true", "s": `"eu"`, "quoted": `"7"`, "list": `["a","b"]`, "empty": `""`, "equals": `"a=b"`, "half": `"{"`,
	}
	for _, in := range []string{"n=12345678901234567890", "b=true", "s=eu", `quoted="7"`, `list=["a","b"]`, "empty=", "equals=a=b", "half={"} {
		args = append(args, "--input", in)
	}
	if _, talk, code := run(t.Context(), s.URL, false, args...); code != 0 {
		t.Fatalf("code %d, %q", code, talk)
	}
	for name, v := range want {
		if string(got[name]) != v {
			t.Errorf("input %s is %s, want %s", name, got[name], v)
		}
	}
}

// A delivery of a sender reaches a terminal as text, and a file as it is.
func TestRawEvent(t *testing.T) {
	body := []byte("{\"a\": \"\u009b31m\"}\x1b]0;title\x07\r\nb\x00")
	server := stub(t, map[string]any{"GET /api/v1/events/7/raw": api.RawEvent{Body: body}})
	if out, _, code := run(t.Context(), server, false, "event", "show", "7", "--raw"); code != 0 || out != string(body) {
		t.Errorf("code %d, a file gets %q", code, out)
	}
	if out, _, code := run(t.Context(), server, true, "event", "show", "7", "--raw"); code != 0 || strings.ContainsAny(out, "\x1b\x07\x00\r\u009b") || strings.Count(out, "\n") != 2 {
		t.Errorf("code %d, a terminal gets %q", code, out)
	}
}

// What senders, commits and servers say reaches a person's terminal only as text, and a server
// that says nothing of what was asked is no crash.
func TestHostileBridge(t *testing.T) {
	evil := "a\x1b[2Jb\u009b31m\n\tc"
	event := api.Event{
		ID: 1, State: "dead\x1b", Kind: bridge.Kind(evil), Type: evil, Subject: evil, Actor: evil, Source: evil, EventID: evil, Receiver: evil, Sender: evil,
		Reason: evil, Applications: []string{evil}, Git: &bridge.GitRef{Repository: evil, Ref: evil, Commit: evil},
		Package: &bridge.Package{Type: evil, Name: evil}, Alert: &bridge.Alert{Name: evil}, Trigger: &bridge.TriggerRef{Application: evil},
	}
	handoff := api.Handoff{
		ID: 1, State: bridge.HandoffState(evil), Reason: evil, Application: evil, Trigger: evil, Image: evil, Version: evil, Actor: evil, Release: evil,
		Checks: []bridge.Check{{What: evil, Found: evil}, {}}, Refusals: []attest.Refusal{{Message: evil, Found: evil}}, Asked: []bridge.Asked{{Environment: evil, Why: evil}},
	}
	trigger := api.Trigger{
		Application: evil, TriggerRule: api.TriggerRule{Name: evil, When: evil, Tags: &bridge.TagRule{Regex: evil}, Inputs: json.RawMessage(`{"a": "\u001b"}`)},
		Paused: &api.Pause{By: evil, Reason: evil}, Last: &api.Outcome{Reason: evil, Version: evil}, Polls: []api.Poll{{What: evil, Reason: evil, Failures: 1}},
	}
	receiver := api.Receiver{Name: evil, Type: evil, Address: evil, Applications: []string{evil}, Host: evil}
	answers := map[string]any{
		"GET /api/v1/events": api.List[api.Event]{Items: []api.Event{event}}, "GET /api/v1/events/1": event, "POST /api/v1/events/1/redrive": event,
		"GET /api/v1/handoffs": api.List[api.Handoff]{Items: []api.Handoff{handoff}}, "GET /api/v1/handoffs/1": handoff,
		"GET /api/v1/handoffs/1/explain": api.Explanation{Handoff: handoff, Event: event, Story: []string{evil, "", evil + " holds: x"}},
		"GET /api/v1/triggers":           api.List[api.Trigger]{Items: []api.Trigger{trigger}}, "GET /api/v1/triggers/a/b": trigger,
		"POST /api/v1/triggers/a/b/pause": trigger, "POST /api/v1/triggers/a/b/test": api.TriggerTest{Handoff: handoff, Opens: []string{evil}},
		"GET /api/v1/receivers": api.List[api.Receiver]{Items: []api.Receiver{receiver}}, "GET /api/v1/receivers/a": receiver,
		"POST /api/v1/receivers/a/rotate": api.MadeReceiver{Receiver: receiver, Secret: evil, Address: evil},
		"GET /api/v1/receivertypes":       api.List[api.ReceiverType]{Items: []api.ReceiverType{{Name: evil, Title: evil, Schemes: []string{evil}, Host: true}}},
		"GET /api/v1/policy":              api.Policy{Version: 1, Policy: bridge.Policy{Hosts: bridge.HostsPolicy{Private: []string{evil}}, Commits: bridge.CommitsPolicy{Signers: []commitsig.Signer{{Identity: evil, SSH: []string{evil, ""}, GPG: []string{evil}}}}}},
		"GET /api/v1/workloads":           api.List[api.Workload]{Items: []api.Workload{{Name: evil, Claims: map[string]string{evil: evil}}}}, "GET /api/v1/workloads/a": api.Workload{Name: evil},
		"GET /api/v1/drifts": api.List[api.Drift]{Items: []api.Drift{{Application: evil, Actor: evil, Commit: evil}}},
	}
	empty := map[string]any{}
	for path := range answers {
		empty[path] = "{}"
	}
	hostile, hollow := stub(t, answers), stub(t, empty)
	for _, args := range []string{
		"event list", "event show 1", "event redrive 1", "event redrive --all-dead", "handoff list", "handoff show 1", "handoff explain 1", "trigger list",
		"trigger show a/b", "trigger pause a/b", "trigger test a/b --event 1", "receiver list", "receiver show a", "receiver types", "receiver rotate a",
		"policy show", "workload list", "workload show a", "drift",
	} {
		for _, terminal := range []bool{true, false} {
			out, talk, code := run(t.Context(), hostile, terminal, strings.Fields(args)...)
			if rest := colours.ReplaceAllString(strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(out), "\x1b") + talk; code != 0 || strings.ContainsAny(rest, "\x1b\u009b") {
				t.Errorf("%s: code %d, %q", args, code, rest)
			}
		}
		if _, talk, code := run(t.Context(), hollow, false, strings.Fields(args)...); code == 1 {
			t.Errorf("%s of a hollow server: %s", args, talk)
		}
	}
}
