package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/webhook"
)

// office is documents and secrets in memory, and an inbox.
type office struct {
	docs    map[string][]byte
	secrets map[string][][]byte
	until   map[string]time.Time // of each secret but the newest
	kept    []bridge.Message
	down    error
}

func (o *office) Newest(_ context.Context, kind, name string) ([]byte, int64, error) {
	body, ok := o.docs[kind+"/"+name]
	if !ok {
		return nil, 0, o.down
	}
	return body, 1, o.down
}

func (o *office) PutDocument(_ context.Context, _, kind, name string, body []byte, was int64) (int64, error) {
	o.docs[kind+"/"+name] = body
	return was + 1, nil
}

func (o *office) DropDocument(_ context.Context, _, kind, name string) error {
	o.docs[kind+"/"+name] = nil
	return nil
}

func (o *office) PutReceiverSecret(_ context.Context, _, name string, sealed []byte, keepOld time.Time) error {
	for _, s := range o.secrets[name] {
		o.until[string(s)] = keepOld
	}
	o.secrets[name] = append([][]byte{sealed}, o.secrets[name]...)
	return nil
}

func (o *office) ReceiverSecrets(_ context.Context, name string, now time.Time) ([][]byte, error) {
	return slices.DeleteFunc(slices.Clone(o.secrets[name]), func(s []byte) bool {
		until, old := o.until[string(s)]
		return old && !now.Before(until)
	}), nil
}

func (o *office) Receive(_ context.Context, m bridge.Message) ([]bridge.Event, bool, error) {
	if len(m.Facts) == 0 && m.Wrong == "" {
		return nil, false, nil
	}
	fresh := !slices.ContainsFunc(o.kept, func(k bridge.Message) bool { return k.Receiver == m.Receiver && k.Sender == m.Sender && k.Key == m.Key })
	o.kept = append(o.kept, m)
	return make([]bridge.Event, max(len(m.Facts), 1)), fresh, nil
}

// seal is no secret at all, but bound to its name.
type seal struct{}

func (seal) Seal(name string, secret []byte) []byte { return []byte(name + "|" + string(secret)) }

func (seal) Open(name string, sealed []byte) ([]byte, error) {
	secret, ok := strings.CutPrefix(string(sealed), name+"|")
	if !ok {
		return nil, errors.New("sealed for another")
	}
	return []byte(secret), nil
}

type reception struct {
	*office
	now  time.Time
	desk *webhook.Desk
	door *webhook.Door
}

func newReception() *reception {
	r := &reception{office: &office{docs: map[string][]byte{}, secrets: map[string][][]byte{}, until: map[string]time.Time{}}, now: time.Unix(1e9, 0)}
	now := func() time.Time { return r.now }
	r.desk = &webhook.Desk{Documents: r.office, Secret: r.office, Seal: seal{}, Now: now}
	r.door = &webhook.Door{Receivers: r.desk, Inbox: r.office, URL: "https://cd.example.com", Now: now}
	return r
}

func receiver(name, kind, rest string) []byte {
	return []byte("apiVersion: drawbridge/v1\nkind: Receiver\nname: " + name + "\ntype: " + kind + "\napplications: [shop]\n" + rest)
}

func (r *reception) apply(t *testing.T, src []byte) webhook.Made {
	t.Helper()
	m, err := r.desk.Apply(t.Context(), "ops", "r.yaml", src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// github is a push as GitHub posts it.
func github(secret, id, body string) webhook.Request {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	h := http.Header{}
	h.Set("X-GitHub-Event", "push")
	h.Set("X-GitHub-Delivery", id)
	h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	return webhook.Request{Header: h, Body: []byte(body)}
}

const push = `{"ref":"refs/heads/main","after":"` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `","repository":{"clone_url":"https://github.com/acme/shop.git","full_name":"acme/shop"}}`

func TestDeliver(t *testing.T) {
	t.Parallel()
	r := newReception()
	secret := r.apply(t, receiver("gh", "github", "")).Secret
	if len(secret) < 32 {
		t.Fatalf("secret %q", secret)
	}
	got, err := r.door.Deliver(t.Context(), "gh", github(secret, "1", push))
	if err != nil || !got.Fresh || len(got.Events) != 1 {
		t.Fatalf("Deliver = %+v, %v", got, err)
	}
	m := r.kept[0]
	if m.Receiver != "gh" || m.Sender != "gh" || m.Key != "1" || !slices.Equal(m.Applications, []string{"shop"}) || string(m.Body) != push || len(m.Facts) != 1 {
		t.Errorf("kept %+v", m)
	}
	for k, v := range m.Headers {
		if strings.Contains(k, "signature") || strings.Contains(v, secret) {
			t.Errorf("the header %s: %s is kept", k, v)
		}
	}
	if again, err := r.door.Deliver(t.Context(), "gh", github(secret, "1", push)); err != nil || again.Fresh {
		t.Errorf("a repetition = %+v, %v", again, err)
	}
	dead, err := r.door.Deliver(t.Context(), "gh", github(secret, "2", `{"ref":`))
	if err != nil || len(dead.Events) != 1 || r.kept[2].Wrong == "" || len(r.kept[2].Facts) != 0 {
		t.Errorf("an authentic delivery that is broken = %+v, %v: it must be kept", dead, err)
	}
	ping := github(secret, "3", `{"zen":"x","hook":{}}`)
	ping.Header.Set("X-GitHub-Event", "ping")
	if nothing, err := r.door.Deliver(t.Context(), "gh", ping); err != nil || len(nothing.Events) != 0 {
		t.Errorf("a ping = %+v, %v", nothing, err)
	}
	facts, err := r.door.Reread(t.Context(), "gh", bridge.Raw{Headers: m.Headers, Body: m.Body})
	if err != nil || len(facts) != 1 || facts[0].Git.Repository != m.Facts[0].Git.Repository {
		t.Errorf("Reread = %+v, %v", facts, err)
	}
}

// Strangers learn nothing: not whether the receiver is there, not what is wrong.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := newReception()
	secret := r.apply(t, receiver("gh", "github", "")).Secret
	other := r.apply(t, receiver("team-b", "github", "")).Secret
	changed := github(secret, "1", push)
	changed.Body = []byte(strings.Replace(push, "main", "evil", 1))
	said := map[string]bool{}
	for name, try := range map[string]struct {
		at string
		r  webhook.Request
	}{
		"no such receiver":      {"nope", github(secret, "1", push)},
		"wrong secret":          {"gh", github("wrong", "1", push)},
		"another team's secret": {"gh", github(other, "1", push)},
		"changed body":          {"gh", changed},
		"no signature":          {"gh", webhook.Request{Header: http.Header{"X-Github-Event": {"push"}}, Body: []byte(push)}},
		"secret in the path":    {"gh", webhook.Request{Header: http.Header{}, Path: secret, Body: []byte(push)}},
		"odd name":              {"../gh", github(secret, "1", push)},
	} {
		_, err := r.door.Deliver(t.Context(), try.at, try.r)
		if !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said[err.Error()+fault.As(err).Hint] = true
	}
	if len(said) != 1 || len(r.kept) != 0 {
		t.Errorf("strangers were told %v; %d deliveries kept", said, len(r.kept))
	}
	r.down = errors.New("the database is away")
	r.now = r.now.Add(2 * time.Second) // what was read before is remembered for one
	if _, err := r.door.Deliver(t.Context(), "gh", github(secret, "1", push)); fault.Is(err, fault.Unauthenticated) || err == nil {
		t.Errorf("while the database is away: %v; the sender must try again", err)
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	r := newReception()
	first := r.apply(t, receiver("gh", "github", "")).Secret
	if again := r.apply(t, receiver("gh", "github", "host: x\n")); again.Secret != "" || !again.Changed {
		t.Errorf("applied again = %+v: the secret stays", again)
	}
	m, err := r.desk.Rotate(t.Context(), "ops", "gh", nil)
	if err != nil || m.Secret == "" || m.Secret == first {
		t.Fatalf("Rotate = %+v, %v", m, err)
	}
	deliver := func(secret string) error {
		_, err := r.door.Deliver(t.Context(), "gh", github(secret, "x", push))
		return err
	}
	if err := errors.Join(deliver(first), deliver(m.Secret)); err != nil {
		t.Errorf("right after the rotation both count: %v", err)
	}
	r.now = r.now.Add(25 * time.Hour)
	if err := deliver(first); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a day later the old secret gives %v", err)
	}
	if err := deliver(m.Secret); err != nil {
		t.Error(err)
	}
	if err := r.desk.Remove(t.Context(), "ops", "gh"); err != nil {
		t.Fatal(err)
	}
	if err := deliver(m.Secret); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a removed receiver takes deliveries: %v", err)
	}
	if _, err := r.desk.Rotate(t.Context(), "ops", "gh", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("Rotate of a removed receiver = %v", err)
	}
}

func TestSecretsByKind(t *testing.T) {
	t.Parallel()
	for _, s := range webhook.Senders() {
		r := newReception()
		m := r.apply(t, receiver("r", s.Name, ""))
		if s.Secret == webhook.SecretToken {
			if m.Secret != "" {
				t.Errorf("%s: a secret %q that nobody asks for", s.Name, m.Secret)
			}
			continue
		}
		if err := s.CheckSecret([]byte(m.Secret)); err != nil {
			t.Errorf("%s: the secret that was made does not serve: %v", s.Name, err)
		}
		if _, err := r.desk.Apply(t.Context(), "ops", "r.yaml", receiver("r", s.Name, ""), []byte("short")); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: a short secret gives %v", s.Name, err)
		}
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	r := newReception()
	h := http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
	one := func(id string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"/x","type":"com.example.thing","data":{"a":1}}`
	}
	got, err := r.door.Post(t.Context(), "robot", []string{"shop"}, webhook.Request{Header: h, Body: []byte("[" + one("1") + "," + one("2") + "]")})
	if err != nil || len(got.Events) != 2 || !got.Fresh {
		t.Fatalf("Post = %+v, %v", got, err)
	}
	m := r.kept[0]
	if m.Receiver != bridge.DoorAPI || m.Sender != "robot" || m.Key != "/x 1 for shop" || !slices.Equal(m.Applications, []string{"shop"}) || string(m.Body) != `{"a":1}` {
		t.Errorf("kept %+v", m)
	}
	moved, err := bridge.Moved{Source: "/git", ID: "m", Repository: "shop", Ref: "refs/tags/v1", Old: strings.Repeat("0", 40), New: strings.Repeat("a", 40), Pusher: "alice", At: r.now}.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.door.Post(t.Context(), "ci", nil, webhook.Request{Header: http.Header{"Content-Type": {"application/cloudevents+json"}}, Body: moved}); err != nil {
		t.Fatal(err)
	}
	if f := r.kept[2].Facts[0]; f.Kind != bridge.KindRelease || f.Git.Repository != "shop" || f.Git.Ref != "refs/tags/v1" || f.Actor != "alice" {
		t.Errorf("a moved tag is the fact %+v", f)
	}
	for _, body := range []string{"", "{}", "[", `[{"specversion":"0.3"}]`} {
		if _, err := r.door.Post(t.Context(), "robot", nil, webhook.Request{Header: h, Body: []byte(body)}); !fault.Is(err, fault.Invalid) {
			t.Errorf("Post(%q) = %v, want invalid", body, err)
		}
	}
}

// One rule for workloads may be for several applications: what one of them was told does not
// keep the same from another.
func TestPostOfEachScope(t *testing.T) {
	t.Parallel()
	r := newReception()
	h := http.Header{"Content-Type": {"application/cloudevents+json"}}
	body := []byte(`{"specversion":"1.0","id":"1","source":"/x","type":"com.example.thing"}`)
	for _, application := range []string{"shop", "api"} {
		for _, fresh := range []bool{true, false} {
			got, err := r.door.Post(t.Context(), "workload:acme", []string{application}, webhook.Request{Header: h, Body: body})
			if err != nil || got.Fresh != fresh {
				t.Errorf("for %s: fresh %v, %v; want %v", application, got.Fresh, err, fresh)
			}
		}
	}
}

// A batch with a malformed event is refused as a whole: nothing of it is kept.
func TestPostAllOrNothing(t *testing.T) {
	t.Parallel()
	r := newReception()
	h := http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
	body := `[{"specversion":"1.0","id":"1","source":"/x","type":"a.b"},
		{"specversion":"1.0","id":"2","source":"/x","type":"dev.cdevents.artifact.published.0.3.0","data":{"subject":{"id":"pkg:oci/"}}}]`
	if _, err := r.door.Post(t.Context(), "ci", nil, webhook.Request{Header: h, Body: []byte(body)}); !fault.Is(err, fault.Invalid) || len(r.kept) != 0 {
		t.Errorf("Post = %v, and %d are kept", err, len(r.kept))
	}
}
