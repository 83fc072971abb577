package bridge_test

import (
	"strings"
	"testing"

	"drawbridge/internal/bridge"
)

func TestNormalRepository(t *testing.T) {
	for in, want := range map[string]string{
		"https://git.example.com/acme/shop":              "https://git.example.com/acme/shop",
		"https://git.example.com/acme/shop.git":          "https://git.example.com/acme/shop",
		"https://git.example.com/acme/shop.git/":         "https://git.example.com/acme/shop",
		"https://Git.Example.com:443/acme/shop":          "https://git.example.com/acme/shop",
		"https://user:secret@git.example.com/shop?x=1#y": "https://git.example.com/shop",
		"https://git.example.com:8443/shop":              "https://git.example.com:8443/shop",
		"http://git.example.com:80/shop":                 "https://git.example.com/shop",
		"git@git.example.com:acme/shop.git":              "https://git.example.com/acme/shop",
		"ssh://git@git.example.com:2222/acme/shop.git":   "https://git.example.com/acme/shop",
		"ssh://git@[2001:db8::1]:22/shop":                "https://[2001:db8::1]/shop",
		"https://git.example.com/acme/../other/shop.git": "https://git.example.com/other/shop",
		"shop":                                 "shop",
		"shop.git":                             "shop",
		"team/shop":                            "team/shop",
		"":                                     "",
		"https://":                             "",
		"https://git.example.com":              "",
		"https://git.example.com/":             "",
		"file:///etc/passwd":                   "",
		"ext::sh -c id":                        "",
		"-oProxyCommand=id":                    "",
		"https://git.example.com/a b":          "",
		`https://git.example.com\@evil/a`:      "",
		"a/b:c":                                "",
		"https://github.com/acme/web.git":      "https://github.com/acme/web",
		"https://github.com/acme/web":          "https://github.com/acme/web",
		"https://github.com/acme/web/":         "https://github.com/acme/web",
		"https://GitHub.com:443/acme/Web.git/": "https://github.com/acme/Web",
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
		"team/shop.git":                                  "team/shop",
		"/shop/":                                         "shop",
		"https://github.com":                             "",
		"https://github.com/":                            "",
		"https://github.com/.git":                        "",
		"https:///acme/web":                              "",
		"javascript://x/y":                               "",
		"ext::sh":                                        "",
		"https://github.com/acme/web\nhttps://evil.com/": "",
		"https://[::1/acme":                              "",
		"https://git.example.com/%zz":                    "",
		`\\host\share`:                                   "",
		"https://github.com/" + strings.Repeat("x", 600): "",
		"C:/x":   "https://c/x",
		"-uevil": "", "ssh://-oProxyCommand=id/x": "", "git@-oProxyCommand=id:x": "",
		"..":                                    "",
		"../shop":                               "shop",
		"https://h/" + strings.Repeat("a", 600): "",
	} {
		got, ok := bridge.NormalRepository(in)
		if got != want || ok != (want != "") {
			t.Errorf("NormalRepository(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

func FuzzNormalRepository(f *testing.F) {
	f.Add("https://git.example.com/acme/shop.git")
	f.Add("git@host:a/b")
	for _, s := range []string{"https://h:/.git.git//", "https://u:p@h:443/a/b.git?x#y", "shop", "ssh://[::1]:22/x", "a/.git/.git", "https://h/%2e%2e/x", "http://0:443/0", "http://h:/x", "/-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, ok := bridge.NormalRepository(in)
		if ok == (once == "") {
			t.Fatalf("NormalRepository(%q) = %q, %v", in, once, ok)
		}
		if again, _ := bridge.NormalRepository(once); again != once {
			t.Fatalf("NormalRepository(%q) = %q, and of that %q", in, once, again)
		}
		authority, _, _ := strings.Cut(strings.TrimPrefix(once, "https://"), "/")
		if strings.HasPrefix(once, "https://") && strings.ContainsAny(authority, "@?# \n\\") || strings.HasSuffix(once, ".git") || strings.Contains(once, "://") && !strings.HasPrefix(once, "https://") {
			t.Errorf("NormalRepository(%q) = %q", in, once)
		}
	})
}
