package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

func openExport(data string) (*audit.File, error) {
	return audit.OpenExport("log.jsonl", strings.NewReader(data), int64(len(data)))
}

func export(t *testing.T, m *memory, key audit.Key) string {
	t.Helper()
	var b bytes.Buffer
	if err := audit.Export(t.Context(), &b, m, key.Verifier()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExport(t *testing.T) {
	key, m := newKey(t), &memory{}
	for _, n := range []int{0, 1, 19} {
		appendTo(t, m, key, n, 4)
		f, err := openExport(export(t, m, key))
		if err != nil {
			t.Fatal(err)
		}
		if f.VerifierKey() != key.Verifier() || f.Origin() != "drawbridge/cd" {
			t.Errorf("head: %s %s", f.Origin(), f.VerifierKey())
		}
		want, err := audit.Verify(t.Context(), m, key.Verifier(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := audit.Verify(t.Context(), f, key.Verifier(), want.Checkpoint)
		if err != nil || got.Root != want.Root || got.Size != want.Size {
			t.Errorf("offline: %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestExportAttacks(t *testing.T) {
	key, m := newKey(t), &memory{}
	appendTo(t, m, key, 10, 1)
	whole := export(t, m, key)
	lines := strings.SplitAfter(whole, "\n")
	for name, tc := range map[string]struct {
		data string
		kind fault.Kind
		says string
	}{
		"altered":         {strings.Replace(whole, `promotion/4`, `promotion/5`, 1), fault.Refused, "entry 4 was altered"},
		"line removed":    {strings.Replace(whole, lines[5], "", 1), fault.Refused, "entry 3 was removed"},
		"cut":             {whole[:len(whole)-20], fault.Invalid, "log.jsonl:21: "},
		"cut at a line":   {strings.Join(lines[:7], ""), fault.Invalid, "the export was cut"},
		"garbage":         {strings.Replace(whole, lines[3], "{]\n", 1), fault.Invalid, "log.jsonl:4: "},
		"more after end":  {whole + lines[1], fault.Invalid, "log.jsonl:23: "},
		"too long a line": {whole + strings.Repeat("x", 2<<20), fault.Invalid, "log.jsonl:23: "},
	} {
		f, err := openExport(tc.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := audit.Verify(t.Context(), f, key.Verifier(), nil); !fault.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %s, %q", name, err, tc.kind, tc.says)
		}
	}
	for _, bad := range []string{"", "\n", "{}\n", "[]\n", `{"end":true}` + "\n"} {
		if _, err := openExport(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("OpenExport(%q): %v", bad, err)
		}
	}
}

func FuzzExport(f *testing.F) {
	f.Add("{}\n")
	f.Add(`{"log":"drawbridge/cd","key":"drawbridge/cd+1a2b3c4d+AAAA"}` + "\n" + `{"seq":1,"body":"{}"}` + "\n" + `{"size":1,"checkpoint":"x"}` + "\n" + `{"end":true}` + "\n")
	key := newKey(f).Verifier()
	f.Fuzz(func(t *testing.T, data string) {
		x, err := openExport(data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		r, err := audit.Verify(t.Context(), x, key, nil)
		if err == nil && r.Size != 0 {
			t.Fatalf("proved %d entries without a key", r.Size)
		}
	})
}
