package webhook_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/webhook"
)

var update = flag.Bool("update", false, "write the facts of the fixtures anew; read the difference")

// fixture is a delivery as its sender's documentation shows it, and the facts in it.
type fixture struct {
	Headers map[string]string `json:"headers"`
	Host    string            `json:"host,omitempty"`
	Body    json.RawMessage   `json:"body"`
	Facts   []bridge.Fact     `json:"facts"`

	sender webhook.Sender
	file   string
}

func (f fixture) request() webhook.Request {
	r := webhook.Request{Header: http.Header{}, Body: f.Body}
	for k, v := range f.Headers {
		r.Header.Set(k, v)
	}
	return r
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	var out []fixture
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := fixture{file: file}
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if f.sender, err = webhook.Find(filepath.Base(filepath.Dir(file))); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, f)
	}
	return out
}

func (f fixture) write(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFixtures(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(strings.TrimPrefix(f.file, "testdata/"), func(t *testing.T) {
			got, err := f.sender.Read(f.request(), webhook.Options{Host: f.Host})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				f.Facts = append([]bridge.Fact{}, got...)
				f.write(t)
				return
			}
			if len(f.Facts) == 0 {
				f.Facts = nil
			}
			if d := cmp.Diff(f.Facts, got, cmp.AllowUnexported(artifact.Digest{})); d != "" {
				t.Errorf("facts (-want +got):\n%s", d)
			}
			for _, fact := range got {
				valid(t, f.sender.Name, fact)
			}
		})
	}
}

// A delivery is kept with the headers that Headers names and read again with these alone.
func TestKeptDeliveryReadsTheSame(t *testing.T) {
	for _, f := range fixtures(t) {
		r := f.request()
		r.Path = "the-secret-in-the-path"
		r.Header.Set("Authorization", "Bearer hunter2")
		want, err := f.sender.Read(r, webhook.Options{Host: f.Host})
		if err != nil {
			t.Fatal(err)
		}
		again := webhook.Request{Header: http.Header{}, Body: r.Body}
		for k, v := range f.sender.Headers(r.Header) {
			again.Header.Set(k, v)
		}
		got, err := f.sender.Read(again, webhook.Options{Host: f.Host})
		if d := cmp.Diff(want, got, cmp.AllowUnexported(artifact.Digest{})); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", f.file, err, d)
		}
		if k := f.sender.Key(again); !strings.HasPrefix(k, "sha256:") && k != f.sender.Key(r) {
			t.Errorf("%s: key %q, then %q", f.file, f.sender.Key(r), k)
		}
	}
}

func TestEverySenderHasFixtures(t *testing.T) {
	have := map[string]bool{}
	for _, f := range fixtures(t) {
		have[f.sender.Name] = have[f.sender.Name] || len(f.Facts) > 0
	}
	var names []string
	for _, s := range webhook.Senders() {
		names = append(names, s.Name)
		if !have[s.Name] {
			t.Errorf("%s has no fixture with a fact", s.Name)
		}
		if s.Title == "" || len(s.Schemes) == 0 || s.Secret == "" {
			t.Errorf("%s does not say what it is: %+v", s.Name, s)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("senders are not sorted by name: %v", names)
	}
}

// valid checks what holds for every fact, whatever was posted.
func valid(t testing.TB, sender string, f bridge.Fact) {
	t.Helper()
	if f.Type == "" || f.Subject == "" || strings.ContainsAny(f.Subject+f.Actor+f.Source+f.Type, "\n\r\x00\x1b") {
		t.Errorf("type %q, subject %q, actor %q", f.Type, f.Subject, f.Actor)
	}
	if len([]rune(f.Subject)) > 256 || len([]rune(f.Actor)) > 128 {
		t.Errorf("subject or actor is too long: %d, %d", len(f.Subject), len(f.Actor))
	}
	switch f.Kind {
	case bridge.KindArtifact:
		if again, err := artifact.ParseReference(f.Artifact.String()); err != nil || again != f.Artifact {
			t.Errorf("artifact %+v is no reference: %v", f.Artifact, err)
		}
		if sender != "cloudevents" && (f.Artifact.Host == "" || f.Artifact.Tag == "") {
			t.Errorf("%s tells of %q on this server's registry, or without a tag", sender, f.Artifact)
		}
	case bridge.KindPush, bridge.KindRelease:
		if (f.Git == nil) == (f.Package == nil) {
			t.Errorf("%s has git %v and package %v", f.Kind, f.Git, f.Package)
		}
		if f.Git != nil && (f.Git.Repository == "" || f.Git.Ref == "" || !normal(f.Git.Repository)) {
			t.Errorf("git %+v", *f.Git)
		}
	case bridge.KindAlert:
		if f.Alert == nil || f.Alert.Key == "" {
			t.Errorf("alert %+v", f.Alert)
		}
	case bridge.KindTicket, bridge.KindEvent:
	case bridge.KindClock, bridge.KindPerson:
		t.Errorf("%s speaks for this server: %s", sender, f.Kind)
	default:
		t.Errorf("kind %q", f.Kind)
	}
	if f.Trigger != nil {
		t.Errorf("%s chose a trigger: %+v", sender, f.Trigger)
	}
	if _, err := f.JSON(); err != nil {
		t.Error(err)
	}
}

func normal(repository string) bool {
	again, ok := bridge.NormalRepository(repository)
	return ok && again == repository
}
