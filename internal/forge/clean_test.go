package forge

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Git sees no token, and nothing of the server's environment.
func TestCleanHidesSecrets(t *testing.T) {
	t.Setenv("DRAWBRIDGE_TOKEN", "hunter2")
	r := httptest.NewRequest("POST", "/git/shop.git/git-upload-pack", nil)
	r.SetBasicAuth("x", "hunter2")
	r.Header.Set("Cookie", "hunter2")
	r.Header.Set("Git-Protocol", "version=2")
	c := clean(r, r.Body)
	if len(c.Header) != 1 || c.Header.Get("Git-Protocol") == "" {
		t.Errorf("git sees the headers %v", c.Header)
	}
	if env := strings.Join((&Forge{}).environ(), "\n"); strings.Contains(env, "hunter2") {
		t.Errorf("git sees the environment %s", env)
	}
}

// Git reads a body to its end and not to its length: http-backend never stops to wait for
// the rest of one that ends early, not even when the server has died.
func TestCleanHidesLength(t *testing.T) {
	r := httptest.NewRequest("POST", "/git/shop.git/git-upload-pack", strings.NewReader("0000"))
	if c := clean(r, r.Body); c.ContentLength != -1 {
		t.Errorf("git is told the length %d", c.ContentLength)
	}
	r = httptest.NewRequest("GET", "/git/shop.git/info/refs", nil)
	if c := clean(r, r.Body); c.ContentLength != 0 {
		t.Errorf("a request without a body has the length %d", c.ContentLength)
	}
}
