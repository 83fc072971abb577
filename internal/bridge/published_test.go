package bridge_test

import (
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

func FuzzParsePublished(f *testing.F) {
	good, err := bridge.Published{Source: "/ci", ID: "1", Artifact: artifact.Reference{Repository: "a/b", Tag: "1", Digest: artifact.DigestOf(nil)}, At: time.Unix(0, 0)}.CloudEvent()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"specversion":"1.0"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := bridge.ParsePublished(body)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if p.ID == "" || p.Source == "" || p.Artifact.Digest.IsZero() {
			t.Fatalf("parsed %+v", p)
		}
	})
}
