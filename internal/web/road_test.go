package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

var asBrowser = map[string]string{"Accept": "text/html"}

func (p *plant) look(t *testing.T) string {
	t.Helper()
	resp, body := p.send(t, call{path: "/", token: p.secret[identity.Viewer], header: asBrowser})
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("the page: %d %s", resp.StatusCode, body)
	}
	return string(body)
}

func wants(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
}

func TestPageSaysWhatToDoFirst(t *testing.T) {
	t.Parallel()
	wants(t, newPlant(t).look(t), "drawbridge repo create NAME", "drawbridge apply -f delivery.yaml", "git push", "a-viewer, viewer")
}

func TestPageShowsTheRoad(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.work(p.push("shop", "alice").ID)
	p.push("tools", "bob")
	p.ship("1.0.0", true)
	p.ship("1.0.1", false)
	page := p.look(t)
	wants(t, page, "aaaaaaaa", "<strong>alice</strong>", "succeeded", // the commit
		"accepted", "refused", "handoff 2", // the bridge
		`<a href="http://127.0.0.1:4711/">127.0.0.1:4711</a>`, "drawbridge approve 2 -m TEXT", "anybody but a-developer", // CD
		">tools", "No delivery says where it goes", `aria-label="tools"`)
	if strings.Contains(page, "style=") || strings.Contains(page, "onclick") || strings.Count(page, "<script") != 1 {
		t.Error("the page has something that its Content-Security-Policy stops")
	}
}

// A server with one plane shows its part of the road.
func TestPageOfOnePlane(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.push("shop", "alice")
	p.ship("1.0.0", true)
	for name, test := range map[string]struct {
		road        web.Road
		want, never string
	}{
		"ci": {web.Road{CI: p.ciStore}, "The CD plane runs on another server", "handoff"},
		"cd": {web.Road{CD: p.cdStore, Status: p.cd, Handoffs: p.handoffs}, "drawbridge approve 2", "Commits"},
	} {
		s := serveRoutes(t, web.RoadRoutes(test.road))
		_, body := s.send(t, call{path: "/", token: s.secret[identity.Viewer], header: asBrowser})
		wants(t, string(body), test.want)
		if strings.Contains(string(body), test.never) {
			t.Errorf("the page of %s has %q:\n%s", name, test.never, body)
		}
	}
}

// A page is never larger than what the stores give, so that none seems to be the last.
func TestLargePages(t *testing.T) {
	t.Parallel()
	s := serveRoutes(t, web.HandoffRoutes(nil, func(_ context.Context, q web.HandoffQuery) ([]bridge.Handoff, error) {
		list := make([]bridge.Handoff, min(q.Limit, 200)) // as the store bounds it
		for i := range list {
			list[i].ID = 1000 - int64(i)
		}
		return list, nil
	}))
	got := want[api.List[api.Handoff]](t, s, call{path: "/api/v1/handoffs?limit=1000", token: s.secret[identity.Viewer]})
	if len(got.Items) != 200 || got.Next != "801" {
		t.Errorf("%d items, next %q", len(got.Items), got.Next)
	}
}

// What a stranger wrote is text, wherever it stands.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>"'`
	p := newPlant(t)
	p.apply()
	p.push("shop", evil)
	ref := p.publish("1.0.0", false)
	evs, _, err := p.cdStore.Receive(t.Context(), bridge.Message{
		Receiver: "api", Sender: evil, Key: "/x 1", Facts: []bridge.Fact{{Kind: bridge.KindArtifact, Source: "/x", Artifact: ref}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := bridge.Handoff{Event: evs[0].ID, Application: "shop", Trigger: evil, State: bridge.Refused, Reason: evil, Version: evil, Image: ref, At: p.now()}
	if _, err := p.cdStore.Cross(t.Context(), bridge.Crossing{Event: evs[0], Outcomes: []bridge.Outcome{{Handoff: h}}}); err != nil {
		t.Fatal(err)
	}
	page := p.look(t)
	if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") {
		t.Errorf("it is not escaped:\n%s", page)
	}
	if strings.Count(page, "&lt;script&gt;alert(1)") < 4 {
		t.Errorf("what was written is not shown:\n%s", page)
	}
}

// The feed sends the road at once and again when it has changed, and ends with the server.
func TestLive(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	tokens := identity.New(&identitytest.Memory{}, time.Now)
	_, secret, err := tokens.Create(t.Context(), identity.Request{Name: "eve", Role: identity.Viewer, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(web.Config{Verify: tokens.Verify, Routes: p.routes})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var html string
				if err := json.Unmarshal([]byte(data), &html); err != nil {
					t.Fatal(err)
				}
				return html
			}
		}
		return ""
	}
	wants(t, next(), "Nothing runs here yet")
	p.ship("1.0.0", true)
	for html := next(); ; html = next() { // a look may fall into the middle
		if html == "" {
			t.Fatal("the feed ended before it showed the release")
		}
		if strings.Contains(html, "drawbridge approve 2 -m TEXT") {
			break
		}
	}
	stop()
	if last := next(); last != "" {
		t.Errorf("after the stop came %q", last)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, media := range map[string]string{"road.js": "text/javascript; charset=utf-8", "road.css": "text/css; charset=utf-8"} {
		resp, body := s.send(t, call{path: "/static/" + name})
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != media || len(body) == 0 {
			t.Errorf("%s: %d %s", name, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

func TestGauges(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	s := newSite(t, func(c *web.Config) {
		c.Metrics = newRegistry(t, web.Gauges{
			Traffic: func(context.Context) ([]web.Traffic, error) {
				f := cd.Figures{Requests: 12, Errors: 2, Latency: []cd.LatencyBucket{{Limit: time.Millisecond, Count: 5}, {Limit: time.Second, Count: 12}}}
				return []web.Traffic{{Environment: cd.EnvironmentRef{Application: "shop", Name: "dev"}, Version: "1.0.0", Weight: 100, Healthy: true, Figures: f}}, nil
			},
			Promotions: func(ctx context.Context) ([]cd.Promotion, error) {
				return p.cdStore.Promotions(ctx, cd.PromotionFilter{Active: true})
			},
		})
	})
	_, body := s.send(t, call{path: "/metrics", token: s.secret[identity.Viewer]})
	wants(t, string(body),
		`drawbridge_target_requests_total{application="shop",environment="dev",version="1.0.0"} 12`,
		`drawbridge_target_errors_total{application="shop",environment="dev",version="1.0.0"} 2`,
		`drawbridge_target_weight{application="shop",environment="dev",version="1.0.0"} 100`,
		`drawbridge_target_healthy{application="shop",environment="dev",version="1.0.0"} 1`,
		`drawbridge_target_request_seconds_bucket{application="shop",environment="dev",version="1.0.0",le="0.001"} 5`,
		`drawbridge_target_request_seconds_count{application="shop",environment="dev",version="1.0.0"} 12`,
		`drawbridge_promotions{application="shop",environment="production",state="waiting"} 1`)
}

// The schema takes what the server takes.
func TestSchema(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	resp, body := p.send(t, call{path: "/api/v1/schema", token: p.secret[identity.Viewer]})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/schema+json" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("delivery.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("delivery.json")
	if err != nil {
		t.Fatal(err)
	}
	head, environments, _ := strings.Cut(delivery, "environments:")
	_, triggers, _ := strings.Cut(head, "triggers:")
	for name, test := range map[string]struct {
		from, to string
		ok       bool
	}{
		"as it is":         {"", "", true},
		"an unknown key":   {"approval:", "approva:", false},
		"a wrong kind":     {"kind: Delivery", "kind: Trust", false},
		"a wrong duration": {"pause: 2s", "pause: soon", false},
		"a wrong number":   {"required: 1", "required: 0", false},
		"no triggers":      {"triggers:" + triggers, "", true},
		"no environments":  {"environments:" + environments, "", false},
		"no target":        {"    target: {process: {artifact: web, command: [./web]}}\n", "", false},
		"no artifact":      {"  - {name: web, image: shop/web}\n", "  []\n", false},
		"no health path":   {"command: [./web]", "health: {interval: 1s}", false},
	} {
		src := strings.Replace(delivery, test.from, test.to, 1)
		if _, err := cd.ParseDelivery("delivery.yaml", []byte(src)); (err == nil) != test.ok {
			t.Errorf("%s: the server says %v", name, err)
		}
		b, err := yaml.YAMLToJSON([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaOfKind(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer := p.secret[identity.Viewer]
	for _, kind := range api.SchemaKinds() {
		resp, body := p.send(t, call{path: "/api/v1/schema/" + kind, token: viewer})
		if want, err := api.Schema(kind); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != api.SchemaType || string(body) != string(want) {
			t.Errorf("%s: %d %s", kind, resp.StatusCode, body)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/schema/none", token: viewer}, fault.NotFound, "kind")
}

// Every row is in the OpenAPI document, whose schemas hold together.
func TestOpenAPIOfNouns(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	_, body := p.send(t, call{path: "/api/openapi.json", token: p.secret[identity.Viewer]})
	var doc struct {
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.routes {
		if !strings.HasPrefix(r.Pattern, "/api/") {
			continue
		}
		op, ok := doc.Paths[r.Pattern][strings.ToLower(r.Method)]
		if !ok || op.Summary != r.Summary {
			t.Errorf("%s %s is not in the document, or is %q", r.Method, r.Pattern, op.Summary)
		}
		op.check(t, r.Method+" "+r.Pattern, r.Pattern)
	}
	checkSchemas(t, body)
}

func newRegistry(t *testing.T, c prometheus.Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	return r
}
