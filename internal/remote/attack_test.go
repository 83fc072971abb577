package remote_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/remote"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	asked := func(o *remote.Options) {
		o.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
			t.Errorf("connects to %s", address)
			return nil, errors.New("no")
		}
	}
	r := newRemote(t, asked)
	for _, address := range []string{
		"", "-", "--upload-pack=touch /tmp/x", "-u://x", "shop", "../shop", "/etc", "file:///etc", "ext::sh -c id", "git@example.com:a/b.git",
		"ssh://git@example.com/a", "git://example.com/a", "ftp://example.com/a", "HTTPS://example.com/a", "https://", "https:///a", "https://example.com",
		"https://example.com/", "https://user@example.com/a", "https://user:s3cret@example.com/a", "https://example.com/a?x=1", "https://example.com/a#x",
		"https://example.com/a b", "https://example.com/a\n", "https://example.com/a\x00b", "https://example.com/../a", "https://example.com/a/../b",
		"https://example.com//a", "https://example.com/a%2fb", "https://example.com/-a", "https://-example.com/a", "https://example.com:99999999/a",
		"https://exa mple.com/a", "https://example.com\\@evil/a", "https://exämple.com/a", "https://[::1/a", "https://example.com/" + strings.Repeat("a", 600),
		"http://example.com/a", "http://10.0.0.1/a",
	} {
		_, err := r.Refs(t.Context(), address)
		wantKind(t, fmt.Sprintf("Refs(%.40q)", address), err, fault.Invalid)
		if f := fault.As(err); f != nil && (f.Hint == "" || f.Field != "repository" || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("Refs(%.40q) = %v, hint %q", address, err, f.Hint)
		}
		_, err = r.Files(t.Context(), address, strings.Repeat("1", 40), "")
		wantKind(t, fmt.Sprintf("Files(%.40q)", address), err, fault.Invalid)
	}
	for _, commit := range []string{"", "main", "--help", "HEAD", strings.Repeat("A", 40), strings.Repeat("1", 39), strings.Repeat("1", 40) + "\n"} {
		_, err := r.Commit(t.Context(), "https://example.com/a", commit)
		wantKind(t, fmt.Sprintf("Commit(%q)", commit), err, fault.NotFound)
	}
}

func TestNobodyIsAskedWhoIsNotAllowed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.push("HEAD:refs/heads/main", h.commit("first", nil)+":refs/heads/x")
	refusal := fault.New(fault.Forbidden, "this host is not for us")
	r := newRemote(t, func(o *remote.Options) {
		o.Allow = func(host string) error {
			if host != "127.0.0.1" {
				t.Errorf("asked about %q", host)
			}
			return refusal
		}
	})
	_, err := r.Refs(t.Context(), h.shop())
	if wantKind(t, "Refs", err, fault.Forbidden); h.requests() != 0 {
		t.Error("the host was asked")
	}
	// What the name resolves to is judged by the dialler, whose fault is told.
	r = newRemote(t, func(o *remote.Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, refusal }
	})
	_, err = r.Refs(t.Context(), "https://metadata.example.com/a")
	wantKind(t, "Refs", err, fault.Forbidden)
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	sha := h.commit("first", map[string]string{"a": "b"})
	h.push("main")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was followed", r.URL) }))
	t.Cleanup(elsewhere.Close)
	for to, kind := range map[string]fault.Kind{
		elsewhere.URL + "/shop.git/info/refs?service=git-upload-pack": fault.Refused,
		"http://169.254.169.254/latest/info/refs":                     fault.Refused,
		"file:///etc/passwd":                      fault.Refused,
		"/shop/info/refs?service=git-upload-pack": fault.Invalid, // for ever
		"/elsewhere":                              fault.NotFound,
	} {
		h.first(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/shop/") {
				http.Redirect(w, r, to, http.StatusFound)
				return true
			}
			if r.URL.Path == "/elsewhere" || strings.Contains(r.URL.Path, "shop.git") {
				http.NotFound(w, r)
				return true
			}
			return false
		})
		_, err := newRemote(t).Refs(t.Context(), h.shop())
		wantKind(t, "Refs redirected to "+to, err, kind)
	}
	// Within the host it is followed, and what comes after goes where it led.
	h.first(func(w http.ResponseWriter, r *http.Request) bool {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/old/"); ok {
			http.Redirect(w, r, "/shop.git/"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return true
		}
		return false
	})
	if files, err := newRemote(t).Files(t.Context(), h.url+"/old", sha, ""); err != nil || string(files["a"]) != "b" {
		t.Errorf("Files = %v, %v", files, err)
	}
	// A redirect of the second request is none that a host needs.
	h.first(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	if _, err := newRemote(t).Refs(t.Context(), h.shop()); err == nil {
		t.Error("a POST was redirected")
	}
}

func TestThrottledHost(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status      int
		after, date string
		want        time.Duration
	}{
		"seconds":        {429, "30", "", 30 * time.Second},
		"a date":         {429, now.Add(time.Minute).Format(http.TimeFormat), now.Format(http.TimeFormat), time.Minute},
		"nothing":        {429, "", "", 0},
		"out of service": {503, "5", "", 5 * time.Second},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", row.after)
			if row.date != "" {
				w.Header().Set("Date", row.date)
			}
			w.WriteHeader(row.status)
		}))
		t.Cleanup(s.Close)
		_, err := newRemote(t).Refs(t.Context(), s.URL+"/a")
		wantKind(t, name, err, fault.Unavailable)
		var wait bridge.Throttled
		if !errors.As(err, &wait) || wait.After != row.want {
			t.Errorf("%s: %v asks to wait %s, want %s", name, err, wait.After, row.want)
		}
	}
}

func TestHostileRepository(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"version 2", "without filter"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			versions[name](h)
			if err := os.MkdirAll(filepath.Join(h.work, "env"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", filepath.Join(h.work, "env", "link.yaml")); err != nil {
				t.Fatal(err)
			}
			files := map[string]string{
				"root": "r", "env/a.yaml": "a", "env/odd\n[name]\t*": "odd", "env/sub/x": "x", "env/.gitattributes": "* filter=evil export-ignore\n",
				"big/x": strings.Repeat("x", bridge.MaxFile+1), "limit/x": strings.Repeat("x", bridge.MaxFile), "links/sub/x": "",
				"huge/x": strings.Repeat("y", 20<<20), "none/sub/x": "",
			}
			for i := range 10_000 {
				files[fmt.Sprintf("many/%d", i)] = "x"
			}
			sha := h.commit("first", files)
			h.run(h.work, "update-index", "--add", "--cacheinfo", "160000,"+sha+",env/module")
			h.run(h.work, "commit", "-q", "-m", "a submodule")
			sha = h.run(h.work, "rev-parse", "HEAD")
			h.push("main")
			r := newRemote(t)
			got, err := r.Files(t.Context(), h.shop(), sha, "env")
			if err != nil || len(got) != 3 || string(got["a.yaml"]) != "a" || string(got["odd\n[name]\t*"]) != "odd" {
				t.Errorf("Files = %q, %v", got, err)
			}
			if got, err := r.Files(t.Context(), h.shop(), sha, "limit"); err != nil || len(got["x"]) != bridge.MaxFile {
				t.Errorf("Files at the limit = %v", err)
			}
			if got, err := r.Files(t.Context(), h.shop(), sha, "none"); err != nil || len(got) != 0 {
				t.Errorf("Files of directories = %v, %v", got, err)
			}
			for where, kind := range map[string]fault.Kind{
				"big": fault.TooLarge, "huge": fault.TooLarge, "many": fault.TooLarge, "missing": fault.NotFound, "root": fault.NotFound,
				"env/link.yaml": fault.NotFound, "env/module": fault.NotFound, "..": fault.NotFound, "/etc": fault.NotFound, "env/": fault.NotFound, "-l": fault.NotFound,
			} {
				_, err := r.Files(t.Context(), h.shop(), sha, where)
				wantKind(t, fmt.Sprintf("Files of %q", where), err, kind)
			}
			small := newRemote(t, func(o *remote.Options) { o.MaxFetch = 4 << 10 })
			_, err = small.Commit(t.Context(), h.shop(), sha)
			wantKind(t, "Commit over the limit", err, fault.TooLarge)
		})
	}
}

// speaker is a host that says what a test wants in version 2.
func speaker(t *testing.T, advert, result string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, body := "advertisement", advert
		if r.Method == http.MethodPost {
			kind, body = "result", result
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/a.git"
}

func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

var (
	two  = pkt("# service=git-upload-pack\n") + "0000" + pkt("version 2\n") + pkt("ls-refs=unborn\n") + pkt("fetch=shallow filter\n") + "0000"
	ones = strings.Repeat("1", 40)
)

func TestHostileHosts(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		advert, result string
		kind           fault.Kind
	}{
		"nothing":               {"", "", fault.Unavailable},
		"HTML":                  {"<html>", "", fault.Unavailable},
		"a packet without end":  {"fff0abc", "", fault.Unavailable},
		"a packet too long":     {"ffff" + strings.Repeat("a", 70000), "", fault.Unavailable},
		"abilities without end": {pkt("version 2\n"), "", fault.Unavailable},
		"abilities by the thousand": {pkt("version 2\n") + func() string {
			var b strings.Builder
			for i := range 1000 {
				b.WriteString(pkt(fmt.Sprint("x", i)))
			}
			return b.String() + "0000"
		}(), "", fault.Unavailable},
		"an error with an escape":    {pkt("ERR \x1b[31mno\nno\n"), "", fault.Unavailable},
		"no answer":                  {two, "", fault.Unavailable},
		"a ref without end":          {two, "00ff" + ones, fault.Unavailable},
		"a ref that names no object": {two, pkt("../../x refs/heads/main\n") + "0000", fault.Unavailable},
		"a tag that names no object": {two, pkt(ones+" refs/tags/v peeled:../x\n") + "0000", fault.Unavailable},
		"refs without end":           {two, strings.Repeat(pkt(ones+" refs/heads/main\n"), 100_001), fault.TooLarge},
		"old refs without end":       {strings.Repeat(pkt(ones+" refs/heads/main\n"), 100_001), "", fault.TooLarge},
		"old refs, malformed":        {pkt("x refs/heads/main\x00 multi_ack\n") + "0000", "", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newRemote(t).Refs(t.Context(), speaker(t, row.advert, row.result))
			wantKind(t, "Refs", err, row.kind)
		})
	}
	result := ""
	for _, name := range []string{"main", "with\nnewline", "with\x1b[31mcolour", "../x", "a..b", "with space", "", "ünï", "bad\xff", "a\u202eb", strings.Repeat("x", 300)} {
		result += pkt(ones + " refs/heads/" + name + "\n")
	}
	result += pkt(ones+" HEAD symref-target:refs/heads/main\n") + pkt(ones+" refs/pull/1/head\n") + pkt("unborn HEAD\n") + "0000"
	refs, err := newRemote(t).Refs(t.Context(), speaker(t, two, result))
	if err != nil || len(refs) != 3 || refs["refs/heads/main"] != ones || refs["refs/heads/ünï"] != ones || refs["refs/heads/with"] != ones {
		t.Errorf("Refs = %q, %v, want main, with and ünï", refs, err)
	}
}

// packOf is a pack of one object.
func packOf(kind byte, size int, compressed []byte) string {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, []uint32{2, 1})
	c := kind<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b.WriteByte(c | 0x80)
		c = byte(size & 0x7f)
	}
	b.WriteByte(c)
	b.Write(compressed)
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	return b.String()
}

func deflate(t *testing.T, from io.Reader, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, from, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// inBand is an answer with a pack.
func inBand(pack string) string {
	s := pkt("packfile\n")
	for len(pack) > 0 {
		n := min(len(pack), 60000)
		s += pkt("\x01" + pack[:n])
		pack = pack[n:]
	}
	return s + "0000"
}

func TestHostilePacks(t *testing.T) {
	t.Parallel()
	other := []byte("tree " + ones + "\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nother\n")
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(other)
	_ = w.Close()
	sum := sha1.Sum(append(fmt.Appendf(nil, "commit %d\x00", len(other)), other...))
	good := packOf(1, len(other), z.Bytes())
	for name, row := range map[string]struct {
		result string
		want   string
		kind   fault.Kind
	}{
		"what was asked for":            {inBand(good), hex.EncodeToString(sum[:]), ""},
		"another commit than asked for": {inBand(good), ones, fault.NotFound},
		"no pack":                       {"0000", ones, fault.Unavailable},
		"an empty pack":                 {inBand(""), ones, fault.Invalid},
		"no pack at all":                {inBand("nonsense"), ones, fault.Invalid},
		"a pack that breaks off":        {inBand(good[:len(good)-30]), ones, fault.Invalid},
		"a pack whose band breaks off":  {strings.TrimSuffix(inBand(good), "0000"), ones, fault.Unavailable},
		"an error in the band":          {pkt("packfile\n") + pkt("\x03out of \x1bmemory\n"), ones, fault.Unavailable},
		"not our ref":                   {pkt("ERR upload-pack: not our ref " + ones), ones, fault.NotFound},
		"an unknown section":            {pkt("packfile-uris\n") + pkt("x https://evil.invalid/x.pack\n") + "0000", ones, fault.Unavailable},
		"an empty packet":               {pkt("packfile\n") + "0004", ones, fault.Unavailable},
		"a commit of 256 MiB":           {inBand(packOf(1, 1<<28, deflate(t, zeros{}, 1<<28))), ones, fault.Invalid},
		"a tree that says a terabyte":   {inBand(packOf(2, 1<<40, deflate(t, zeros{}, 10))), ones, fault.Invalid},
		"more than is read":             {inBand(packOf(3, 3<<20, deflate(t, rand.NewChaCha8([32]byte{}), 3<<20))), ones, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := newRemote(t, func(o *remote.Options) { o.Dir, o.MaxFetch = dir, 2<<20 })
			c, err := r.Commit(t.Context(), speaker(t, two, row.result), row.want)
			if row.kind == "" {
				if err != nil || c.Subject != "other" {
					t.Errorf("Commit = %+v, %v", c, err)
				}
				return
			}
			wantKind(t, "Commit", err, row.kind)
			left, _ := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "tmp_*"))
			if len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestSlowHost: a call that is given up, or takes too long, ends with its git process.
func TestSlowHost(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	var posts atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, two)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, pkt("packfile\n")+pkt("\x01PACK"))
		_ = http.NewResponseController(w).Flush()
		if posts.Add(1) == 1 {
			close(arrived)
		}
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := newRemote(t).Commit(ctx, s.URL+"/a.git", ones)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Commit that was given up = %v", err)
	}
	r := newRemote(t, func(o *remote.Options) { o.Timeout = 50 * time.Millisecond })
	_, err = r.Commit(t.Context(), s.URL+"/a.git", ones)
	wantKind(t, "Commit that takes too long", err, fault.Unavailable)
	s.CloseClientConnections()
}

// TestNothingRuns: hooks and configuration that a repository's owner would like to see run.
func TestNothingRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	marker := filepath.Join(t.TempDir(), "ran")
	script := "#!/bin/sh\ntouch " + marker + "\n"
	sha := h.commit("first", map[string]string{
		"config": "[core]\n\tfsmonitor = touch " + marker + "\n", "hooks/post-checkout": script, "HEAD": "ref: refs/heads/main",
		".gitattributes": "* filter=evil diff=evil\n", ".gitmodules": "[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n\tupdate = !touch " + marker + "\n",
	})
	h.push("main")
	r := newRemote(t)
	if files, err := r.Files(t.Context(), h.shop(), sha, ""); err != nil || len(files) != 4 {
		t.Errorf("Files = %v, %v", files, err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("something of the repository ran")
	}
}
