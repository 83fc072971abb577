package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// sender is one connection that posts one request after the other. It is as lean as can
// be, since it shares the machine with what is measured.
type sender struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(ctx context.Context, address string) (*sender, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host(address))
	if err != nil {
		return nil, err
	}
	return &sender{conn: conn, in: bufio.NewReader(conn)}, nil
}

func host(address string) string { return strings.TrimPrefix(address, "http://") }

func (s *sender) close() { _ = s.conn.Close() } // nothing is under way

// post sends a request and waits for the answer, which must have the status.
func (s *sender) post(request []byte, want int) error {
	if _, err := s.conn.Write(request); err != nil {
		return err
	}
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode != want {
		return fmt.Errorf("the answer is %s: %.300s", res.Status, body)
	}
	return nil
}

// mail makes the nth request of a kind; no two are the same.
type mail struct {
	address string // of the server
	status  int    // of the answer
	request func(n int64) []byte
}

// request is a POST of a body.
func request(address, path, headers string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s", path, host(address), headers, len(body), body)
}

// rows posts to the plain server what hooks posts to ours.
func (s *rowServer) mail() mail {
	return mail{s.address, http.StatusCreated, func(n int64) []byte { return request(s.address, "/", "", registryPackage(n)) }}
}

// hooks posts deliveries of GitHub at a receiver.
func (s *server) hooks(name string, secret []byte) mail {
	return mail{s.address, http.StatusAccepted, func(n int64) []byte {
		body := registryPackage(n)
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		return request(s.address, "/hooks/"+name, fmt.Sprintf("Content-Type: application/json\r\nX-GitHub-Event: registry_package\r\n"+
			"X-GitHub-Delivery: 5e0c1d2a-0000-4000-8000-%012d\r\nX-Hub-Signature-256: sha256=%s\r\n", n, hex.EncodeToString(mac.Sum(nil))), body)
	}}
}

// posts posts CloudEvents of an artifact as a CI does.
func (s *server) posts(token string) mail {
	at := time.Unix(1_700_000_000, 0)
	return mail{s.address, http.StatusAccepted, func(n int64) []byte {
		body, err := bridge.Published{
			Source: "/bench", ID: fmt.Sprint("inbox-", n), Repository: "bench", Ref: "refs/heads/main", At: at,
			Artifact: artifact.Reference{Host: "ghcr.io", Repository: "acme/bench", Tag: fmt.Sprint("nightly-", n), Digest: digest(n)},
		}.CloudEvent()
		if err != nil {
			panic(err) // texts of ours always marshal
		}
		return request(s.address, "/api/v1/events", "Content-Type: application/cloudevents+json\r\nAuthorization: Bearer "+token+"\r\n", body)
	}}
}

func digest(n int64) artifact.Digest { return artifact.DigestOf(fmt.Append(nil, n)) }

// registryPackage is a body as GitHub sends it when an image was pushed, with the fields that
// tell of the image and its repository.
func registryPackage(n int64) []byte {
	return fmt.Appendf(nil, `{"action":"published","registry_package":{"id":%d,"name":"bench","namespace":"acme","description":"",`+
		`"ecosystem":"CONTAINER","package_type":"CONTAINER","html_url":"https://github.com/acme/bench/packages/%d",`+
		`"created_at":"2026-01-05T09:12:44Z","updated_at":"2026-01-05T09:12:44Z","owner":{"login":"acme","id":1001,"type":"Organization"},`+
		`"package_version":{"id":%d,"version":"%s","summary":"","target_commitish":"main","target_oid":"%040x",`+
		`"container_metadata":{"tag":{"name":"nightly-%d","digest":"%s"}},"package_url":"ghcr.io/acme/bench:nightly-%d"},`+
		`"registry":{"name":"GitHub container registry","type":"container","url":"https://ghcr.io/acme","vendor":"GitHub Inc"}},`+
		`"repository":{"id":2002,"name":"bench","full_name":"acme/bench","private":true,"html_url":"https://github.com/acme/bench",`+
		`"clone_url":"https://github.com/acme/bench.git","ssh_url":"git@github.com:acme/bench.git","default_branch":"main"},`+
		`"sender":{"login":"octocat","id":3003,"type":"User"}}`, n, n, n, digest(n), n, n, digest(n), n)
}

// oneByOne posts count requests, each when the last one was answered.
func (b *bench) oneByOne(s *sender, m mail, next *atomic.Int64, count int) (took series, rate float64, err error) {
	start := b.now()
	for range count {
		r := m.request(next.Add(1))
		began := b.now()
		if err := s.post(r, m.status); err != nil {
			return nil, 0, err
		}
		took.add(b.since(began))
	}
	return took, float64(count) / b.since(start).Seconds(), nil
}

// atOnce posts count requests by many senders at once and returns how many were answered a second.
func (b *bench) atOnce(ctx context.Context, m mail, next *atomic.Int64, senders int, count int64) (float64, error) {
	lines := make([]*sender, senders)
	for i := range lines {
		var err error
		if lines[i], err = dial(ctx, m.address); err != nil {
			return 0, err
		}
		defer lines[i].close()
	}
	return b.together(senders, count, func(i int) error { return lines[i].post(m.request(next.Add(1)), m.status) })
}

// together calls do count times, by many workers at once, and returns how often a second.
func (b *bench) together(workers int, count int64, do func(worker int) error) (float64, error) {
	var left atomic.Int64
	left.Store(count)
	wrong := make([]error, workers)
	var all sync.WaitGroup
	start := b.now()
	for i := range workers {
		all.Go(func() {
			for wrong[i] == nil && left.Add(-1) >= 0 {
				wrong[i] = do(i)
			}
		})
	}
	all.Wait()
	return float64(count) / b.since(start).Seconds(), errors.Join(wrong...)
}
