package forge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// maxCommands is the most refs that one push may move.
const maxCommands = 1000

// maxRef is the longest name of a ref, in bytes.
const maxRef = 255

// command is one ref that a push wants to move.
type command struct {
	old, new string // 40 hex digits, zeros for none
	ref      string
}

// commands is the head of a push.
type commands struct {
	list     []command
	sideband bool // the sender reads its report inside side band 1
}

var errPush = errors.New("malformed push")

// parseCommands reads the head of a receive-pack request: pkt-lines up to a flush. What
// follows it, the pack, is not read. See gitprotocol-pack(5).
func parseCommands(r io.Reader) (commands, error) {
	var c commands
	for {
		line, err := packet(r)
		if err != nil {
			return commands{}, err
		}
		if line == nil {
			return c, nil
		}
		text, caps, first := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\x00")
		if first {
			c.sideband = strings.Contains(" "+strings.TrimSpace(caps)+" ", " side-band-64k ")
		}
		if strings.HasPrefix(text, "shallow ") {
			continue
		}
		part := strings.SplitN(text, " ", 3)
		if len(part) != 3 || !commitHex.MatchString(part[0]) || !commitHex.MatchString(part[1]) {
			return commands{}, errPush // a signed push too: it is not offered
		}
		if len(c.list) == maxCommands {
			return commands{}, fault.New(fault.TooLarge, "a push moves at most %d refs", maxCommands)
		}
		c.list = append(c.list, command{old: part[0], new: part[1], ref: part[2]})
	}
}

// packet reads one pkt-line; nil is a flush.
func packet(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errPush
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || n > 65520 || (n > 0 && n < 5):
		return nil, errPush
	case n == 0:
		return nil, nil
	}
	line := make([]byte, n-4)
	if _, err := io.ReadFull(r, line); err != nil {
		return nil, errPush
	}
	return line, nil
}

// refusal is why a command may not be taken; empty when it may.
func refusal(c command, protected func(ref string) bool) string {
	switch {
	case len(c.ref) > maxRef || !utf8.ValidString(c.ref):
		return "a ref's name is UTF-8 and has at most 255 bytes" // or it could not be recorded
	case strings.HasPrefix(c.ref, "refs/tags/"):
		if c.old != ci.NoCommit {
			return "tags neither move nor go; make a new one"
		}
	case !strings.HasPrefix(c.ref, "refs/heads/"):
		return "only branches and tags are taken"
	case c.new == ci.NoCommit && protected(c.ref):
		return "this branch is protected and never deleted"
	}
	return ""
}

// report is the answer to a push of which nothing is taken; refused says why, by ref. It
// is what git itself would say, so that the sender sees the reason beside the ref.
func report(c commands, refused map[string]string) []byte {
	var b bytes.Buffer
	line(&b, "unpack ok\n")
	for _, cmd := range c.list {
		why := refused[cmd.ref]
		if why == "" {
			why = "not taken: the push holds a ref that is refused"
		}
		line(&b, "ng "+cmd.ref+" "+why+"\n")
	}
	b.WriteString("0000")
	if !c.sideband {
		return b.Bytes()
	}
	var wrapped bytes.Buffer
	const most = 60000
	for rest := b.String(); rest != ""; {
		n := min(len(rest), most)
		line(&wrapped, "\x01"+rest[:n])
		rest = rest[n:]
	}
	wrapped.WriteString("0000")
	return wrapped.Bytes()
}

func line(b *bytes.Buffer, text string) { fmt.Fprintf(b, "%04x%s", len(text)+4, text) }
