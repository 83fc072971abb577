package webhook_test

import (
	"net/http"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/webhook"
)

// FuzzRead posts anything to every sender: a fault or valid facts, never a panic.
func FuzzRead(f *testing.F) {
	names := webhook.Senders()
	index := map[string]uint8{}
	for i, s := range names {
		index[s.Name] = uint8(i)
	}
	headers := []string{"X-GitHub-Event", "X-Gitea-Event", "X-Forgejo-Event", "X-Event-Key", "X-Nexus-Webhook-Id"}
	for _, x := range fixtures(f) {
		event := ""
		for _, h := range headers {
			if v := x.Headers[h]; v != "" {
				event = v
			}
		}
		f.Add(index[x.sender.Name], event, x.Headers["Content-Type"], []byte(x.Body), x.Host)
	}
	f.Fuzz(func(t *testing.T, i uint8, event, contentType string, body []byte, host string) {
		s := names[int(i)%len(names)]
		r := webhook.Request{Header: http.Header{}, Body: body}
		for _, h := range headers {
			r.Header.Set(h, event)
		}
		r.Header.Set("Content-Type", contentType)
		if k := s.Key(r); k == "" || len(k) > 256 {
			t.Errorf("key %q", k)
		}
		s.Handshake(r)
		facts, err := s.Read(r, webhook.Options{Host: host})
		if err != nil {
			if fault.As(err) == nil || facts != nil {
				t.Errorf("%s: %v, %v", s.Name, facts, err)
			}
			return
		}
		if len(facts) > bridge.MaxFacts {
			t.Errorf("%s: %d facts", s.Name, len(facts))
		}
		for _, fact := range facts {
			valid(t, s.Name, fact)
		}
	})
}

// FuzzAuthenticate shows anything to every sender: nothing passes that was not signed.
func FuzzAuthenticate(f *testing.F) {
	ways := ways()
	for i, w := range ways {
		r := w.request(secret)
		f.Add(uint8(i), r.Header.Get(w.header), r.Path)
	}
	f.Fuzz(func(t *testing.T, i uint8, value, path string) {
		w := ways[int(i)%len(ways)]
		r := w.request([]byte("a guess of thirty-two bytes length"))
		if r.Path = path; w.header != "" {
			r.Header[w.header] = []string{value}
		}
		strange := webhook.Check{Secrets: [][]byte{[]byte("nobody ever saw this secret, not even the corpus")}, Now: now}
		if err := find(t, w.sender).Authenticate(t.Context(), r, strange); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s takes %q, %q: %v", w.sender, value, path, err)
		}
	})
}

// FuzzCloudEvents reads what ParsePublished reads, and the same in it.
func FuzzCloudEvents(f *testing.F) {
	for _, x := range fixtures(f) {
		if x.sender.Name == "cloudevents" {
			f.Add(x.Headers["Content-Type"], []byte(x.Body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		events, err := webhook.CloudEvents(http.Header{"Content-Type": {contentType}}, body)
		if err != nil && fault.As(err) == nil || len(events) > bridge.MaxFacts {
			t.Fatalf("%d events, %v", len(events), err)
		}
		for _, e := range events {
			fact, err := e.Fact()
			if err != nil {
				if fault.As(err) == nil {
					t.Fatal(err)
				}
				continue
			}
			valid(t, "cloudevents", fact)
		}
		if p, err := bridge.ParsePublished(body); err == nil && len(events) == 1 {
			if fact, err := events[0].Fact(); err == nil && fact.Artifact != p.Artifact {
				t.Errorf("fact %v, ParsePublished %v", fact.Artifact, p.Artifact)
			}
		}
	})
}
