package process_test

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/target/process"
	"drawbridge/internal/target/targettest"
)

// deployed is an environment with one good version of all the traffic.
func deployed(t testing.TB, b *bench, versions ...cd.Version) cd.Actual {
	t.Helper()
	a, err := b.target.Apply(t.Context(), targettest.Key(1), targettest.Desired("", versions...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// version is a version of the service, for tests and benchmarks.
func (b *bench) version(t testing.TB, name string, behaviour targettest.Behaviour, weight int) cd.Version {
	return cd.Version{
		Release: "release-" + name, Name: name, Image: b.images.Service(t, name, behaviour), Weight: weight,
		Spec: cd.TargetSpec{Process: &cd.ProcessSpec{Health: &cd.HealthSpec{HTTP: "/healthz", Interval: cd.Duration(20 * time.Millisecond), Timeout: cd.Duration(10 * time.Second), Failures: 2}}},
	}
}

func (b *bench) figures(t testing.TB, release string) cd.Figures {
	t.Helper()
	return b.actual(t, release).Figures
}

func (b *bench) actual(t testing.TB, release string) cd.ActualVersion {
	t.Helper()
	a, err := b.target.Observe(t.Context(), targettest.Environment())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range a.Versions {
		if v.Release == release {
			return v
		}
	}
	t.Fatalf("%s does not run: %+v", release, a)
	return cd.ActualVersion{}
}

// reply is an answer whose body is still coming; it is closed after the test.
type reply struct {
	status int
	header http.Header
	body   io.Reader
}

func send(t *testing.T, method, url string, body io.Reader, header http.Header) (reply, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return reply{res.StatusCode, res.Header, res.Body}, nil
}

func mustSend(t *testing.T, method, url string, body io.Reader, header http.Header) (reply, string) {
	t.Helper()
	res, err := send(t, method, url, body, header)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// say writes text to a connection.
func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func TestProxyPassesRequestsAsTheyCame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	res, body := mustSend(t, http.MethodGet, "http://"+a.Address+"/headers?a=1;b=%zz", nil, http.Header{
		"X-Forwarded-For":   {"6.6.6.6"},
		"X-Forwarded-Proto": {"https"},
		"X-Custom":          {"kept"},
	})
	for _, want := range []string{"Host: " + a.Address, "RequestURI: /headers?a=1;b=%zz", "X-Custom: kept", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http\r", "X-Forwarded-Host: " + a.Address} {
		if !strings.Contains(body, want) {
			t.Errorf("the version did not get %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "6.6.6.6") {
		t.Errorf("a client's own X-Forwarded-For came through:\n%s", body)
	}
	if res.header.Get("X-Drawbridge-Release") != "release-1.0.0" || res.header.Get("X-Drawbridge-Version") != "1.0.0" {
		t.Errorf("the answer does not name its version: %v", res.header)
	}
	if res, _ := mustSend(t, http.MethodPost, "http://"+a.Address+"/status/418", strings.NewReader("x"), nil); res.status != 418 {
		t.Errorf("status 418 came through as %d", res.status)
	}
}

func TestProxyStreams(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	body, feed := io.Pipe()
	got := make(chan reply, 1)
	go func() {
		res, err := send(t, http.MethodPost, "http://"+a.Address+"/echo", body, nil)
		if err != nil {
			t.Errorf("POST /echo gave the error %v", err)
		}
		got <- res
	}()
	if _, err := feed.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	res := <-got // the header comes while the request is still being sent
	lines := bufio.NewReader(res.body)
	for i, want := range []string{"one\n", "two\n", "three\n"} {
		if i > 0 {
			if _, err := feed.Write([]byte(want)); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := lines.ReadString('\n'); line != want {
			t.Fatalf("piece %d came as %q, %v; want %q before the next is sent", i, line, err, want)
		}
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestProxyPassesUpgrades(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	conn, err := net.Dial("tcp", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say(t, conn, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade got %v, %v; want 101", res, err)
	}
	_ = res.Body.Close()
	for _, want := range []string{"hello\n", "again\n"} {
		say(t, conn, want)
		if line, err := r.ReadString('\n'); line != want {
			t.Fatalf("after the upgrade %q came back, %v; want %q", line, err, want)
		}
	}
}

func TestProxyCountsWhatTheVersionDidWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *process.Config) { c.MaxBody = 10 })
	v := b.version(t, "1.0.0", targettest.Good, 100)
	a := deployed(t, b, v)
	url := "http://" + a.Address
	rows := []struct {
		name             string
		do               func()
		requests, errors int64
	}{
		{"status 200", func() { mustSend(t, "GET", url+"/", nil, nil) }, 1, 0},
		{"status 404", func() { mustSend(t, "GET", url+"/nothing", nil, nil) }, 1, 0},
		{"status 500", func() { mustSend(t, "GET", url+"/status/500", nil, nil) }, 1, 1},
		{"status 503", func() { mustSend(t, "GET", url+"/status/503", nil, nil) }, 1, 1},
		{"an answer that breaks off", func() {
			res, err := send(t, "POST", url+"/break", nil, nil) // a client may repeat a GET
			if err == nil {
				_, err = io.ReadAll(res.body)
			}
			if err == nil {
				t.Error("half an answer looked whole to the client")
			}
		}, 1, 1},
		{"a body over the limit, announced", func() {
			if res, _ := mustSend(t, "POST", url+"/wait", strings.NewReader("01234567890"), nil); res.status != 413 {
				t.Errorf("a body over the limit got %d, want 413", res.status)
			}
		}, 0, 0},
		{"a body over the limit, in chunks", func() {
			if res, _ := mustSend(t, "POST", url+"/wait", io.MultiReader(strings.NewReader("01234"), strings.NewReader("567890")), nil); res.status != 413 {
				t.Errorf("a body over the limit got %d, want 413", res.status)
			}
		}, 1, 0},
		{"a malformed body", func() {
			raw(t, a.Address, "POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "HTTP/1.1 400")
		}, 1, 0},
		{"CONNECT", func() { raw(t, a.Address, "CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n", "HTTP/1.1 405") }, 0, 0},
		{"a header over the limit", func() {
			raw(t, a.Address, "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 80<<10)+"\r\n\r\n", "HTTP/1.1 431")
		}, 0, 0},
	}
	for _, row := range rows {
		before := b.figures(t, v.Release)
		row.do()
		after := b.figures(t, v.Release)
		if n, e := after.Requests-before.Requests, after.Errors-before.Errors; n != row.requests || e != row.errors {
			t.Errorf("%s counted %d requests and %d errors, want %d and %d", row.name, n, e, row.requests, row.errors)
		}
	}
}

// raw sends text and wants the answer to begin with want.
func raw(t *testing.T, address, text, want string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(line, want) {
		t.Errorf("the answer begins with %q, %v; want %q", line, err, want)
	}
}

func TestProxyDoesNotBlameTheVersionForAClientThatLeaves(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	a := deployed(t, b, v)
	conn, err := net.Dial("tcp", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say(t, conn, "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	asked := int64(0)
	waiting := func(want string) func() bool {
		return func() bool {
			asked++
			_, got := targettest.Get(t, a.Address, "/waiting")
			return got == want
		}
	}
	targettest.Eventually(t, "the version has the request", waiting("1"))
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	targettest.Eventually(t, "the version lost the request", waiting("0"))
	targettest.Eventually(t, "the request is counted", func() bool { return b.figures(t, v.Release).Requests == asked+1 })
	if n := b.figures(t, v.Release).Errors; n != 0 {
		t.Errorf("%d errors counted, want 0", n)
	}
}

// hold begins a request that its version answers once end is called.
func hold(t *testing.T, a cd.Actual) (res reply, end func()) {
	t.Helper()
	body, feed := io.Pipe()
	end = func() { _ = feed.Close() }
	t.Cleanup(end)
	res, err := send(t, http.MethodPost, "http://"+a.Address+"/hold", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, end
}

func TestReplacedVersionFinishesItsRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	res, end := hold(t, a)
	applied := make(chan error, 1)
	two := b.version(t, "1.1.0", targettest.Good, 100)
	go func() {
		_, err := b.target.Apply(t.Context(), targettest.Key(2), targettest.Desired(a.Address, two))
		applied <- err
	}()
	targettest.Eventually(t, "the new version answers", func() bool {
		_, text := targettest.Get(t, a.Address, "/")
		return strings.HasPrefix(text, "1.1.0 ")
	})
	if n := b.launcher.Live(); n != 2 {
		t.Errorf("%d instances run while the old version still answers a request, want 2", n)
	}
	select {
	case err := <-applied:
		t.Fatalf("Apply returned %v before the old version was drained", err)
	default:
	}
	end()
	text, err := io.ReadAll(res.body)
	if got := res.header.Get("X-Drawbridge-Version") + " " + string(text); err != nil || got != "1.0.0 held" {
		t.Errorf("the request in flight got %q, %v; want the old version's whole answer", got, err)
	}
	if err := <-applied; err != nil {
		t.Error(err)
	}
	if n := b.launcher.Live(); n != 1 {
		t.Errorf("%d instances run after the drain, want 1", n)
	}
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *process.Config) { c.DrainTimeout = 50 * time.Millisecond })
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	res, _ := hold(t, a)
	targettest.Apply(t, b.target, 2, targettest.Desired(a.Address))
	if text, err := io.ReadAll(res.body); err == nil {
		t.Errorf("a request that held the version for ever got %q", text)
	}
}

func TestAnAnswerDoesNotWaitForTheRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Good, 100))
	targettest.Apply(t, b.target, 2, targettest.Desired(a.Address))
	body, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	res, err := send(t, http.MethodPost, "http://"+a.Address+"/", body, nil)
	if err != nil || res.status != http.StatusServiceUnavailable {
		t.Errorf("the answer is %v, %v; want 503", res, err)
	}
}

func TestNoRequestIsLostWhileWeightsAndVersionsChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.version(t, "1.0.0", targettest.Good, 100), b.version(t, "1.1.0", targettest.Good, 0)
	a := deployed(t, b, one, two)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var stop atomic.Bool
	var sent, bad atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				sent.Add(1)
				res, err := client.Post("http://"+a.Address+"/echo", "text/plain", strings.NewReader("ping"))
				if err != nil {
					bad.Add(1)
					t.Errorf("a request was lost: %v", err)
					continue
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != 200 || string(text) != "ping" {
					bad.Add(1)
					t.Errorf("a request was lost: %d %q %v", res.StatusCode, text, err)
				}
			}
		})
	}
	for i := range 1000 {
		x, y := one, two
		x.Weight, y.Weight = 100-i%101, i%101
		d := targettest.Desired(a.Address, x, y)
		switch i % 100 {
		case 50: // take one away
			x.Weight = 100
			d.Versions = []cd.Version{x}
		case 75:
			y.Weight = 100
			d.Versions = []cd.Version{y}
		}
		targettest.Apply(t, b.target, i, d)
		if bad.Load() > 0 {
			break
		}
	}
	stop.Store(true)
	load.Wait()
	t.Logf("%d requests during 1,000 changes, %d lost", sent.Load(), bad.Load())
}
