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
		"shop":                                  "shop",
		"shop.git":                              "shop",
		"team/shop":                             "team/shop",
		"":                                      "",
		"https://":                              "",
		"https://git.example.com":               "",
		"https://git.example.com/":              "",
		"file:///etc/passwd":                    "",
		"ext::sh -c id":                         "",
		"-oProxyCommand=id":                     "-oProxyCommand=id", // a name; who needs a stricter one asks for it
		"https://git.example.com/a b":           "",
		`https://git.example.com\@evil/a`:       "",
		"a/b:c":                                 "",
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
	f.Add("https://h:/.git.git//")
	f.Fuzz(func(t *testing.T, in string) {
		once, ok := bridge.NormalRepository(in)
		if ok == (once == "") {
			t.Fatalf("NormalRepository(%q) = %q, %v", in, once, ok)
		}
		if again, _ := bridge.NormalRepository(once); again != once {
			t.Fatalf("NormalRepository(%q) = %q, and of that %q", in, once, again)
		}
	})
}
