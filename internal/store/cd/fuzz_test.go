package cd_test

import (
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// FuzzReceive keeps whatever a sender writes: once, never an error, and it can be read back.
func FuzzReceive(f *testing.F) {
	f.Add("github", "github", "72d3162e", "ghcr.io/acme/web:1.0.0", "shop/web", int64(1767603600), []byte(`{"a":1}`), "")
	f.Add("", "", "", "", "", int64(0), []byte(nil), "no JSON")
	f.Add("a\x00", "\xff", "k\x00 redrive 1", "\xc3\x28", "UPPER\x00", int64(1)<<60, []byte{0, 0xff}, "\x00")
	s, err := storecd.Open(f.Context(), storetest.SQLite(f, "cd", nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, receiver, sender, key, subject, repository string, at int64, body []byte, wrong string) {
		m := bridge.Message{Receiver: receiver, Sender: sender, Key: key, Headers: map[string]string{subject: sender}, Body: body, Wrong: wrong}
		if wrong == "" {
			m.Facts = []bridge.Fact{{
				Kind: bridge.KindArtifact, Type: key, Source: sender, Subject: subject, Chain: subject, At: time.Unix(at, 0).UTC(),
				Artifact: artifact.Reference{Repository: repository}, Git: &bridge.GitRef{Repository: repository, Ref: subject},
				Trigger: &bridge.TriggerRef{Application: subject, Trigger: key},
			}}
		}
		kept, _, err := s.Receive(t.Context(), m)
		if err != nil || len(kept) != 1 {
			t.Fatalf("%d events, %v", len(kept), err)
		}
		again, fresh, err := s.Receive(t.Context(), m)
		if err != nil || fresh || again[0].ID != kept[0].ID {
			t.Fatalf("again: fresh %v, %v", fresh, err)
		}
		e, err := s.Event(t.Context(), kept[0].ID)
		if err != nil || e.State == bridge.EventDead && e.Reason == "" && wrong == "" {
			t.Fatalf("read back: %+v, %v", e, err)
		}
		if _, err := s.Raw(t.Context(), e.ID); err != nil {
			t.Fatalf("the delivery: %v", err)
		}
	})
}
