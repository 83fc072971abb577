package webhook

import (
	"net/http"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

// commonHeaders are kept of every delivery.
var commonHeaders = []string{"content-type", "user-agent"}

// secretWords mark headers that are never kept, whoever allows them.
var secretWords = []string{"auth", "token", "signature", "secret", "password", "cookie", "api-key"}

// Headers are the headers of a delivery that conditions may read and that reading it again
// needs: names in lower case, those of the sender's own list and of CloudEvents. Tokens and
// signatures are never among them. Names and values together have at most bridge.MaxHeaders
// bytes; what does not fit is left out, the sender's own last.
func (s Sender) Headers(h http.Header) map[string]string {
	names := append(slices.Clone(s.keep), commonHeaders...)
	var extensions []string
	for name := range h {
		if n := strings.ToLower(name); strings.HasPrefix(n, "ce-") {
			extensions = append(extensions, n)
		}
	}
	slices.SortFunc(extensions, shortFirst)
	out := map[string]string{}
	room := bridge.MaxHeaders
	for _, n := range append(names, extensions...) {
		v, ok := one(h, n)
		_, twice := out[n]
		if !ok || twice || secretHeader(n) || len(n)+len(v) > room {
			continue
		}
		out[n] = v
		room -= len(n) + len(v)
	}
	return out
}

// shortFirst sorts the attributes of CloudEvents, which are short, before long extensions.
func shortFirst(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func secretHeader(name string) bool {
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}
