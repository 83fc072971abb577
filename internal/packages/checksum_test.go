package packages

import (
	"net/http"
	"testing"

	"drawbridge/internal/fault"
)

// Whatever a registry states is a checksum of the right length, nothing that counts, or a fault.
func FuzzIntegrity(f *testing.F) {
	for _, s := range []string{"", "sha1-AAAA", "sha512-", "sha512-AAAA", "md5-x sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=?x", "sha256:e3b0c442"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := parseIntegrity(s)
		if err != nil && fault.As(err) == nil {
			t.Errorf("%q: the error is no fault: %v", s, err)
		}
		if i != nil && (err != nil || len(i.sums) == 0 || len(i.sums[0]) != i.make().Size()) {
			t.Errorf("%q gives %+v, %v", s, i, err)
		}
		if hex, err := fromHex(s); err == nil {
			if _, err := parseIntegrity(hex); err != nil {
				t.Errorf("%q becomes %q, which is none: %v", s, hex, err)
			}
		}
		_ = next(http.Header{"Link": {s}}) // it ends, whatever it is
	})
}

func TestNext(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"":                              "",
		`<https://x/y?a=1>; rel="next"`: "a=1",
		`<https://x/y?a=1>; rel="prev"`: "",
		`<x?a=1>; rel="last", <?b=2>; rel="next"`: "b=2",
		`<https://x/y>; rel="next"`:               "",
		`a=1; rel="next"`:                         "",
		`<%zz?a=1>; rel="next"`:                   "",
	} {
		if got := next(http.Header{"Link": {link}}); got != want {
			t.Errorf("next(%s) = %q, want %q", link, got, want)
		}
	}
}
