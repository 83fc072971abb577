package webhook_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/webhook"
)

func TestFind(t *testing.T) {
	for _, s := range webhook.Senders() {
		if got, err := webhook.Find(s.Name); err != nil || got.Name != s.Name {
			t.Errorf("Find(%q) = %q, %v", s.Name, got.Name, err)
		}
	}
	_, err := webhook.Find("githib\n")
	f := fault.As(err)
	if f == nil || f.Kind != fault.Invalid || !strings.Contains(f.Hint, "github, gitlab") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

func TestKey(t *testing.T) {
	const digest = "sha256:"
	for _, c := range []struct {
		sender string
		header http.Header
		body   string
		want   string
	}{
		{"github", http.Header{"X-Github-Delivery": {"72d3162e"}}, `{}`, "72d3162e"},
		{"github", http.Header{}, `{}`, digest},
		{"github", http.Header{"X-Github-Delivery": {""}}, `{}`, digest},
		{"github", http.Header{"X-Github-Delivery": {"a", "b"}}, `{}`, digest},
		{"github", http.Header{"X-Github-Delivery": {strings.Repeat("x", 257)}}, `{}`, digest},
		{"github", http.Header{"X-Github-Delivery": {"a\x00b"}}, `{}`, digest},
		{"gitlab", http.Header{"X-Gitlab-Event-Uuid": {"u"}, "Idempotency-Key": {"k"}}, `{}`, "k"},
		{"gitlab", http.Header{"X-Gitlab-Event-Uuid": {"u"}, "Webhook-Id": {"w"}}, `{}`, "w"},
		{"gitlab", http.Header{"X-Gitlab-Event-Uuid": {"the same for all that one delivery led to"}}, `{}`, digest},
		{"forgejo", http.Header{"X-Gitea-Delivery": {"g"}, "X-Forgejo-Delivery": {"f"}}, `{}`, "f"},
		{"ecr", http.Header{}, `{"id":"13cde686"}`, "13cde686"},
		{"gar", http.Header{}, `{"message":{"messageId":"2070","data":""}}`, "2070"},
		{"gar", http.Header{}, `{}`, digest},
		{"acr", http.Header{}, `{"id":"a","action":"push"}`, "a"},
		{"acr", http.Header{}, `[{"id":"b","eventType":"x"}]`, "b"},
		{"acr", http.Header{}, `[{"id":"b"},{"id":"c"}]`, digest},
		{"acr", http.Header{}, `[]`, digest},
		{"pagerduty", http.Header{}, `{"event":{"id":"01"}}`, "01"},
		{"cloudevents", http.Header{}, `{"source":"/a","id":"1"}`, "/a 1"},
		{"cloudevents", http.Header{"Ce-Specversion": {"1.0"}, "Ce-Source": {"/h"}, "Ce-Id": {"2"}}, `{"source":"/a","id":"1"}`, "/h 2"},
		{"cloudevents", http.Header{}, `[]`, digest},
		{"dockerhub", http.Header{"X-Request-Id": {"x"}}, `{}`, digest},
		{"ecr", http.Header{}, `not json`, digest},
	} {
		got := find(t, c.sender).Key(webhook.Request{Header: c.header, Body: []byte(c.body)})
		if c.want == digest && (len(got) != 71 || !strings.HasPrefix(got, digest)) || c.want != digest && got != c.want {
			t.Errorf("%s %v %s: %q, want %q", c.sender, c.header, c.body, got, c.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := http.Header{}
	for _, n := range []string{
		"Content-Type", "User-Agent", "X-GitHub-Event", "X-GitHub-Delivery", "Authorization", "Cookie", "X-Hub-Signature-256", "X-Gitlab-Token",
		"Webhook-Signature", "X-Api-Key", "Ce-Id", "Ce-Authtoken", "X-Forwarded-For", "X-Nexus-Webhook-Signature",
	} {
		h.Set(n, "v")
	}
	h["X-Github-Hook-Id"] = []string{"1", "2"}
	got := find(t, "github").Headers(h)
	if fmt.Sprint(got) != "map[ce-id:v content-type:v user-agent:v x-github-delivery:v x-github-event:v]" {
		t.Errorf("%v", got)
	}
	for i := range 500 {
		h.Set(fmt.Sprintf("Ce-Ext%d", i), strings.Repeat("x", 1000))
	}
	h.Set("User-Agent", strings.Repeat("x", 20_000))
	for _, s := range webhook.Senders() {
		size := 0
		for k, v := range s.Headers(h) {
			size += len(k) + len(v)
			if k != strings.ToLower(k) || strings.Contains(k, "auth") || strings.Contains(k, "signature") || strings.Contains(k, "token") {
				t.Errorf("%s keeps %s", s.Name, k)
			}
		}
		if size > bridge.MaxHeaders {
			t.Errorf("%s keeps %d bytes", s.Name, size)
		}
	}
	if got := find(t, "github").Headers(h); got["x-github-event"] != "v" {
		t.Errorf("the event gave way to others: %v", len(got))
	}
}

func TestHandshake(t *testing.T) {
	code := `[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d"}}]`
	got, ok := find(t, "acr").Handshake(webhook.Request{Header: http.Header{}, Body: []byte(code)})
	if !ok || string(got) != `{"validationResponse":"512d"}` {
		t.Errorf("%s, %v", got, ok)
	}
	for _, s := range webhook.Senders() {
		for _, b := range []string{"", "[]", "{}", `[{"eventType":"x","data":{"validationCode":"512d"}}]`, strings.Replace(code, "512d", "", 1), strings.Replace(code, "}]", "},"+code[1:], 1)} {
			if got, ok := s.Handshake(webhook.Request{Header: http.Header{}, Body: []byte(b)}); ok || got != nil {
				t.Errorf("%s answers %s with %s", s.Name, b, got)
			}
		}
	}
}

const digest = "sha256:030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc"

// What is malformed is one fault that says where; nothing of it becomes a fact.
func TestMalformed(t *testing.T) {
	repo := `"repository":{"clone_url":"https://git.example.com/a/b.git"}`
	event := func(name, value string) http.Header { return http.Header{http.CanonicalHeaderKey(name): {value}} }
	for _, c := range []struct {
		sender string
		header http.Header
		body   string
		want   string
	}{
		{"github", nil, `{}`, "X-GitHub-Event"},
		{"github", event("X-GitHub-Event", "push"), ``, "no JSON"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":`, "no JSON"},
		{"github", event("X-GitHub-Event", "push"), `payload=%7B%7D`, "no JSON"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/main"}`, "repository"},
		{"github", event("X-GitHub-Event", "push"), `{` + repo + `}`, "ref"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/main","after":"HEAD",` + repo + `}`, "commit"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/../x","after":"",` + repo + `}`, "ref"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/-x",` + repo + `}`, "ref"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/a b",` + repo + `}`, "ref"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/` + strings.Repeat("x", 300) + `",` + repo + `}`, "ref"},
		{"github", event("X-GitHub-Event", "push"), `{"ref":"refs/heads/main","repository":{"clone_url":"file:///etc/passwd"}}`, "repository"},
		{"github", event("X-GitHub-Event", "release"), `{"action":"published",` + repo + `}`, "release.tag_name"},
		{"github", event("X-GitHub-Event", "package"), `{"action":"published"}`, "package_version"},
		{"github", event("X-GitHub-Event", "package"), `{"action":"published","package":{"package_type":"CONTAINER","package_version":{"container_metadata":{"tag":{"name":"1","digest":"md5:1"}},"package_url":"ghcr.io/a/b:1"}}}`, "digest"},
		{"github", event("X-GitHub-Event", "package"), `{"action":"published","package":{"package_type":"CONTAINER","package_version":{"package_url":"ghcr.io/a/b:1"}}}`, "container_metadata"},
		{"gitlab", nil, `{}`, "object_kind"},
		{"gitlab", nil, `[]`, "no JSON"},
		{"gitea", nil, `{}`, "X-Gitea-Event"},
		{"gitea", event("X-Gitea-Event", "package"), `{"action":"created"}`, "package"},
		{"gitea", event("X-Gitea-Event", "package"), `{"action":"created","package":{"type":"container","name":"a","version":"1","owner":{"login":"o"}}}`, "host"},
		{"forgejo", nil, `{}`, "X-Forgejo-Event"},
		{"bitbucket", nil, `{}`, "X-Event-Key"},
		{"bitbucket", event("X-Event-Key", "repo:refs_changed"), `{"repository":{"slug":"r","project":{"key":"P"}},"changes":[{"ref":{"id":"refs/heads/x"},"toHash":"` + strings.Repeat("a", 40) + `"}]}`, "repository"},
		{"dockerhub", nil, `{}`, "repo_name"},
		{"dockerhub", nil, `{"push_data":{"tag":"1"},"repository":{"repo_name":"Acme/web"}}`, "no image"},
		{"dockerhub", nil, `{"push_data":{"tag":"a b"},"repository":{"repo_name":"acme/web"}}`, "no image"},
		{"dockerhub", nil, `{"push_data":{"tag":"1"},"repository":{"repo_name":"acme/web:2"}}`, "no image"},
		{"dockerhub", nil, `{"push_data":{"tag":"1"},"repository":{"repo_name":"../web"}}`, "no image"},
		{"quay", nil, `{"docker_url":"mynamespace/repository","updated_tags":["1"]}`, "names no registry host"},
		{"quay", nil, `{"docker_url":"quay.io/a/b","updated_tags":7}`, "no JSON"},
		{"harbor", nil, `{}`, "type"},
		{"harbor", nil, `{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"tag":"1","resource_url":"shop/web:1"}],"repository":{"repo_full_name":"shop/web"}}}`, "names no registry host"},
		{"ecr", nil, `{}`, "detail-type"},
		{"ecr", nil, `{"detail-type":"ECR Image Action","account":"evil.example.com/","region":"us-east-1","detail":{"action-type":"PUSH","result":"SUCCESS"}}`, "account"},
		{"ecr", nil, `{"detail-type":"ECR Image Action","account":"123456789012","region":"x.evil.com/","detail":{"action-type":"PUSH","result":"SUCCESS"}}`, "region"},
		{"gar", nil, `{}`, "message"},
		{"gar", nil, `{"message":{"data":"%%%"}}`, "no JSON"},
		{"gar", nil, `{"message":{"data":"e30"}}`, "no JSON"},
		{"gar", nil, `{"message":{"data":"bm8="}}`, "message.data"},
		{"gar", nil, `{"message":{"data":"eyJhY3Rpb24iOiJJTlNFUlQiLCJ0YWciOiJ4In0="}}`, "names no tag"},
		{"acr", nil, `{"action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"a","tag":"1"},"request":{"host":""}}`, "no image"},
		{"distribution", nil, `{"events":{}}`, "no JSON"},
		{"distribution", nil, `{"events":[{"action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"a/b","tag":"1","digest":"` + digest + `"},"request":{"host":"registry"}}]}`, "names no registry host"},
		{"artifactory", nil, `{}`, "event_type"},
		{"artifactory", nil, `{"domain":"docker","event_type":"pushed","data":{"image_name":"a","repo_key":"r","tag":"1"}}`, "no image"},
		{"nexus", event("X-Nexus-Webhook-Id", "rm:repository:component"), `{"action":"CREATED"}`, "component"},
		{"nexus", event("X-Nexus-Webhook-Id", "rm:repository:component"), `{"action":"CREATED","component":{"format":"docker","name":"a","version":"1"}}`, "host"},
		{"jira", nil, `{}`, "issue.key"},
		{"alertmanager", nil, `{"version":"3"}`, "version"},
		{"alertmanager", nil, `{"version":"4","alerts":[{"status":"firing"}]}`, "fingerprint"},
		{"alertmanager", nil, `{"version":"4","alerts":[{"status":"odd","fingerprint":"a"}]}`, "status"},
		{"pagerduty", nil, `{}`, "event_type"},
		{"pagerduty", nil, `{"event":{"event_type":"incident.triggered","resource_type":"incident","data":{"status":"triggered"}}}`, "data.id"},
		{"generic", nil, `a=b`, "no JSON"},
		{"standard", nil, ``, "no JSON"},
	} {
		r := webhook.Request{Header: http.Header{}, Body: []byte(c.body)}
		maps.Copy(r.Header, c.header)
		facts, err := find(t, c.sender).Read(r, webhook.Options{})
		if !fault.Is(err, fault.Invalid) || facts != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %.100s: %v, %v; want %q", c.sender, c.body, facts, err, c.want)
		}
	}
}

func TestTooMuch(t *testing.T) {
	alert := `{"status":"firing","labels":{"alertname":"a"},"fingerprint":"f"}`
	list := func(n int) []byte {
		return []byte(`{"version":"4","alerts":[` + strings.TrimSuffix(strings.Repeat(alert+",", n), ",") + `]}`)
	}
	s := find(t, "alertmanager")
	if facts, err := s.Read(webhook.Request{Body: list(bridge.MaxFacts)}, webhook.Options{}); err != nil || len(facts) != bridge.MaxFacts {
		t.Errorf("%d facts, %v", len(facts), err)
	}
	for name, body := range map[string][]byte{"facts": list(bridge.MaxFacts + 1), "bytes": make([]byte, bridge.MaxEvent+1)} {
		if facts, err := s.Read(webhook.Request{Body: body}, webhook.Options{}); !fault.Is(err, fault.TooLarge) || facts != nil {
			t.Errorf("too many %s: %d, %v", name, len(facts), err)
		}
	}
}

// Texts that people read are one short line, whatever the sender put there.
func TestHostileTexts(t *testing.T) {
	evil := `\u001b[2J\u202e\n` + strings.Repeat("x", 5000)
	for sender, body := range map[string]string{
		"generic": `{"type":"` + evil + `","subject":"` + evil + `","actor":"` + evil + `"}`,
		"jira":    `{"webhookEvent":"` + evil + `","user":{"name":"` + evil + `"},"issue":{"key":"` + evil + `"}}`,
	} {
		facts, err := find(t, sender).Read(webhook.Request{Header: http.Header{}, Body: []byte(body)}, webhook.Options{})
		if err != nil || len(facts) != 1 {
			t.Fatalf("%s: %v, %v", sender, facts, err)
		}
		valid(t, sender, facts[0])
		if strings.ContainsRune(facts[0].Subject, '\u202e') {
			t.Errorf("%s keeps a right-to-left mark", sender)
		}
	}
}
