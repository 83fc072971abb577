package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/store/storetest"
	"drawbridge/internal/web/api"
)

// TestSplitPlanes runs each plane as a server of its own, which share no file, no
// database and no key: a token each way and a public key are all that is between them.
func TestSplitPlanes(t *testing.T) {
	requireSandbox(t)
	p := buildPrograms(t)
	t.Run("sqlite", func(t *testing.T) { splitPlanes(t, p, nil, nil) })
	t.Run("postgres", func(t *testing.T) {
		splitPlanes(t, p, []string{"--ci-database", storetest.Postgres(t)}, []string{"--cd-database", storetest.Postgres(t)})
	})
}

// front is a stable address before a server that may come and go.
type front struct {
	*httptest.Server

	mu     sync.Mutex
	target string
	missed chan string // path of each request that came while there was no server
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{missed: make(chan string, 1000)}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *front) point(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
}

func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	u, err := url.Parse(target)
	if err != nil || target == "" {
		select {
		case f.missed <- r.URL.Path:
		default:
		}
		http.Error(w, "nobody is there", http.StatusBadGateway)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(u)
			p.Out.Host = p.In.Host
		},
		FlushInterval: -1,
	}
	proxy.ServeHTTP(w, r)
}

// half is one plane's server behind its front.
type half struct {
	*rig
	front *front
	live  *node
}

func newHalf(t *testing.T, p programs, plane string, flags []string) *half {
	t.Helper()
	h := &half{rig: newRig(t, p, "split-"+plane), front: newFront(t)}
	h.flags = slices.Concat([]string{"--plane", plane, "--url", h.front.URL}, flags)
	return h
}

func (h *half) up() {
	h.t.Helper()
	h.live = h.start()
	text, err := os.ReadFile(filepath.Join(h.data(), "address"))
	if err != nil || strings.TrimSpace(string(text)) != h.front.URL || h.url != h.front.URL {
		h.t.Errorf("the server's address is %q, %q, %v, want %s", text, h.url, err, h.front.URL)
	}
	h.front.point("http://" + h.listens())
}

// listens is where the server really listens.
func (h *half) listens() string {
	h.t.Helper()
	addr, err := poll(h.t.Context(), func() (string, string, error) {
		for line := range strings.Lines(h.live.log.String()) {
			if _, rest, ok := strings.Cut(line, "listen="); ok {
				return strings.Fields(rest)[0], "", nil
			}
		}
		return "", "the log names no listener", nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return addr
}

func (h *half) down() {
	h.t.Helper()
	h.front.point("")
	h.stop(h.live)
}

// keep writes a secret into a file for the other plane's server.
func (h *half) keep(file, secret string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, file)
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func splitPlanes(t *testing.T, p programs, ciFlags, cdFlags []string) {
	ci, cdp := newHalf(t, p, "ci", ciFlags), newHalf(t, p, "cd", cdFlags)
	cdp.service = ci.service
	// CD first: it needs CI's address alone until something is to be fetched.
	cdp.flags = append(cdp.flags, "--registry", ci.front.URL)
	cdp.up()
	cdp.staff(map[string]identity.Role{"ci": identity.Events})
	ci.flags = append(ci.flags, "--bridge", cdp.front.URL, "--bridge-token-file", ci.keep("bridge.token", cdp.tokens["ci"]))
	ci.up()
	ci.staff(map[string]identity.Role{"alice": identity.Developer, "cd": identity.Viewer})
	cdp.down()
	cdp.flags = append(cdp.flags, "--registry-token-file", cdp.keep("registry.token", ci.tokens["cd"]))
	cdp.up()

	ci.tree(p.service)
	ctx := t.Context()
	if err := ci.api("admin").Send(ctx, http.MethodPost, "/api/v1/repositories", api.NewRepository{Name: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := cdp.api("admin").Upload(ctx, http.MethodPut, "/api/v1/deliveries", api.YAMLType, []byte(ci.delivery()), nil); err != nil {
		t.Fatal(err)
	}
	apart(t, ci, cdp)
	// Nobody has told CD whom to believe: the key of this CI is learnt from an admin alone.
	ship(t, ci, "1.0.0")
	if h := cdp.outcome("1.0.0"); h.State != bridge.Refused {
		t.Errorf("without trust the handoff is %s: %s", h.State, h.Reason)
	}
	trust(t, ci, cdp)
	ship(t, ci, "1.1.0")
	cdp.runs("dev", "1.1.0")

	// CD is away while CI seals: the event waits in CI's outbox.
	cdp.down()
	drain(cdp.front.missed)
	ship(t, ci, "1.2.0")
	for path := range cdp.front.missed {
		if path == "/api/v1/events" {
			break
		}
	}
	cdp.up()
	if h := cdp.outcome("1.2.0"); h.State != bridge.Accepted {
		t.Errorf("the handoff is %s: %s", h.State, h.Reason)
	}
	cdp.runs("dev", "1.2.0")
	cdp.runs("staging", "1.2.0")
	cdp.down()
	ci.down()
}

func drain(c chan string) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}

// ship pushes a version; the push is answered ok.
func ship(t *testing.T, ci *half, version string) {
	t.Helper()
	if _, err := ci.commit(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if err := ci.push(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// trust tells CD to believe the key whose public half CI has written down.
func trust(t *testing.T, ci, cdp *half) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(ci.data(), "ci", "signer.pub"))
	if err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n  - name: ci\n    predicates: [signature, provenance, sbom]\n    key: |\n"
	for line := range strings.Lines(string(key)) {
		text += "      " + line
	}
	file := filepath.Join(cdp.dir, "trust.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), cdp.program, "trust", "apply", "-f", file)
	cmd.Env = []string{"DRAWBRIDGE_SERVER=" + cdp.front.URL, "DRAWBRIDGE_TOKEN=" + cdp.tokens["admin"], "HOME=" + cdp.dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("trust apply: %v\n%s", err, out)
	}
}

// outcome waits for the handoff of a version.
func (h *half) outcome(version string) api.Handoff {
	h.t.Helper()
	got, err := poll(h.t.Context(), func() (api.Handoff, string, error) {
		for _, o := range all[api.Handoff](h.t, h.api("admin"), "/api/v1/handoffs") {
			if strings.Contains(o.Image, ":"+version+"@") {
				return o, "", nil
			}
		}
		return api.Handoff{}, "no handoff of " + version, nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

// runs waits until an environment runs a version, and asks it.
func (h *half) runs(environment, version string) {
	h.t.Helper()
	address, err := poll(h.t.Context(), func() (string, string, error) {
		for _, st := range all[cd.Status](h.t, h.api("admin"), "/api/v1/status?application=shop") {
			if st.Environment == environment {
				if st.Version == version && st.Coming == "" {
					return st.Address, "", nil
				}
				return "", fmt.Sprintf("%s runs %q: %s %s", environment, st.Version, st.State, st.Reason), nil
			}
		}
		return "", "there is no " + environment, nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if got, err := fetch(h.t.Context(), address); err != nil || got != version {
		h.t.Errorf("%s answers as %q, %v, want %s", environment, got, err, version)
	}
}

// apart fails if either server has what belongs to the other.
func apart(t *testing.T, ci, cdp *half) {
	t.Helper()
	for file, where := range map[string]*half{"cd.db": ci, "cd/audit.key": ci, "target": ci, "ci.db": cdp, "ci/signer.key": cdp, "git": cdp, "registry": cdp} {
		if _, err := os.Lstat(filepath.Join(where.data(), file)); err == nil {
			t.Errorf("%s holds %s", where.program, file)
		}
	}
	// Nothing that CI's server was told or holds open leads to CD's data.
	pid := fmt.Sprint(ci.live.cmd.Process.Pid)
	for _, file := range []string{"cmdline", "environ"} {
		body, err := os.ReadFile("/proc/" + pid + "/" + file)
		if err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"cd-database", cdp.data(), cdp.tokens["admin"]} {
			if strings.Contains(string(body), secret) {
				t.Errorf("the %s of CI's server holds %s", file, secret)
			}
		}
	}
	open, err := filepath.Glob("/proc/" + pid + "/fd/*")
	if err != nil || len(open) == 0 {
		t.Errorf("the open files of CI's server: %v, %v", open, err)
	}
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, cdp.dir) {
			t.Errorf("CI's server has %s open", to)
		}
	}
	apartByAPI(t, ci, cdp)
}

// apartByAPI: CI's token at the bridge posts events and nothing else, and no plane serves
// what belongs to the other.
func apartByAPI(t *testing.T, ci, cdp *half) {
	t.Helper()
	ctx := t.Context()
	for _, path := range []string{"/api/v1/promotions", "/api/v1/releases", "/api/v1/audit", "/api/v1/tokens", "/api/v1/trust"} {
		if err := cdp.api("ci").Get(ctx, path, nil); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("CI's token reads %s: %v", path, err)
		}
	}
	approval := api.Decision{Message: "ship it"}
	if err := cdp.api("ci").Send(ctx, http.MethodPost, "/api/v1/promotions/1/approve", approval, nil); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("CI's token approves: %v", err)
	}
	cdp.tokens["stranger"] = ci.tokens["admin"]
	if err := cdp.api("stranger").Get(ctx, "/api/v1/promotions", nil); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("an admin of CI at CD: %v", err)
	}
	for path, where := range map[string]*half{"/api/v1/promotions": ci, "/api/v1/status": ci, "/api/v1/trust": ci, "/api/v1/runs": cdp, "/api/v1/repositories": cdp} {
		if err := where.api("admin").Get(ctx, path, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s at the other plane's server: %v", path, err)
		}
	}
	for _, path := range []string{"/v2/", "/git/shop.git/info/refs?service=git-upload-pack"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cdp.front.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("x", cdp.tokens["admin"])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("CD answers %s with %s", path, resp.Status)
		}
	}
}
