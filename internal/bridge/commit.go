package bridge

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"drawbridge/internal/fault"
)

// Commit is one commit of a Git repository. Who wrote it is what its text says, which
// anybody can write: only a signature over Raw proves more.
type Commit struct {
	ID            string
	Tree          string
	Parents       []string // in order; nil for a root
	Raw           []byte   // the commit object, without its "commit SIZE" header, for its signature
	AuthorTime    time.Time
	CommitterTime time.Time
	Committer     string // name
	CommitterMail string
	Subject       string // first line of the message, printable, at most 200 characters
}

// ParseCommit reads a commit object as git cat-file prints it. Format: gitformat "commit"
// objects, lines "tree", "parent", "author", "committer" and others up to an empty line.
// What is no commit is a fault of kind Invalid. It keeps raw.
func ParseCommit(id string, raw []byte) (Commit, error) {
	if len(raw) > MaxCommit {
		return Commit{}, fault.New(fault.TooLarge, "commit %.12s has more than %d bytes", id, MaxCommit)
	}
	c := Commit{ID: id, Raw: raw}
	head, message, _ := bytes.Cut(raw, []byte("\n\n"))
	for line := range strings.SplitSeq(string(head), "\n") {
		if !c.CommitterTime.IsZero() {
			break // what follows may hold anything: signatures, merged tags
		}
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree":
			c.Tree = value
		case "parent":
			c.Parents = append(c.Parents, value)
		case "author":
			_, _, c.AuthorTime = commitPerson(value)
		case "committer":
			c.Committer, c.CommitterMail, c.CommitterTime = commitPerson(value)
		}
	}
	if !objectID(c.Tree) || slices.ContainsFunc(c.Parents, func(p string) bool { return !objectID(p) }) || c.CommitterTime.IsZero() {
		return Commit{}, fault.New(fault.Invalid, "%.12s is no commit", id)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(message)), "\n")
	c.Subject = commitLine(first, 200)
	return c, nil
}

// commitPerson reads "NAME <MAIL> SECONDS ZONE". What is missing is empty.
func commitPerson(s string) (name, mail string, at time.Time) {
	name, rest, _ := strings.Cut(s, "<")
	mail, stamp, ok := strings.Cut(rest, ">")
	seconds, _, _ := strings.Cut(strings.TrimSpace(stamp), " ")
	if n, err := strconv.ParseInt(seconds, 10, 64); ok && err == nil && n >= 0 && n < 1<<40 {
		at = time.Unix(n, 0).UTC()
	}
	return commitLine(strings.TrimSpace(name), 200), commitLine(mail, 200), at
}

// commitLine makes text printable and cuts it to n characters.
func commitLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > n {
		s = string(runes[:n])
	}
	return strings.TrimSpace(s)
}

// objectID reports whether s can name a Git object: 40 or 64 lower-case hex digits.
func objectID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}
