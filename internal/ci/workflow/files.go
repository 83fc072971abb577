package workflow

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// Limits of the files that a step writes.
const (
	MaxCommandFile = 1 << 20 // bytes of one GITHUB_OUTPUT, GITHUB_ENV or GITHUB_PATH
	MaxSummary     = 1 << 20 // bytes of one GITHUB_STEP_SUMMARY that are kept
	MaxAssignments = 4096    // entries of one file
)

// Assignment is one entry of a GITHUB_OUTPUT or GITHUB_ENV file.
type Assignment struct {
	Name  string
	Value string
}

// ParseOutput reads a GITHUB_OUTPUT file: lines NAME=VALUE, and NAME<<DELIMITER blocks that
// end at a line DELIMITER. Entries stay in order; a later one of the same name counts.
// Anything else is a fault of kind Invalid that names the line, TooLarge over a limit.
func ParseOutput(src []byte) ([]Assignment, error) { return parseAssignments("GITHUB_OUTPUT", src) }

// ParseEnv reads a GITHUB_ENV file, in the form of ParseOutput. A name must be one that a
// shell can have, and not start with GITHUB_ or RUNNER_: those are the server's.
func ParseEnv(src []byte) ([]Assignment, error) {
	const file = "GITHUB_ENV"
	all, err := parseAssignments(file, src)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if !validEnvName(a.Name) {
			return nil, fault.New(fault.Invalid, "%s: %q is no name of an environment variable", file, clip(a.Name)).
				WithHint("use letters, digits and underscores, and no digit first")
		}
		if ReservedEnv(a.Name) {
			return nil, fault.New(fault.Invalid, "%s: %s is set by the server and cannot be changed", file, a.Name).
				WithHint("choose a name that does not start with GITHUB_ or RUNNER_")
		}
	}
	return all, nil
}

// ReservedEnv reports whether only the server sets the environment variable of this name;
// GITHUB_TOKEN is free, since there is none.
func ReservedEnv(name string) bool {
	return name != "GITHUB_TOKEN" && (strings.HasPrefix(name, "GITHUB_") || strings.HasPrefix(name, "RUNNER_"))
}

func validEnvName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// ParsePath reads a GITHUB_PATH file: one directory a line, empty lines aside. The last line
// comes first in PATH; ParsePath keeps the order of the file.
func ParsePath(src []byte) ([]string, error) {
	lines, err := commandLines("GITHUB_PATH", src)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for i, l := range lines {
		if l == "" {
			continue
		}
		if strings.ContainsRune(l, ':') {
			return nil, fault.At("GITHUB_PATH", i+1, 0, "a directory in PATH holds no colon").WithHint("write one directory a line")
		}
		dirs = append(dirs, l)
	}
	if len(dirs) > MaxAssignments {
		return nil, tooMany("GITHUB_PATH")
	}
	return dirs, nil
}

// ParseSummary is what is kept of a GITHUB_STEP_SUMMARY file: valid UTF-8, and at most
// MaxSummary bytes with a notice at its end when there was more. size is the file's.
func ParseSummary(src []byte, size int64) string {
	cut := len(src) > MaxSummary || size > MaxSummary
	if len(src) > MaxSummary {
		src = src[:MaxSummary]
		for len(src) > 0 && !utf8.RuneStart(src[len(src)-1]) {
			src = src[:len(src)-1]
		}
		if len(src) > 0 && src[len(src)-1] >= utf8.RuneSelf {
			src = src[:len(src)-1] // the first byte of a rune that was cut
		}
	}
	s := strings.ToValidUTF8(strings.ReplaceAll(string(src), "\x00", "\uFFFD"), "\uFFFD")
	if cut {
		s += fmt.Sprintf("\n\n(The summary was cut: it has %d bytes, and %d are kept.)\n", max(size, int64(len(src))), MaxSummary)
	}
	return s
}

func parseAssignments(file string, src []byte) ([]Assignment, error) {
	lines, err := commandLines(file, src)
	if err != nil {
		return nil, err
	}
	var all []Assignment
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" {
			continue
		}
		a, used, err := assignment(file, lines, i)
		if err != nil {
			return nil, err
		}
		if all = append(all, a); len(all) > MaxAssignments {
			return nil, tooMany(file)
		}
		i += used
	}
	return all, nil
}

// assignment reads the entry that starts at line i; used is how many further lines it takes.
func assignment(file string, lines []string, i int) (a Assignment, used int, err error) {
	line := lines[i]
	eq, heredoc := strings.IndexByte(line, '='), strings.Index(line, "<<")
	switch {
	case heredoc >= 0 && (eq < 0 || heredoc < eq):
		a.Name = line[:heredoc]
		delimiter := line[heredoc+2:]
		if a.Name == "" || delimiter == "" {
			return a, 0, badLine(file, i)
		}
		for end := i + 1; end < len(lines); end++ {
			if lines[end] == delimiter {
				a.Value = strings.Join(lines[i+1:end], "\n")
				return a, end - i, nil
			}
		}
		return a, 0, fault.At(file, i+1, 0, "the value of %q has no end: no line %q follows", clip(a.Name), clip(delimiter)).
			WithHint("end the value with a line that holds the delimiter alone")
	case eq > 0:
		return Assignment{line[:eq], line[eq+1:]}, 0, nil
	}
	return a, 0, badLine(file, i)
}

func badLine(file string, i int) error {
	return fault.At(file, i+1, 0, "the line is neither NAME=VALUE nor NAME<<DELIMITER").
		WithHint("write: echo \"name=value\" >> \"$%s\"", file)
}

func tooMany(file string) error {
	return fault.New(fault.TooLarge, "%s has more than %d entries", file, MaxAssignments)
}

// commandLines splits a file that a step wrote, after it was checked.
func commandLines(file string, src []byte) ([]string, error) {
	if len(src) > MaxCommandFile {
		return nil, fault.New(fault.TooLarge, "%s has at most %d bytes, not %d", file, MaxCommandFile, len(src)).
			WithHint("hand over big data as a file")
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return nil, fault.At(file, 1+bytes.Count(src[:i], []byte("\n")), 0, "the line holds a NUL byte")
	}
	if !utf8.Valid(src) {
		return nil, fault.New(fault.Invalid, "%s is no UTF-8 text", file)
	}
	lines := strings.Split(string(src), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return lines, nil
}

// clip shortens text from outside for a message.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
