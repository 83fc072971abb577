package api_test

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// parsers read the files of each kind as the server does.
func parsers() map[string]func(src []byte) error {
	return map[string]func([]byte) error{
		cd.KindDelivery:     func(b []byte) error { _, err := cd.ParseDelivery("f", b); return err },
		bridge.KindPolicy:   func(b []byte) error { _, err := bridge.ParsePolicy("f", b); return err },
		bridge.KindWorkload: func(b []byte) error { _, err := identity.ParseWorkload("f", b); return err },
		bridge.KindReceiver: func(b []byte) error { _, err := bridge.ParseReceiver("f", b, []string{"github"}); return err },
		"EnvironmentState":  func(b []byte) error { _, err := bridge.ParseState("f", b); return err },
	}
}

// Each schema takes what the server takes, and refuses what it refuses.
func TestSchemas(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: drawbridge/v1\nkind: "
	for _, test := range []struct {
		kind, src string
		ok        bool
	}{
		{"EnvironmentState", "releases: {shop: 1.4.2, till: '1.10'}", true},
		{"EnvironmentState", "releases: {shop: 1.4.2@sha256:" + strings.Repeat("a", 64) + "}", true},
		{"EnvironmentState", "releases: {}", true},
		{"EnvironmentState", "releases: {shop: 1.10}", false},
		{"EnvironmentState", "releases: {shop: 'a b'}", false},
		{"EnvironmentState", "release: {shop: 1.4.2}", false},
		{"EnvironmentState", "", false},
		{"Receiver", "name: code\ntype: github\napplications: [shop]\nwindow: 10m", true},
		{"Receiver", "name: code\ntype: github\napplications: []", false},
		{"Receiver", "name: code\napplications: [shop]\ntypo: github", false},
		{"Policy", "hosts: {private: [10.0.0.0/8]}", true},
		{"Policy", "", true},
		{"Policy", "host: {private: [10.0.0.0/8]}", false},
		{"Policy", "commits: {signers: alice}", false},
		{"Workload", "name: gh\nissuer: https://example.com\nsubject: repo:acme/shop:*\nclaims: {ref: main}\napplications: [shop]", true},
		{"Workload", "name: gh\nissuer: https://example.com\nsubject: repo:acme/shop:*\naudience: x\napplications: [shop]", true},
		{"Workload", "name: gh\nissuer: https://example.com\napplications: [shop]", false},
		{"Workload", "name: gh\nissuer: https://example.com\nsubject: x\napplications: [shop]\nrole: admin", false},
	} {
		src := head + test.kind + "\n" + test.src + "\n"
		if err := parsers()[test.kind]([]byte(src)); (err == nil) != test.ok {
			t.Errorf("the server says of %q: %v", src, err)
		}
		b, err := yaml.YAMLToJSON([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled(t, test.kind).Validate(v); (err == nil) != test.ok {
			t.Errorf("the schema says of %q: %v", src, err)
		}
	}
}

func compiled(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	b, err := api.Schema(kind)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(kind, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range api.SchemaKinds() {
		if parsers()[kind] == nil {
			t.Errorf("kind %s has no test", kind)
		}
		if s := compiled(t, strings.ToLower(kind)); !strings.HasPrefix(s.Title, "Drawbridge") {
			t.Errorf("%s: title %q", kind, s.Title)
		}
	}
	if len(api.SchemaKinds()) != len(parsers()) {
		t.Errorf("kinds %v", api.SchemaKinds())
	}
	if _, err := api.Schema("Trist"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestRawEventOf(t *testing.T) {
	t.Parallel()
	for body, text := range map[string]string{"": "", `{"a":1}`: `{"a":1}`, "\xff": "", "a\x00b": ""} {
		if got := api.RawEventOf(bridge.Raw{Body: []byte(body)}); got.Text != text || string(got.Body) != body || got.Headers == nil {
			t.Errorf("%q: %+v", body, got)
		}
	}
}

// The id is the sender's own, whatever way it came.
func TestEventID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ receiver, key, want string }{
		{bridge.DoorAPI, "/ci run/1", "run/1"},
		{bridge.DoorAPI, "/ci a b", "a b"},
		{bridge.DoorAPI, "x", "x"},
		{"hub", "a b", "a b"},
	} {
		if got := api.EventOf(bridge.Event{Receiver: test.receiver, Key: test.key}).EventID; got != test.want {
			t.Errorf("%s %q: %q, want %q", test.receiver, test.key, got, test.want)
		}
	}
}
