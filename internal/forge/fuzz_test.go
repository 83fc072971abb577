package forge

import (
	"strings"
	"testing"
)

const zeros = "0000000000000000000000000000000000000000"

// Whatever a sender writes, reading it ends, and what was read has well-formed ids.
func FuzzParseCommands(f *testing.F) {
	f.Add("0000")
	f.Add("")
	f.Add("0003")
	f.Add("fffe")
	f.Add("006a" + zeros + " " + zeros + " refs/heads/x\x00 side-band-64k\n0000")
	f.Add("0035shallow " + zeros + "\n0000")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCommands(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, cmd := range c.list {
			if !commitHex.MatchString(cmd.old) || !commitHex.MatchString(cmd.new) {
				t.Errorf("parseCommands(%q) gave %v", s, cmd)
			}
		}
		if answer := report(c, nil); len(answer) < len("000eunpack ok\n0000") {
			t.Errorf("report is %q", answer)
		}
	})
}

func FuzzParseLog(f *testing.F) {
	line := zeros + " " + strings.Repeat("a", 40) + " alice <alice@http.127.0.0.1> 1767225600 +0000\tpush\n"
	f.Add(line)
	f.Add(line[:60])
	f.Add("\n\n" + line + "half")
	f.Add(strings.Replace(line, " <", "", 1))
	f.Fuzz(func(t *testing.T, s string) {
		moves, _ := parseLog(strings.NewReader(s), "refs/heads/main") // a line that is too long is an error
		for _, m := range moves {
			if m.Validate() != nil {
				t.Errorf("parseLog(%q) gave %v", s, m)
			}
		}
	})
}
