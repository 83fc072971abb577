package app

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"drawbridge/internal/fault"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.json")
	basic := base64.StdEncoding.EncodeToString([]byte("bot:s3cret:with colon"))
	body := `{"auths": {"ghcr.io": {"auth": "` + basic + `"}, "https://index.docker.io/v1/": {"username": "hub", "password": "pw"},
		"git.example.com": {"password": "token"}, "reg.example.com:5000": {"username": "u", "password": "p"}}, "credsStore": "desktop"}`
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	c := credentials(file)
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][3]string{
		"ghcr.io":              {"bot", "s3cret:with colon", "Basic " + basic},
		"docker.io":            {"hub", "pw", "Basic " + base64.StdEncoding.EncodeToString([]byte("hub:pw"))},
		"git.example.com":      {"", "token", "Bearer token"},
		"git.example.com:8443": {"", "token", "Bearer token"},
		"reg.example.com:5000": {"u", "p", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))},
		"reg.example.com":      {}, "evil-ghcr.io": {}, "ghcr.io.evil": {}, "": {},
	} {
		user, secret := c.of(host)
		if got := [3]string{user, secret, c.header(host)}; got != want {
			t.Errorf("of %q: %q, want %q", host, got, want)
		}
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.check(); !fault.Is(err, fault.Invalid) {
		t.Errorf("a broken file: %v", err)
	}
	if err := credentials(file + ".gone").check(); !fault.Is(err, fault.Invalid) {
		t.Errorf("no file: %v", err)
	}
	if u, s := credentials("").of("ghcr.io"); u != "" || s != "" {
		t.Error("no file gives credentials")
	}
}
