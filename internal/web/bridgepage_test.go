package web_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
)

// page is a page as role sees it.
func (p *plant) page(t *testing.T, role identity.Role, path string) string {
	t.Helper()
	resp, body := p.send(t, call{path: path, token: p.secret[role], header: asBrowser})
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d %s %s", path, resp.StatusCode, resp.Header, body)
	}
	return string(body)
}

func lacks(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			t.Errorf("the page has %q:\n%s", text, page)
		}
	}
}

func TestBridgePageSaysWhatToDoFirst(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	wants(t, p.page(t, identity.Viewer, "/bridge"), "drawbridge apply -f delivery.yaml", "drawbridge submit --image REF", "drawbridge receiver add",
		"Events that cannot be processed wait here", `<a href="/bridge" aria-current="page">`)
	wants(t, p.look(t), `<a href="/bridge">Bridge</a>`)
}

func TestBridgePage(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	ticket := func(id, body string) {
		p.send(t, hook("tickets", body, "Authorization", "Bearer "+secret, "X-Delivery-Id", id))
	}
	ticket("d1", `{"status":"Approved","version":"9.0.0"}`)
	ticket("d2", `{"status":`)
	p.ship("1.0.0", true)
	p.ship("1.0.1", false)
	if err := p.cdStore.SetPause(t.Context(), "ops", "shop", "nightly", bridge.Pause{By: "ops", Reason: "the move"}); err != nil {
		t.Fatal(err)
	}
	page := p.page(t, identity.Viewer, "/bridge")
	wants(t, page,
		"waits for images of web with a version &gt;=1.0.0-0", `<a href="/handoffs/2">1.0.0</a>`, // last fired
		`<span class="chip bad">refused</span> <a href="/handoffs/3">1.0.1</a>`, // why it did not
		"Paused by <strong>ops</strong>", "the move", "Fires next</dt><dd><time datetime=\"2026-01-06T01:00:00Z\"", "Looks next", "shop/web every 1m0s",
		"<h3>Waiting</h3>", `at most until <time datetime="2026-01-05T10:00:00Z"`, "waits until version 9.0.0 of shop crosses",
		"no signature: 0 attestations found", `<a href="/events/2"><strong>event 2</strong></a>`, "the body is no JSON document")
	lacks(t, page, "drawbridge trigger resume", "Promote…", "style=", "onclick", "<h3>Newest</h3>\n<p")
	if strings.Count(page, "<script") != 1 || strings.Count(page, `href="/handoffs/1"`) != 2 { // of the trigger, and among those that wait
		t.Errorf("scripts, or what waits is there twice:\n%s", page)
	}
	wants(t, p.page(t, identity.Releaser, "/bridge"), "drawbridge trigger resume shop/nightly", `/promote/shop/production?trigger=byhand`)
	narrow := p.page(t, identity.Viewer, "/bridge?application=shop&trigger=ticket")
	wants(t, narrow, "only shop/ticket", "handoff 1", "event 2")
	lacks(t, narrow, "handoff 2", "nightly")
	resp, _ := p.send(t, call{path: "/bridge?application=till", token: p.secret[identity.Viewer], header: asBrowser})
	if resp.StatusCode != 404 {
		t.Errorf("an application that is not there: %d", resp.StatusCode)
	}
	for _, query := range []string{"before=x", "dead=-1", "waiting=1e3"} {
		if resp, _ := p.send(t, call{path: "/bridge?" + query, token: p.secret[identity.Viewer], header: asBrowser}); resp.StatusCode != 400 {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
}

// Each list goes on by itself, to its end, with everything once.
func TestBridgePageParts(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	for i := range 45 {
		p.send(t, hook("tickets", fmt.Sprintf(`{"status":"Open","n":%d}`, i), "Authorization", "Bearer "+secret, "X-Delivery-Id", fmt.Sprint("d", i)))
		p.send(t, hook("tickets", "{", "Authorization", "Bearer "+secret, "X-Delivery-Id", fmt.Sprint("e", i)))
	}
	p.settle()
	for anchor, link := range map[string]string{"handoffs": `<a href="/handoffs/(\d+)">handoff`, "dead": `<a href="/events/(\d+)"><strong>`} {
		next, seen, pages := "/bridge?application=shop", map[string]bool{}, 0
		for next != "" && pages < 10 {
			pages++
			_, part, _ := strings.Cut(p.page(t, identity.Viewer, next), `id="`+anchor+`"`)
			part, _, _ = strings.Cut(part, "</section>")
			for _, found := range regexp.MustCompile(link).FindAllStringSubmatch(part, -1) {
				if seen[found[1]] {
					t.Errorf("%s has %s twice", anchor, found[1])
				}
				seen[found[1]] = true
			}
			if pages > 1 {
				wants(t, part, `href="/bridge?application=shop#`+anchor+`">From the start`)
			}
			next = ""
			if more := regexp.MustCompile(`<a href="([^"]+)" rel="next">`).FindStringSubmatch(part); more != nil {
				next, _, _ = strings.Cut(strings.ReplaceAll(more[1], "&amp;", "&"), "#")
				wants(t, next, "application=shop")
			}
		}
		if len(seen) != 45 || pages != 3 {
			t.Errorf("%s: %d in %d parts", anchor, len(seen), pages)
		}
	}
}

func TestHandoffPage(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	p.ship("1.0.0", true)
	p.ship("1.0.1", false)
	wants(t, p.page(t, identity.Viewer, "/handoffs/1"), "Handoff 1 · 1.0.0", "Event 1 came from a-events over the API", "Trigger published of shop",
		`<li class="good"><span class="mark" aria-hidden="true">✓</span>`, "<strong>1.0.0</strong> in <strong>dev</strong>",
		`<a href="/?promotion=1#promotion-1">promotion 1</a> <span class="chip good">done</span>`, `<a href="/events/1">event 1</a>`)
	refused := p.page(t, identity.Viewer, "/handoffs/2")
	wants(t, refused, `<li class="bad">`, "does not hold", "Not proven", "no provenance: 0 attestations found")
	lacks(t, refused, "promotion ", "drawbridge event redrive")
	wants(t, p.page(t, identity.Releaser, "/handoffs/2"), "drawbridge event redrive 2")
	for _, path := range []string{"/handoffs/9", "/handoffs/x", "/events/9", "/events/0"} {
		if resp, body := p.send(t, call{path: path, token: p.secret[identity.Viewer], header: asBrowser}); resp.StatusCode != 404 || !strings.Contains(string(body), "<h1>No such thing") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

func TestEventPage(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	p.send(t, hook("tickets", `{"status":`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d1", "X-Custom", "seen"))
	p.send(t, hook("tickets", `{"status":"`+strings.Repeat("x", 40<<10)+`"}`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d2"))
	p.ship("1.0.0", true)
	dead := p.page(t, identity.Releaser, "/events/1")
	wants(t, dead, `<span class="chip bad">dead</span>`, "the body is no JSON document", "x-delivery-id: d1", "{&#34;status&#34;:", "drawbridge event redrive 1")
	lacks(t, dead, secret)
	lacks(t, p.page(t, identity.Viewer, "/events/1"), "drawbridge event redrive", "As it arrived", "{&#34;status&#34;:")
	wants(t, p.page(t, identity.Releaser, "/events/2"), "The beginning of", `<a href="/handoffs/1">handoff 1</a>`)
	wants(t, p.page(t, identity.Viewer, "/events/3"), "shop/web:1.0.0@sha256:", `<a href="/handoffs/2">handoff 2</a>`, `<span class="chip good">processed</span>`)
}

// What a stranger wrote is text on every page.
func TestBridgePagesEscape(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>"'</textarea></pre>`
	p := newPlant(t)
	p.applyFile(crossings)
	evs, _, err := p.cdStore.Receive(t.Context(), bridge.Message{
		Receiver: "api", Sender: evil, Key: evil + " " + evil, Body: []byte(evil), Headers: map[string]string{evil: evil},
		Facts: []bridge.Fact{{
			Kind: bridge.KindEvent, Type: evil, Source: evil, Subject: evil, Actor: evil, Chain: evil,
			Git:     &bridge.GitRef{Repository: evil, Ref: evil, Commit: evil},
			Package: &bridge.Package{Type: evil, Name: evil, Version: evil}, Alert: &bridge.Alert{Name: evil},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := bridge.Handoff{
		Event: evs[0].ID, Application: "shop", Trigger: "published", State: bridge.Refused, Reason: evil, Version: evil, Actor: evil, Chain: evil,
		Image: artifact.Reference{Repository: "shop/web", Tag: "1.0.0"}, At: p.now(), Refusals: []attest.Refusal{{Rule: evil, Message: evil}},
		Checks: []bridge.Check{{What: evil, Found: evil}}, Asked: []bridge.Asked{{Environment: evil, Release: evil, Version: evil, Why: evil}},
	}
	if _, err := p.cdStore.Cross(t.Context(), bridge.Crossing{Event: evs[0], Outcomes: []bridge.Outcome{{Handoff: h}}}); err != nil {
		t.Fatal(err)
	}
	if err := p.cdStore.SetPause(t.Context(), "ops", "shop", "byhand", bridge.Pause{By: evil, Reason: evil}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.cdStore.Receive(t.Context(), bridge.Message{Receiver: "tickets", Sender: evil, Key: "k", Wrong: evil, Body: []byte(evil)}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/bridge", "/bridge?application=shop&trigger=" + `%3Cscript%3Ealert(1)%3C/script%3E`, "/handoffs/1", "/events/1", "/events/2"} {
		page := p.page(t, identity.Admin, path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.Contains(page, `"'`) {
			t.Errorf("%s is not escaped:\n%s", path, page)
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not show what was written:\n%s", path, page)
		}
	}
}
