package app_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// secrets are the files that only the server may read.
var secrets = []string{"admin.token", "session.key", "ci/signer.key", "ci/audit.key", "ci/bridge.token", "cd/audit.key"}

func TestKeysAreMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := start(t, app.Config{Data: dir})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory is %v, %v", info.Mode(), err)
	}
	was := map[string]string{"ci/signer.pub": r.file("ci/signer.pub")}
	for _, name := range secrets {
		was[name] = r.file(name)
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	if strings.Contains(was["ci/signer.pub"], "PRIVATE") || !strings.Contains(was["ci/signer.pub"], "PUBLIC KEY") {
		t.Errorf("signer.pub is %q", was["ci/signer.pub"])
	}
	r.stop()
	// What a crash between two writes left behind is no key.
	if err := os.WriteFile(filepath.Join(dir, "ci", "signer.key.tmp"), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, app.Config{Data: dir})
	for name, body := range was {
		if r.file(name) != body {
			t.Errorf("%s is another one after a restart", name)
		}
	}
}

func TestBrokenKeyIsNotReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, app.Config{Data: dir}).stop()
	for _, name := range []string{"ci/signer.key", "ci/audit.key", "cd/audit.key"} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "no key at all\n", string(good[:len(good)/2])} {
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := app.Run(t.Context(), app.Config{Data: dir, Listen: "127.0.0.1:0"}); err == nil {
				t.Fatalf("the server starts with %s = %q", name, bad)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != bad {
				t.Errorf("%s was replaced: %v", name, err)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, app.Config{Data: dir})
}

func TestFirstAdminTokenIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(dir, "admin.token")
	r := start(t, app.Config{Data: dir})
	first := r.file("admin.token")
	if who := r.whoami(first); who.Role != identity.Admin || who.Expires == nil || time.Until(*who.Expires) > 24*time.Hour {
		t.Errorf("the first token is %+v", who)
	}
	for _, path := range []string{"/git/shop.git/info/refs?service=git-upload-pack", "/v2/"} {
		if got := r.status(path, first); got != http.StatusForbidden {
			t.Errorf("%s takes the first token: %d", path, got)
		}
	}
	r.stop()
	// A server that was killed before it wrote the file: nobody knows the secret.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r = start(t, app.Config{Data: dir})
	second := r.file("admin.token")
	if second == first || r.whoami(second).Role != identity.Admin {
		t.Error("no new first token")
	}
	if err := r.api(first).Get(t.Context(), "/api/v1/whoami", nil); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("the lost token: %v", err)
	}
	r.create(second, "ops", identity.Admin)
	r.stop()
	// Now that a person has a token, the file is not made again.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	start(t, app.Config{Data: dir})
	if _, err := os.Stat(file); err == nil {
		t.Error("a server with tokens made another first one")
	}
}

func (r *running) whoami(secret string) api.Token {
	r.t.Helper()
	var who api.Token
	if err := r.api(secret).Get(r.t.Context(), "/api/v1/whoami", &who); err != nil {
		r.t.Fatal(err)
	}
	return who
}

func (r *running) create(by, name string, role identity.Role) api.CreatedToken {
	r.t.Helper()
	var made api.CreatedToken
	if err := r.api(by).Send(r.t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: name, Role: role}, &made); err != nil {
		r.t.Fatal(err)
	}
	return made
}

func TestTokensHoldInBothPlanes(t *testing.T) {
	// The clock stands still: two tokens of one name differ by nothing but their secrets.
	at := time.Now().UTC().Truncate(time.Millisecond)
	r := start(t, app.Config{Data: filepath.Join(t.TempDir(), "data"), Now: func() time.Time { return at }})
	admin := r.file("admin.token")
	if err := r.api(admin).Send(t.Context(), http.MethodPost, "/api/v1/repositories", api.NewRepository{Name: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	alice, again := r.create(admin, "alice", identity.Developer), r.create(admin, "alice", identity.Developer)
	ciPlane := []string{"/git/shop.git/info/refs?service=git-receive-pack", "/v2/"}
	holds := func(secret string, want bool) {
		t.Helper()
		for _, path := range ciPlane {
			if got := r.status(path, secret); (got == http.StatusOK) != want {
				t.Errorf("%s answers %d, want it to be taken: %v", path, got, want)
			}
		}
		if err := r.api(secret).Get(t.Context(), "/api/v1/promotions", nil); (err == nil) != want {
			t.Errorf("promotions: %v, want it to be taken: %v", err, want)
		}
	}
	holds(alice.Secret, true)
	holds(again.Secret, true)
	holds(alice.Secret+"x", false)
	holds("", false)
	path := "/api/v1/tokens/" + itoa(again.ID)
	for range 2 { // a second time changes nothing
		if err := r.api(admin).Send(t.Context(), http.MethodDelete, path, nil, nil); err != nil {
			t.Errorf("revoke: %v", err)
		}
	}
	holds(again.Secret, false)
	holds(alice.Secret, true) // of the same name, of the same instant
	var page api.List[api.Token]
	if err := r.api(admin).Get(t.Context(), "/api/v1/tokens", &page); err != nil {
		t.Fatal(err)
	}
	revoked := 0
	for _, o := range page.Items {
		if o.Name == "alice" && o.Revoked != nil {
			revoked++
		}
	}
	if revoked != 1 {
		t.Errorf("%d of alice's tokens are listed as revoked: %+v", revoked, page.Items)
	}
	if err := r.api(admin).Send(t.Context(), http.MethodDelete, "/api/v1/tokens/99", nil, nil); fault.KindOf(err) != fault.NotFound {
		t.Errorf("revoking what is not there: %v", err)
	}
	r.auditedInBoth(admin)
}

// auditedInBoth: each plane's log tells of alice's tokens by itself.
func (r *running) auditedInBoth(admin string) {
	r.t.Helper()
	for _, plane := range []string{api.PlaneCI, api.PlaneCD} {
		var page api.List[api.AuditEntry]
		if err := r.api(admin).Get(r.t.Context(), "/api/v1/audit?limit=100&plane="+plane, &page); err != nil {
			r.t.Fatal(err)
		}
		count := map[string]int{}
		for _, e := range page.Items {
			if e.Detail["name"] == "alice" {
				count[e.Action]++
			}
		}
		if count["token.create"] != 2 || count["token.revoke"] != 1 {
			r.t.Errorf("the log of %s tells of alice: %v", plane, count)
		}
	}
}

func TestCleanStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := start(t, app.Config{Data: dir})
	if r.file("address") != r.address {
		t.Errorf("address is %q, want %q", r.file("address"), r.address)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := r.status(path, ""); got != http.StatusOK {
			t.Errorf("%s answers %d", path, got)
		}
	}
	r.stop()
	l, err := net.Listen("tcp", strings.TrimPrefix(r.address, "http://"))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*-wal")); err != nil || len(left) > 0 {
		t.Errorf("a clean stop leaves %v, %v", left, err)
	}
	// What was spooled by a server that died is not kept.
	rest := filepath.Join(dir, "tmp", "rest")
	if err := os.WriteFile(rest, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, app.Config{Data: dir, Listen: strings.TrimPrefix(r.address, "http://")})
	if _, err := os.Stat(rest); err == nil {
		t.Error("temporary files outlive a restart")
	}
}

func TestStoppedWhileStarting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, app.Config{Data: dir}).stop()
	for _, when := range []string{"at once", "once the port is open"} {
		ctx, cancel := contextFor(t)
		cfg := app.Config{Data: dir, Listen: "127.0.0.1:0", Ready: func(string) { cancel() }}
		if when == "at once" {
			cancel()
		}
		if err := app.Run(ctx, cfg); err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", when, err)
		}
		cancel()
	}
	start(t, app.Config{Data: dir}) // and it starts again
}
