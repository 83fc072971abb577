package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// byForm has manual triggers with an input of each kind.
const byForm = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web}
triggers:
  - {name: published, on: artifact, artifact: web, promote: dev}
  - name: byhand
    on: manual
    promote: production
    inputs:
      properties:
        reason: {type: string, minLength: 3, title: "Reason <why>", description: "For those who <approve>"}
        region: {enum: [eu, us, 3]}
        batch: {type: integer, minimum: 1, maximum: 10, default: 3}
        ratio: {type: number}
        dry-run: {type: boolean, default: true}
        extra: {type: object, additionalProperties: {$ref: "#/$defs/word"}}
        any: true
      $defs: {word: {type: string}}
      required: [reason, region]
      dependentRequired: {ratio: [batch]}
  - {name: plain, on: manual, promote: production}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [dev]
    approval: {required: 1, exclude: [requester]}
    target: {process: {artifact: web, command: [./web]}}
`

const askPath = "/promote/shop/production"

func newForm(t *testing.T) *plant {
	t.Helper()
	p := newPlant(t)
	p.applyFile(byForm)
	p.ship("1.0.0", true)
	p.pass(1e9)
	p.ship("1.1.0", true)
	return p
}

func (p *plant) post(t *testing.T, role identity.Role, form url.Values, header ...string) (reply, string) {
	t.Helper()
	c := call{method: "POST", path: askPath, token: p.secret[role], body: form.Encode(), header: map[string]string{
		"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded", "Origin": p.url,
	}}
	for i := 0; i < len(header); i += 2 {
		c.header[header[i]] = header[i+1]
	}
	resp, body := p.send(t, c)
	return resp, string(body)
}

func (p *plant) promotions(t *testing.T) []cd.Promotion {
	t.Helper()
	list, err := p.cdStore.Promotions(t.Context(), cd.PromotionFilter{Environment: cd.EnvironmentRef{Application: "shop", Name: "production"}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (p *plant) release(t *testing.T, ref string) string {
	t.Helper()
	r, err := p.cdStore.Release(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestAskForm(t *testing.T) {
	t.Parallel()
	p := newForm(t)
	page := p.page(t, identity.Developer, askPath)
	wants(t, page, `<option value="`+p.release(t, "shop@1.1.0")+`">1.1.0 ·`, `href="?trigger=plain"`, `<a href="?trigger=byhand" aria-current="true">`,
		`<label for="input-reason">Reason &lt;why&gt; `, `<input type="text" id="input-reason" name="input.reason" value="" required aria-describedby="input-reason-text">`,
		"For those who &lt;approve&gt;", `<option value="&#34;eu&#34;">eu</option>`, `<option value="3">3</option>`,
		`<input type="number" id="input-batch" name="input.batch" value="3" step="1" min="1" max="10">`, `name="input.ratio" value="" step="any">`,
		`<input type="checkbox" id="input-dry-run" name="input.dry-run" value="true" checked>`, `<textarea id="input-extra"`, `<textarea id="input-any"`)
	keys := regexp.MustCompile(`name="key" value="([A-Z2-7]+)"`)
	if a, b := keys.FindString(page), keys.FindString(p.page(t, identity.Developer, askPath)); a == "" || a == b {
		t.Errorf("keys %q and %q", a, b)
	}
	if strings.Count(page, "<script") != 1 || strings.Contains(page, "style=") {
		t.Errorf("the page has something that its Content-Security-Policy stops:\n%s", page)
	}
	lacks(t, p.page(t, identity.Developer, askPath+"?trigger=plain"), "fieldset", "input.reason")
	lacks(t, p.page(t, identity.Developer, askPath+"?trigger="), "fieldset", `name="trigger" value="byhand"`)
	lacks(t, p.page(t, identity.Developer, "/promote/shop/dev"), "Ways to ask")
	wants(t, p.page(t, identity.Developer, askPath+"?release=shop@1.0.0"), `value="`+p.release(t, "shop@1.0.0")+`" selected>`)
	for _, path := range []string{"/promote/shop/moon", "/promote/till/production", askPath + "?trigger=published", askPath + "?trigger=%3Cscript%3E"} {
		if resp, body := p.send(t, call{path: path, token: p.secret[identity.Developer], header: asBrowser}); resp.StatusCode != 404 || strings.Contains(string(body), "<script>") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	lacks(t, p.look(t), "/promote/")
	wants(t, p.page(t, identity.Developer, "/"), `href="/promote/shop/dev"`, `href="/promote/shop/production"`)
	lacks(t, p.look(t), "/promote/") // the picture of those who may is not shown to others
	empty := newPlant(t)
	empty.applyFile(byForm)
	wants(t, empty.page(t, identity.Developer, askPath), "drawbridge submit --image REF --delivery shop")
}

func TestAskByForm(t *testing.T) {
	t.Parallel()
	p := newForm(t)
	form := url.Values{
		"release": {p.release(t, "shop@1.0.0")}, "trigger": {"byhand"}, "key": {"k1"}, "note": {"it is <b>time</b>"},
		"input.reason": {"launch"}, "input.region": {`"us"`}, "input.batch": {" 4 "}, "input.extra": {`{"a":"b"}`}, "input.any": {""},
	}
	resp, body := p.post(t, identity.Developer, form)
	if resp.StatusCode != 303 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	to := resp.Header.Get("Location")
	list := p.promotions(t)
	if len(list) != 1 || to != "/?promotion="+itoa(int(list[0].ID))+"#promotion-"+itoa(int(list[0].ID)) || list[0].Requester != "a-developer" {
		t.Fatalf("led to %q, promotions %+v", to, list)
	}
	in := list[0].Plan.Inputs
	if in["reason"] != "launch" || in["region"] != "us" || in["batch"] != 4.0 || in["dry-run"] != false || len(in) != 5 {
		t.Errorf("inputs %+v", in)
	}
	wants(t, p.page(t, identity.Developer, strings.Split(to, "#")[0]), `<strong>1.0.0</strong> was asked for in <strong>shop/production</strong>`,
		`id="promotion-`+itoa(int(list[0].ID))+`"`, "it is &lt;b&gt;time&lt;/b&gt;")
	lacks(t, p.page(t, identity.Developer, "/?promotion=77"), "was asked for in")
	lacks(t, p.page(t, identity.Developer, "/?promotion=x"), "was asked for in")

	var both sync.WaitGroup // a double click asks once
	for range 4 {
		both.Go(func() {
			if again, b := p.post(t, identity.Developer, form); again.Header.Get("Location") != to {
				t.Errorf("again: %d %s", again.StatusCode, b)
			}
		})
	}
	both.Wait()
	handoffs := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?trigger=byhand", token: p.secret[identity.Viewer]})
	if list := p.promotions(t); len(list) != 1 || len(list[0].Causes) != 1 || len(handoffs.Items) != 1 {
		t.Errorf("asked again: %+v, handoffs %+v", list, handoffs.Items)
	}
	form.Set("release", p.release(t, "shop@1.1.0"))
	resp, body = p.post(t, identity.Developer, form)
	if resp.StatusCode != 409 || len(p.promotions(t)) != 1 {
		t.Fatalf("the same form for something else: %d %s", resp.StatusCode, body)
	}
	wants(t, body, "this form was sent before", `value="launch"`)
	form.Set("key", regexp.MustCompile(`name="key" value="(\w+)"`).FindStringSubmatch(body)[1])
	if resp, body = p.post(t, identity.Developer, form); resp.StatusCode != 303 || len(p.promotions(t)) != 2 {
		t.Errorf("with the key that came with it: %d %s", resp.StatusCode, body)
	}
}

// What is wrong stands beside its field, with what was entered, and nothing is asked for.
func TestAskFormComesBack(t *testing.T) {
	t.Parallel()
	p := newForm(t)
	const evil = `"><script>alert(1)</script>`
	good := func() url.Values {
		return url.Values{"release": {p.release(t, "shop@1.0.0")}, "trigger": {"byhand"}, "key": {"k"}, "input.reason": {"launch"}, "input.region": {`"eu"`}}
	}
	for name, test := range map[string]struct {
		field, value, place, says string
		status                    int
	}{
		"missing":            {"input.reason", "", "input-reason-problem", "is missing", 400},
		"too short":          {"input.reason", "no", "input-reason-problem", "minLength", 400},
		"no choice":          {"input.region", `"moon"`, "input-region-problem", "none of the choices", 400},
		"no number":          {"input.batch", "many", "input-batch-problem", "no number", 400},
		"no finite number":   {"input.ratio", "1e999", "input-ratio-problem", "no number", 400},
		"not a number":       {"input.ratio", "NaN", "input-ratio-problem", "no number", 400},
		"a fraction":         {"input.batch", "1.5", "input-batch-problem", "no whole number", 400},
		"too many":           {"input.batch", "11", "input-batch-problem", "maximum", 400},
		"no JSON":            {"input.extra", evil, "input-extra-problem", "no JSON", 400},
		"another kind":       {"input.extra", "[1]", "input-extra-problem", "want object", 400},
		"a wrong part":       {"input.extra", `{"a":1}`, "input-extra-problem", "want string", 400},
		"all together":       {"input.ratio", "1", "", "the inputs do not fit", 400},
		"no release":         {"release", "", "release-problem", "choose one", 400},
		"an unknown release": {"release", evil, "release-problem", "no such release", 400},
		"a long note":        {"note", strings.Repeat("x", 1001), "note-problem", "more than 1000", 400},
	} {
		form := good()
		form.Set(test.field, test.value)
		resp, body := p.post(t, identity.Developer, form)
		_, at, found := strings.Cut(body, `class="problem" id="`+test.place+`">`)
		if test.place == "" {
			_, at, found = strings.Cut(body, `class="problem" role="alert">`)
		}
		at, _, _ = strings.Cut(at, "</p>")
		if resp.StatusCode != test.status || !found || !strings.Contains(at, test.says) {
			t.Errorf("%s: %d, %q in\n%s", name, resp.StatusCode, at, body)
		}
		if strings.Contains(body, evil) || strings.Contains(body, "<script>alert") {
			t.Errorf("%s is not escaped:\n%s", name, body)
		}
		if kept := html.UnescapeString(body); name != "an unknown release" && !strings.Contains(kept, test.value) && name != "no choice" {
			t.Errorf("%s: what was entered is gone:\n%s", name, body)
		}
	}
	form := good()
	form.Set("trigger", "published")
	if resp, body := p.post(t, identity.Developer, form); resp.StatusCode != 404 {
		t.Errorf("a trigger that is not manual: %d %s", resp.StatusCode, body)
	}
	if err := p.cdStore.SetPause(t.Context(), "ops", "shop", "byhand", bridge.Pause{By: "ops", Reason: "the move"}); err != nil {
		t.Fatal(err)
	}
	wants(t, p.page(t, identity.Developer, askPath), "Trigger byhand is paused by ops", "drawbridge trigger resume shop/byhand")
	if resp, body := p.post(t, identity.Developer, good()); resp.StatusCode != 409 || !strings.Contains(body, "is paused by ops") {
		t.Errorf("a paused trigger: %d %s", resp.StatusCode, body)
	}
	if list := p.promotions(t); len(list) != 0 {
		t.Errorf("asked for: %+v", list)
	}
}

// The form of one application promotes no release of another.
func TestAskForAnothersRelease(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	till := strings.Replace(byForm, "name: shop\n", "name: till\n", 1)
	till = strings.Replace(till, "image: shop/web}", "image: shop/web, source: {repository: shop}}", 1)
	p.applyFile(byForm)
	p.applyFile(till)
	p.ship("1.0.0", true)
	form := url.Values{"release": {p.release(t, "till@1.0.0")}, "trigger": {""}, "key": {"k"}}
	resp, body := p.post(t, identity.Developer, form)
	list, err := p.cdStore.Promotions(t.Context(), cd.PromotionFilter{})
	if resp.StatusCode != 400 || !strings.Contains(body, "there is no such release of shop") || err != nil || len(list) != 2 {
		t.Errorf("%d %s, promotions %+v, %v", resp.StatusCode, body, list, err)
	}
	lacks(t, p.page(t, identity.Developer, askPath+"?release=till@1.0.0"), form.Get("release"))
}

// Only a person who may ask, on a page of this server, asks.
func TestAskGuards(t *testing.T) {
	t.Parallel()
	p := newForm(t)
	resp, _ := p.send(t, call{
		method: "POST", path: "/login", body: url.Values{"token": {p.secret[identity.Developer]}}.Encode(),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": p.url},
	})
	cookie := resp.Cookies()[0]
	if cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %+v", cookie)
	}
	form := url.Values{"release": {p.release(t, "shop@1.0.0")}, "trigger": {"plain"}, "key": {"k"}}
	session := func(header ...string) (reply, string) {
		return p.post(t, "", form, append([]string{"Cookie", cookie.Name + "=" + cookie.Value}, header...)...)
	}
	for name, header := range map[string][]string{
		"another origin":    {"Origin", "https://evil.example.com"},
		"no origin":         {"Origin", "null"},
		"cross-site":        {"Sec-Fetch-Site", "cross-site"},
		"a sister's origin": {"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"},
	} {
		if resp, body := session(header...); resp.StatusCode != 403 {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	for _, role := range []identity.Role{identity.Viewer, identity.Events, identity.CI} {
		if resp, body := p.post(t, role, form); resp.StatusCode != 403 {
			t.Errorf("%s: %d %s", role, resp.StatusCode, body)
		}
		if resp, _ := p.send(t, call{path: askPath, token: p.secret[role], header: asBrowser}); resp.StatusCode != 403 {
			t.Errorf("%s sees the form: %d", role, resp.StatusCode)
		}
	}
	if resp, _ := p.post(t, "", form); resp.StatusCode != 401 {
		t.Errorf("nobody: %d", resp.StatusCode)
	}
	if resp, body := session("Content-Type", "application/json"); resp.StatusCode != 400 {
		t.Errorf("no form: %d %s", resp.StatusCode, body)
	}
	if list := p.promotions(t); len(list) != 0 {
		t.Fatalf("asked for: %+v", list)
	}
	if resp, body := session("Sec-Fetch-Site", "same-origin"); resp.StatusCode != 303 || len(p.promotions(t)) != 1 {
		t.Errorf("our own page: %d %s", resp.StatusCode, body)
	}
}
