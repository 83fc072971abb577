package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

func TestWithoutToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/api/v1/tokens", "/api/openapi.json", "/metrics", "/api/v1/whoami", "/"} {
		for name, token := range map[string]string{"none": "", "wrong": "db_" + strings.Repeat("a", 64), "malformed": "x"} {
			resp, p := s.problem(t, call{path: path, token: token})
			if p.Kind != fault.Unauthenticated || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("GET %s, %s token: %+v", path, name, p)
			}
		}
	}
	resp, _ := s.send(t, call{path: "/?a=b", header: map[string]string{"Accept": "text/html"}})
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/login?next=%2F%3Fa%3Db" {
		t.Errorf("a browser without a session: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, test := range []struct {
		call
		may []identity.Role
	}{
		{call{path: "/api/v1/whoami"}, []identity.Role{identity.Viewer, identity.Developer, identity.Approver, identity.Releaser, identity.Admin}},
		{call{path: "/api/v1/tokens"}, []identity.Role{identity.Admin}},
		{call{method: "POST", path: "/api/v1/things", body: `{"name":"x"}`}, []identity.Role{identity.Developer, identity.Approver, identity.Releaser, identity.Admin}},
		{call{method: "POST", path: "/api/v1/events", body: "{}"}, []identity.Role{identity.Events, identity.Admin}},
	} {
		allowed := map[identity.Role]bool{}
		for _, role := range test.may {
			allowed[role] = true
		}
		for role, secret := range s.secret {
			test.token = secret
			resp, _ := s.send(t, test.call)
			if got := resp.StatusCode != http.StatusForbidden; got != allowed[role] || resp.StatusCode >= 500 {
				t.Errorf("%s %s as %s = %d, want allowed %v", test.method, test.path, role, resp.StatusCode, allowed[role])
			}
		}
	}
}

func TestUnrouted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.secret[identity.Admin]
	if _, p := s.problem(t, call{path: "/api/v1/nothing", token: token}); p.Kind != fault.NotFound {
		t.Errorf("unknown route: %+v", p)
	}
	resp, p := s.problem(t, call{method: "PUT", path: "/api/v1/tokens", token: token})
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD, POST" || p.Kind != fault.Invalid {
		t.Errorf("wrong method: %d, Allow %q, %+v", resp.StatusCode, resp.Header.Get("Allow"), p)
	}
	if _, p := s.problem(t, call{method: "DELETE", path: "/api/v1/tokens/x", token: token}); p.Kind != fault.NotFound {
		t.Errorf("no number: %+v", p)
	}
	resp, b := s.send(t, call{path: "/nothing", header: map[string]string{"Accept": "text/html"}})
	if resp.StatusCode != 404 || !strings.Contains(string(b), "<h1>No such thing</h1>") {
		t.Errorf("a browser gets %d %q", resp.StatusCode, b)
	}
	if resp, _ := s.send(t, call{path: "/static/../page/login.html"}); resp.StatusCode == 200 {
		t.Error("a file beside /static/ is served")
	}
}

// What no database takes is refused before anybody looks for it.
func TestAddressIsText(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/api/v1/faults/%00", "/api/v1/faults/a%ff", "/api/v1/tokens?after=%00", "/api/v1/tokens?%0a=x", "/login?next=%c3"} {
		resp, p := s.problem(t, call{path: path, token: s.secret[identity.Admin]})
		if resp.StatusCode != 400 || p.Kind != fault.Invalid || !strings.Contains(p.Detail, "no text") {
			t.Errorf("%s: %d %+v", path, resp.StatusCode, p)
		}
	}
	if resp, _ := s.send(t, call{path: "/api/v1/tokens?x=%C3%A9", token: s.secret[identity.Admin]}); resp.StatusCode != 200 {
		t.Errorf("a letter with an accent: %d", resp.StatusCode)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.Hosts = []string{"Other.example.com"} })
	for host, want := range map[string]int{
		"bridge.example.com": 200, "BRIDGE.example.com:8080": 200, "other.example.com": 200, "localhost:1": 200, "127.0.0.1": 200, "[::1]:80": 200,
		"evil.example.com": 403, "bridge.example.com.evil.com": 403, "127.0.0.2": 403, "localhost.evil.com": 403, "": 200,
	} {
		if resp, _ := s.send(t, call{path: "/api/v1/whoami", token: s.secret[identity.Viewer], host: host}); resp.StatusCode != want {
			t.Errorf("Host %q = %d, want %d", host, resp.StatusCode, want)
		}
	}
	if resp, _ := s.send(t, call{path: "/healthz", host: "10.0.0.7:8080"}); resp.StatusCode != 200 {
		t.Errorf("a probe by address = %d", resp.StatusCode)
	}
	if resp, _ := s.send(t, call{path: "/git/x", host: "evil.example.com"}); resp.StatusCode != 403 {
		t.Errorf("a mount under a wrong host = %d", resp.StatusCode)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, test := range map[string]struct {
		header map[string]string
		want   int
	}{
		"a program":   {nil, 201},
		"our own":     {map[string]string{"Origin": s.url}, 201},
		"same-origin": {map[string]string{"Sec-Fetch-Site": "same-origin"}, 201},
		"another":     {map[string]string{"Origin": "http://evil.example.com"}, 403},
		"null":        {map[string]string{"Origin": "null"}, 403},
		"cross-site":  {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": s.url}, 403},
		"same-site":   {map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
	} {
		resp, _ := s.send(t, call{method: "POST", path: "/api/v1/things", body: `{"name":"x"}`, token: s.secret[identity.Developer], header: test.header})
		if resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.want)
		}
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	huge := `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`
	for name, test := range map[string]struct {
		body, field string
		kind        fault.Kind
	}{
		"good":            {`{"name":"x","count":1}`, "", ""},
		"unknown field":   {`{"name":"x","cuont":1}`, "cuont", fault.Invalid},
		"wrong type":      {`{"name":"x","count":"1"}`, "count", fault.Invalid},
		"syntax":          {`{"name":}`, "", fault.Invalid},
		"cut":             {`{"name":"x"`, "", fault.Invalid},
		"two documents":   {`{"name":"x"}{"name":"y"}`, "", fault.Invalid},
		"an array":        {`[]`, "", fault.Invalid},
		"too big":         {huge, "", fault.TooLarge},
		"deep":            {strings.Repeat("[", 100_000), "", fault.Invalid},
		"spaces too many": {`{"name":"x"}` + strings.Repeat(" ", api.MaxBody), "", fault.TooLarge},
	} {
		c := call{method: "POST", path: "/api/v1/things", body: test.body, token: s.secret[identity.Developer]}
		if test.kind == "" {
			if resp, b := s.send(t, c); resp.StatusCode != 201 {
				t.Errorf("%s: %d %s", name, resp.StatusCode, b)
			}
			continue
		}
		if _, p := s.problem(t, c); p.Kind != test.kind || p.Field != test.field {
			t.Errorf("%s: %+v, want %s at %q", name, p, test.kind, test.field)
		}
	}
	form := call{method: "POST", path: "/api/v1/things", body: "name=x", token: s.secret[identity.Developer], header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}
	if _, p := s.problem(t, form); p.Kind != fault.Invalid || p.Field != "Content-Type" {
		t.Errorf("a form: %+v", p)
	}
	if _, p := s.problem(t, call{method: "POST", path: "/api/v1/events", body: huge, token: s.secret[identity.Events]}); p.Kind != fault.TooLarge {
		t.Errorf("a huge event: %+v", p)
	}
	if resp, b := s.send(t, call{method: "POST", path: "/git/x", body: huge}); resp.StatusCode != 200 || strings.TrimSpace(string(b)) != "1048587" {
		t.Errorf("a mount takes more: %d %s", resp.StatusCode, b)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	form := func(token, next string) call {
		return call{
			method: "POST", path: "/login", body: url.Values{"token": {token}, "next": {next}}.Encode(),
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html", "Origin": s.url},
		}
	}
	resp, _ := s.send(t, form(s.secret[identity.Viewer], "/runs?a=b"))
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/runs?a=b" || len(resp.Cookies()) != 1 {
		t.Fatalf("login: %d to %q with %v", resp.StatusCode, resp.Header.Get("Location"), resp.Cookies())
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || strings.Contains(c.Value, s.secret[identity.Viewer]) {
		t.Errorf("cookie %+v", c)
	}
	session := map[string]string{"Cookie": c.Name + "=" + c.Value}
	if resp, b := s.send(t, call{path: "/api/v1/whoami", header: session}); resp.StatusCode != 200 || !strings.Contains(string(b), `"a-viewer"`) {
		t.Errorf("with the session: %d %s", resp.StatusCode, b)
	}
	if resp, _ := s.send(t, call{path: "/api/v1/tokens", header: session}); resp.StatusCode != 403 {
		t.Errorf("a session may more than its token: %d", resp.StatusCode)
	}
	if resp, _ := s.send(t, call{path: "/api/v1/whoami", token: "wrong", header: session}); resp.StatusCode != 401 {
		t.Errorf("a wrong token falls back to the session: %d", resp.StatusCode)
	}
	flipped := []byte(c.Value)
	flipped[20] ^= 1
	if resp, _ := s.send(t, call{path: "/api/v1/whoami", header: map[string]string{"Cookie": c.Name + "=" + string(flipped)}}); resp.StatusCode != 401 {
		t.Errorf("an altered cookie: %d", resp.StatusCode)
	}
	if _, err := s.tokens.Revoke(t.Context(), 1, "test"); err != nil { // the viewer's
		t.Fatal(err)
	}
	if resp, _ := s.send(t, call{path: "/api/v1/whoami", header: session}); resp.StatusCode != 401 {
		t.Errorf("the session outlives its token: %d", resp.StatusCode)
	}
	for _, next := range []string{"https://evil.example.com", "//evil.example.com", `/\evil.example.com`, "/a\nb", "javascript:alert(1)"} {
		if resp, _ := s.send(t, form(s.secret[identity.Admin], next)); resp.Header.Get("Location") != "/" {
			t.Errorf("login leads to %q", resp.Header.Get("Location"))
		}
	}
	for name, secret := range map[string]string{"wrong": "x", "machine": s.secret[identity.Events]} {
		resp, b := s.send(t, form(secret, `/"><script>`))
		if resp.StatusCode != 401 && resp.StatusCode != 403 || len(resp.Cookies()) != 0 || strings.Contains(string(b), "<script>") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, b)
		}
	}
	evil := form(s.secret[identity.Admin], "/")
	evil.header["Origin"] = "http://evil.example.com"
	if resp, _ := s.send(t, evil); resp.StatusCode != 403 || len(resp.Cookies()) != 0 {
		t.Errorf("login from another site: %d", resp.StatusCode)
	}
}

func TestSecureCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.URL = "https://bridge.example.com" })
	resp, _ := s.send(t, call{method: "POST", path: "/login", body: "token=" + s.secret[identity.Admin], header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	if c := resp.Cookies(); len(c) != 1 || !c[0].Secure || !strings.HasPrefix(c[0].Name, "__Host-") {
		t.Errorf("cookies %v", c)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/login", "/api/v1/whoami", "/nothing", "/healthz"} {
		resp, _ := s.send(t, call{path: path})
		h := resp.Header
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" {
			t.Errorf("GET %s has the headers %v", path, h)
		}
	}
}

// The route table cannot leave a row open by mistake.
func TestTable(t *testing.T) {
	t.Parallel()
	serve := func(http.ResponseWriter, *http.Request) error { return nil }
	for name, routes := range map[string][]web.Route{
		"no rule":        {{Method: "GET", Pattern: "/x", Handler: serve}},
		"two rules":      {{Method: "GET", Pattern: "/x", Handler: serve, Action: identity.Read, Anonymous: true}},
		"unknown action": {{Method: "GET", Pattern: "/x", Handler: serve, Action: "reed"}},
		"no handler":     {{Method: "GET", Pattern: "/x", Action: identity.Read}},
		"no summary":     {{Method: "GET", Pattern: "/api/v1/x", Handler: serve, Action: identity.Read}},
		"twice": {
			{Method: "GET", Pattern: "/x/{a}", Handler: serve, Action: identity.Read},
			{Method: "GET", Pattern: "/x/{b}", Handler: serve, Action: identity.Read},
		},
	} {
		cfg := web.Config{Verify: identity.New(nil, time.Now).Verify, Routes: routes}
		if _, err := web.New(cfg); err == nil {
			t.Errorf("%s: the table was taken", name)
		}
	}
}
