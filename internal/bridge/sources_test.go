package bridge_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

func TestThrottledBy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		after, date string
		want        time.Duration
	}{
		"nothing":                      {"", "", 0},
		"seconds":                      {"120", "", 2 * time.Minute},
		"seconds with space":           {" 1 ", "", time.Second},
		"a date":                       {"Mon, 05 Jan 2026 09:00:30 GMT", "", 30 * time.Second},
		"a date by their clock":        {"Mon, 05 Jan 2026 10:00:30 GMT", "Mon, 05 Jan 2026 10:00:00 GMT", 30 * time.Second},
		"a date with a broken clock":   {"Mon, 05 Jan 2026 09:00:30 GMT", "soon", 30 * time.Second},
		"an old form of date":          {"Monday, 05-Jan-26 09:00:30 GMT", "", 30 * time.Second},
		"a date that has passed":       {"Mon, 05 Jan 2026 08:00:00 GMT", "", 0},
		"negative":                     {"-5", "", 0},
		"for ever":                     {"18446744073709551615", "", 24 * time.Hour},
		"more than a number":           {"99999999999999999999999999", "", 0},
		"a date in the next century":   {"Mon, 05 Jan 2126 09:00:30 GMT", "", 24 * time.Hour},
		"a fraction, which is no form": {"1.5", "", 0},
	} {
		if got := bridge.ThrottledBy(row.after, row.date, now); got.After != row.want {
			t.Errorf("%s: %s, want %s", name, got.After, row.want)
		}
	}
	var found bridge.Throttled
	err := fault.Wrap(fault.Unavailable, bridge.Throttled{After: time.Second}, "busy")
	if !errors.As(err, &found) || found.After != time.Second || found.Error() != "asked to wait 1s" {
		t.Errorf("As = %v", found)
	}
}

const rawCommit = `tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
parent 1111111111111111111111111111111111111111
parent 2222222222222222222222222222222222222222
author A U Thor <a@example.com> 1700000000 +0200
committer C O Mitter <c@example.com> 1700000100 -0100
gpgsig -----BEGIN SSH SIGNATURE-----
 parent 3333333333333333333333333333333333333333
parent 4444444444444444444444444444444444444444

promote shop

parent 5555555555555555555555555555555555555555
`

func TestParseCommit(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 40)
	c, err := bridge.ParseCommit(id, []byte(rawCommit))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != id || c.Subject != "promote shop" || len(c.Parents) != 2 || c.Parents[1] != strings.Repeat("2", 40) || string(c.Raw) != rawCommit {
		t.Errorf("commit %+v", c)
	}
	if c.Committer != "C O Mitter" || c.CommitterMail != "c@example.com" || c.AuthorTime.Unix() != 1700000000 || c.CommitterTime.Unix() != 1700000100 {
		t.Errorf("people of %+v", c)
	}
	for name, raw := range map[string]string{
		"nothing":                 "",
		"a tree that is no":       strings.Replace(rawCommit, "4b825d", "4B825D", 1),
		"a parent that is a path": strings.Replace(rawCommit, "parent 1", "parent /", 1),
		"no committer":            strings.Replace(rawCommit, "committer ", "comitter ", 1),
		"no time":                 strings.Replace(rawCommit, "1700000100", "now", 1),
	} {
		if _, err := bridge.ParseCommit(id, []byte(raw)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if _, err := bridge.ParseCommit(id, make([]byte, bridge.MaxCommit+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too much: %v", err)
	}
	long := strings.Replace(rawCommit, "promote shop", "\x1b[31m"+strings.Repeat("ü", 500)+"\xff", 1)
	if c, err := bridge.ParseCommit(id, []byte(long)); err != nil || strings.ContainsRune(c.Subject, 0x1b) || len([]rune(c.Subject)) > 200 {
		t.Errorf("subject %q, %v", c.Subject, err)
	}
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte(rawCommit))
	f.Add([]byte("tree \n\n"))
	f.Add([]byte("committer <> 1 +0000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := bridge.ParseCommit("x", raw)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if strings.ContainsAny(c.Subject+c.Committer+c.CommitterMail, "\n\x00\x1b") || c.Tree == "" {
			t.Fatalf("parsed %+v", c)
		}
	})
}
