package remote

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"unicode"

	"drawbridge/internal/fault"
)

// FuzzHost reads whatever a host may say as each part of the protocol.
func FuzzHost(f *testing.F) {
	one := strings.Repeat("1", 40)
	m := &message{}
	m.line("version 2")
	m.line("fetch=shallow filter")
	f.Add(m.b.String()+"0000", "0000")
	m = &message{}
	m.line("# service=git-upload-pack")
	m.mark(flush)
	m.line("%s refs/heads/main\x00side-band-64k filter", one)
	m.line("%s refs/tags/v", one)
	m.line("%s refs/tags/v^{}", one)
	m.line("shallow %s", one)
	f.Add(m.b.String()+"0000", "0000")
	m = &message{}
	m.line("acknowledgments")
	m.line("ACK %s", one)
	m.line("ready")
	m.mark(delimiter)
	m.line("packfile")
	m.line("\x01PACK")
	f.Add("0000", m.b.String()+"0000")
	f.Fuzz(func(t *testing.T, advert, result string) {
		l := &link{host: "host", can: map[string]string{}}
		err := l.broken(t.Context(), l.advertised(newPackets(l.limit(strings.NewReader(advert), 1<<20))))
		for _, r := range l.refs {
			if !objectID(r.object) || strings.ContainsFunc(r.name, unicode.IsControl) {
				t.Fatalf("ref %+v", r)
			}
		}
		if err != nil && (fault.As(err) == nil || strings.ContainsAny(err.Error(), "\n\x1b")) {
			t.Fatalf("error %q", err)
		}
		for _, done := range []bool{false, true} {
			var a answer
			p := newPackets(strings.NewReader(result))
			if packed, err := l.head(p, request{done: done}, &a); err != nil || !packed {
				continue
			}
			n, _ := io.Copy(io.Discard, &sideband{packets: p})
			if n > int64(len(result)) {
				t.Fatalf("%d bytes out of %d", n, len(result))
			}
		}
		if r, err := parseRef(result); err == nil && !objectID(r.object) && r.object != "unborn" {
			t.Fatalf("ref %+v", r)
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://example.com/a/b.git", "http://127.0.0.1:80/a", "ssh://x", "https://[::1]:8/a", "https://a@b/c", "https://a/../b"} {
		f.Add(s)
	}
	r := &Remote{}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := r.parseAddress(s)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" || strings.Contains(u.Path, "..") || !strings.HasPrefix(u.Path, "/") {
			t.Fatalf("parsed %+v", u)
		}
		if u.Scheme != "https" && !loopback(u.Hostname()) {
			t.Fatalf("plain %s", u)
		}
	})
}

func TestHistoryOfStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"a size that is none": "commit x y\nabc\n", "too short": "commit 100 y\nabc\n", "one word": "commit\n", "no newline": "blob 3 x", "negative": "blob -5 x\n",
	} {
		if p, err := readHistory(bufio.NewReader(strings.NewReader(s))); err == nil && len(p) != 0 {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	loop := map[string][]string{"a": {"b"}, "b": {"a"}}
	if reaches(loop, "a", "c") {
		t.Error("a loop leads elsewhere")
	}
	if _, err := io.ReadAll(&bounded{inner: strings.NewReader("123456789"), left: 8, limit: 8, host: "host"}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}
