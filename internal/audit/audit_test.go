package audit_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

func TestHonestLogOfEverySize(t *testing.T) {
	key := newKey(t)
	for _, batch := range []int{1, 3, 7} {
		m := &memory{}
		for n := 0; n <= 40; n++ {
			r, err := audit.Verify(t.Context(), m, key.Verifier(), nil)
			if err != nil || r.Size != int64(len(m.rows)) || r.Broken != 0 {
				t.Fatalf("batch %d, size %d: %+v, %v", batch, len(m.rows), r, err)
			}
			appendTo(t, m, key, batch, batch)
		}
	}
}

// The tree is the one that golang.org/x/mod/sumdb/tlog computes, so that other tools agree.
func TestTreeIsTlogs(t *testing.T) {
	key, m := newKey(t), &memory{}
	appendTo(t, m, key, 77, 5)
	read := tlog.HashReaderFunc(func(idx []int64) ([]tlog.Hash, error) { return m.Hashes(t.Context(), idx) })
	root, err := tlog.TreeHash(77, read)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(t.Context(), m, key.Verifier(), nil)
	if err != nil || r.Root != root.String() {
		t.Errorf("root %s, %v; tlog says %s", r.Root, err, root)
	}
	var nodes []tlog.Hash
	for n, row := range m.rows {
		hs, err := tlog.StoredHashes(int64(n), row.Body, read)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, hs...)
	}
	for i, h := range nodes {
		if m.nodes[i].Index != int64(i) || m.nodes[i].Hash != h {
			t.Fatalf("stored hash %d is not tlog's", i)
		}
	}
	if len(nodes) != len(m.nodes) {
		t.Errorf("%d hashes, tlog makes %d", len(m.nodes), len(nodes))
	}
	verifier, err := note.NewVerifier(key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(r.Checkpoint, note.VerifierList(verifier))
	if err != nil || n.Text != "drawbridge/cd\n77\n"+root.String()+"\n" {
		t.Errorf("checkpoint %q, %v", n.Text, err)
	}
}

func TestBody(t *testing.T) {
	e := audit.Entry{
		Seq: 3, At: time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("x", 3600)), Actor: "a<b", Action: "x.y",
		Detail: map[string]string{"z": "1", "a": "é\n"},
	}
	body, err := e.Body()
	want := `{"seq":3,"at":"2026-01-02T02:04:05.006Z","actor":"a<b","action":"x.y","subject":"","detail":{"a":"é\n","z":"1"}}`
	if err != nil || string(body) != want {
		t.Errorf("Body = %s, %v, want %s", body, err, want)
	}
	for name, e := range map[string]audit.Entry{
		"no actor":  {At: e.At, Action: "x"},
		"no action": {At: e.At, Actor: "x"},
		"no time":   {Actor: "x", Action: "x"},
		"not UTF-8": {At: e.At, Actor: "x", Action: "x", Detail: map[string]string{"k": "\xff"}},
	} {
		if _, err := e.Body(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	e = audit.Entry{At: e.At, Actor: "x", Action: "x", Subject: strings.Repeat("y", audit.MaxBody)}
	if _, err := e.Body(); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too large: %v", err)
	}
	e.Subject = ""
	empty, err := e.Body()
	if err != nil {
		t.Fatal(err)
	}
	e.Subject = strings.Repeat("y", audit.MaxBody-len(empty))
	if body, err := e.Body(); err != nil || len(body) != audit.MaxBody {
		t.Errorf("largest body: %d bytes, %v", len(body), err)
	}
}

func TestKey(t *testing.T) {
	for _, bad := range []string{"", "x", "PRIVATE+KEY+a+b+c", "PRIVATE+KEY+drawbridge/cd+00000000+AAAA"} {
		if _, err := audit.ParseKey(bad); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("ParseKey(%q): %v", bad, err)
		}
	}
	if _, err := audit.Append(t.Context(), &memory{}, audit.Key{}, entry(1)); err == nil {
		t.Error("the zero Key signed")
	}
}

// attack changes a log of 20 entries in batches of 2: what must be said, and of which entry.
type attack struct {
	name   string
	change func(t *testing.T, m *memory, key audit.Key)
	seq    int64
	says   string
}

var attacks = []attack{
	{"altered body", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows[6].Body = bytes.Replace(m.rows[6].Body, []byte("bob"), []byte("eve"), 1)
	}, 7, "entry 7 was altered"},
	{"altered body with its hashes", func(t *testing.T, m *memory, key audit.Key) {
		rehash(t, m, key, func(m *memory) { m.rows[6].Body = bytes.Replace(m.rows[6].Body, []byte("bob"), []byte("eve"), 1) })
	}, 7, "one of the entries 7 to 8 was altered"},
	{"body that is no JSON", func(_ *testing.T, m *memory, _ audit.Key) { m.rows[4].Body = []byte("\xff") }, 5, "entry 5 was altered"},
	{"removed in the middle", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows = append(m.rows[:9], m.rows[10:]...)
	}, 10, "entry 10 was removed"},
	{"removed in the middle, closed up", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows = append(m.rows[:9], m.rows[10:]...)
		for i := range m.rows {
			m.rows[i].Seq = int64(i + 1)
		}
	}, 10, "entry 10 was altered"},
	{"swapped", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows[3].Body, m.rows[11].Body = m.rows[11].Body, m.rows[3].Body
	}, 4, "entry 4 was altered"},
	{"inserted at the end", func(t *testing.T, m *memory, key audit.Key) {
		kept := m.checkpoints
		appendTo(t, m, key, 1, 1)
		m.checkpoints = kept
	}, 21, "entry 21 was inserted"},
	{"inserted at the end, with a forged checkpoint", func(t *testing.T, m *memory, _ audit.Key) {
		appendTo(t, m, newKey(t), 1, 1)
	}, 0, "the checkpoint over 21 entries does not hold: it is not signed by drawbridge/cd"},
	{"twice", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows = append(m.rows[:5:5], m.rows[4:]...)
	}, 5, "entry 5 is there twice"},
	{"last entries removed", func(_ *testing.T, m *memory, _ audit.Key) {
		m.rows = m.rows[:17]
	}, 18, "entry 18 was removed"},
	{"all removed", func(_ *testing.T, m *memory, _ audit.Key) { m.rows = nil }, 1, "entry 1 was removed"},
	{"altered leaf hash", func(_ *testing.T, m *memory, _ audit.Key) {
		m.nodes[tlog.StoredHashIndex(0, 12)].Hash[5] ^= 1
	}, 13, "the stored hash of entry 13 was altered"},
	{"altered inner hash", func(_ *testing.T, m *memory, _ audit.Key) {
		m.nodes[tlog.StoredHashIndex(2, 2)].Hash[5] ^= 1
	}, 12, "a stored hash that entry 12 completed was altered"},
	{"removed hash", func(_ *testing.T, m *memory, _ audit.Key) {
		m.nodes = append(m.nodes[:3], m.nodes[4:]...)
	}, 3, "a stored hash of entry 3 was removed or inserted"},
	{"removed hashes", func(_ *testing.T, m *memory, _ audit.Key) { m.nodes = nil }, 1, "a stored hash of entry 1 was removed or inserted"},
	{"further hash", func(_ *testing.T, m *memory, _ audit.Key) {
		m.nodes = append(m.nodes, audit.Node{Index: 1 << 20})
	}, 0, "there are hashes of more than the 20 entries"},
	{"checkpoint under another size", func(_ *testing.T, m *memory, _ audit.Key) {
		m.checkpoints[9].Note = m.checkpoints[8].Note
	}, 0, "was put in the place of another"},
	{"checkpoint with another root", func(_ *testing.T, m *memory, _ audit.Key) {
		m.checkpoints[3].Note = bytes.Replace(m.checkpoints[3].Note, []byte("\n8\n"), []byte("\n8\nA"), 1)
	}, 0, "the checkpoint over 8 entries does not hold"},
	{"rebuilt with another key", func(t *testing.T, m *memory, _ audit.Key) {
		*m = memory{}
		appendTo(t, m, newKey(t), 20, 2)
	}, 0, "it is not signed by drawbridge/cd"},
}

// rehash makes all stored hashes fit the changed bodies, but cannot sign.
func rehash(t *testing.T, m *memory, key audit.Key, change func(m *memory)) {
	t.Helper()
	change(m)
	fresh := &memory{}
	for i := range m.rows {
		e, err := audit.ParseEntry(m.rows[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Append(context.Background(), fresh, key, e); err != nil {
			t.Fatal(err)
		}
	}
	m.nodes = fresh.nodes
}

func TestAttacks(t *testing.T) {
	key, honest := newKey(t), &memory{}
	appendTo(t, honest, key, 20, 2)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			m := honest.clone()
			a.change(t, m, key)
			r, err := audit.Verify(t.Context(), m, key.Verifier(), nil)
			if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), a.says) || r.Broken != a.seq {
				t.Errorf("Verify = entry %d, %v; want entry %d, %q", r.Broken, err, a.seq, a.says)
			}
		})
	}
}

func TestRemembered(t *testing.T) {
	key, m := newKey(t), &memory{}
	appendTo(t, m, key, 13, 3)
	before, err := audit.Verify(t.Context(), m, key.Verifier(), nil)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, m, key, 8, 3)
	if r, err := audit.Verify(t.Context(), m, key.Verifier(), before.Checkpoint); err != nil || r.Size != 21 {
		t.Errorf("the log that grew: %+v, %v", r, err)
	}
	cut := &memory{rows: m.rows[:12], nodes: m.nodes[:tlog.StoredHashIndex(0, 12)], checkpoints: m.checkpoints[:4]}
	if _, err := audit.Verify(t.Context(), cut, key.Verifier(), nil); err != nil {
		t.Fatalf("a log cut at a checkpoint looks whole to whoever remembers nothing: %v", err)
	}
	r, err := audit.Verify(t.Context(), cut, key.Verifier(), before.Checkpoint)
	if !fault.Is(err, fault.Refused) || r.Broken != 13 {
		t.Errorf("cut: entry %d, %v", r.Broken, err)
	}
	rebuilt := &memory{} // by somebody who has the key
	for i := range 21 {
		e := entry(i + 1)
		if i == 4 {
			e.Actor = "eve"
		}
		if _, err := audit.Append(t.Context(), rebuilt, key, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := audit.Verify(t.Context(), rebuilt, key.Verifier(), before.Checkpoint); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("rebuilt with the key: %v", err)
	}
	if _, err := audit.Verify(t.Context(), &memory{}, key.Verifier(), before.Checkpoint); !fault.Is(err, fault.Refused) {
		t.Errorf("emptied: %v", err)
	}
	other := newKey(t)
	fresh := &memory{}
	appendTo(t, fresh, other, 30, 1)
	if _, err := audit.Verify(t.Context(), fresh, other.Verifier(), before.Checkpoint); !fault.Is(err, fault.Refused) {
		t.Errorf("another log with another key: %v", err)
	}
	for _, bad := range []string{"", "x", "drawbridge/cd+00000000+AAAA"} {
		if _, err := audit.Verify(t.Context(), m, bad, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}
