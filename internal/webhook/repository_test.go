package webhook_test

import (
	"strings"
	"testing"

	"drawbridge/internal/webhook"
)

func TestNormalRepository(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/acme/web.git":                "https://github.com/acme/web",
		"https://github.com/acme/web":                    "https://github.com/acme/web",
		"https://github.com/acme/web/":                   "https://github.com/acme/web",
		"https://GitHub.com:443/acme/Web.git/":           "https://github.com/acme/Web",
		"https://user:token@github.com/acme/web?a=b#c":   "https://github.com/acme/web",
		"http://git.example.com:80/acme/web.git":         "https://git.example.com/acme/web",
		"http://git.example.com:3000/acme/web.git":       "https://git.example.com:3000/acme/web",
		"git@github.com:acme/web.git":                    "https://github.com/acme/web",
		"github.com:acme/web.git":                        "https://github.com/acme/web",
		"git@github.com:/acme/web.git":                   "https://github.com/acme/web",
		"ssh://git@git.example.com:2222/acme/web.git":    "https://git.example.com/acme/web",
		"ssh://git@[::1]:2222/acme/web.git":              "https://[::1]/acme/web",
		"git://github.com/acme/web.git":                  "https://github.com/acme/web",
		"git+ssh://git@github.com/acme/web.git":          "https://github.com/acme/web",
		"https://github.com/acme/sub/../web.git":         "https://github.com/acme/web",
		"https://github.com//acme//web.git.git":          "https://github.com/acme/web",
		"https://bitbucket.org/acme/web":                 "https://bitbucket.org/acme/web",
		" https://github.com/acme/web ":                  "https://github.com/acme/web",
		"https://github.com/acme/w%20b":                  "https://github.com/acme/w%20b",
		"shop":                                           "shop",
		"team/shop.git":                                  "team/shop",
		"/shop/":                                         "shop",
		"":                                               "",
		"https://github.com":                             "",
		"https://github.com/":                            "",
		"https://github.com/.git":                        "",
		"https:///acme/web":                              "",
		"file:///etc/passwd":                             "",
		"javascript://x/y":                               "",
		"ext::sh -c id":                                  "",
		"ext::sh":                                        "",
		"https://github.com/acme/web\nhttps://evil.com/": "",
		"https://[::1/acme":                              "",
		"https://git.example.com/%zz":                    "",
		`\\host\share`:                                   "",
		"https://github.com/" + strings.Repeat("x", 600): "",
		"C:/x":   "https://c/x",
		"a/b:c":  "",
		"-uevil": "", "ssh://-oProxyCommand=id/x": "", "git@-oProxyCommand=id:x": "",
		"..":      "",
		"../shop": "shop",
	} {
		if got := webhook.NormalRepository(in); got != want {
			t.Errorf("NormalRepository(%.80q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzNormalRepository(f *testing.F) {
	for _, s := range []string{"git@github.com:acme/web.git", "https://u:p@h:443/a/b.git?x#y", "shop", "ssh://[::1]:22/x", "a/.git/.git", "https://h/%2e%2e/x", "http://0:443/0", "http://h:/x", "/-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := webhook.NormalRepository(s)
		if again := webhook.NormalRepository(got); again != got {
			t.Errorf("%q gives %q, that gives %q", s, got, again)
		}
		if strings.ContainsAny(got, "@?# \n\\") && strings.Contains(got, "://") && strings.ContainsAny(strings.SplitN(got[8:], "/", 2)[0], "@?#") || strings.HasSuffix(got, ".git") {
			t.Errorf("%q gives %q", s, got)
		}
		if got != "" && strings.Contains(got, "://") && !strings.HasPrefix(got, "https://") {
			t.Errorf("%q gives %q", s, got)
		}
	})
}
