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
	c := clean(r, r.Body, 0)
	if len(c.Header) != 1 || c.Header.Get("Git-Protocol") == "" {
		t.Errorf("git sees the headers %v", c.Header)
	}
	if env := strings.Join((&Forge{}).environ(), "\n"); strings.Contains(env, "hunter2") {
		t.Errorf("git sees the environment %s", env)
	}
}
