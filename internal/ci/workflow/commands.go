package workflow

import (
	"strconv"
	"strings"
)

// Limits of the commands that a step prints.
const (
	MaxCommandLine = 64 << 10 // bytes of a line that is read as a command; longer ones are text
	MaxAnnotations = 1000     // annotations of one step; further ones are text
	MaxMasks       = 1000     // masks of one step
)

// LineKind says what a line of a step's output is.
type LineKind string

// The kinds of line.
const (
	LineText       LineKind = "text"       // output as it is
	LineGroup      LineKind = "group"      // a group of lines starts; Text is its title
	LineEndGroup   LineKind = "end-group"  // the group ends
	LineAnnotation LineKind = "annotation" // Annotation is set; Text is its message
	LineDebug      LineKind = "debug"      // Text is for debugging
	LineMask       LineKind = "mask"       // Mask is to be masked from now on; the line itself must not be kept
	LineStop       LineKind = "stop"       // commands are text until the token comes
	LineResume     LineKind = "resume"     // commands count again
)

// Line is one line of output, understood.
type Line struct {
	Kind       LineKind
	Text       string
	Mask       string
	Annotation *Annotation
}

// Level is how grave an annotation is. Levels are stored.
type Level string

// The levels.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNotice  Level = "notice"
)

// Annotation is a message that a step attached to the run, and perhaps to a place in a file.
type Annotation struct {
	Level             Level
	Message, Title    string
	File              string // as the step named it; may be empty
	Line, EndLine     int    // from 1; 0 means unknown
	Column, EndColumn int    // from 1; 0 means unknown
	FromServer        bool   // the server itself says so, about a command that it does not follow
}

// Scanner understands the lines that one step prints, on both of its streams, in order. The
// zero Scanner is ready for use; use a new one for each step. It is not safe for concurrent use.
type Scanner struct {
	stop               string // token that ends stop-commands; empty when commands count
	annotations, masks int
}

// retired are commands that GitHub once followed: they would change later steps from what
// any program prints.
var retired = map[string]string{
	"set-output": "GITHUB_OUTPUT",
	"save-state": "GITHUB_STATE",
	"set-env":    "GITHUB_ENV",
	"add-path":   "GITHUB_PATH",
}

// Scan understands one line, given without its line end.
func (s *Scanner) Scan(line string) Line {
	text := Line{Kind: LineText, Text: line}
	if len(line) > MaxCommandLine {
		return text
	}
	name, properties, data, ok := command(line)
	if !ok {
		return text
	}
	if s.stop != "" {
		if name != s.stop {
			return text
		}
		s.stop = ""
		return Line{Kind: LineResume}
	}
	switch strings.ToLower(name) {
	case "group":
		return Line{Kind: LineGroup, Text: unescape(data)}
	case "endgroup":
		return Line{Kind: LineEndGroup}
	case "debug":
		return Line{Kind: LineDebug, Text: unescape(data)}
	case "error", "warning", "notice":
		return s.annotate(annotation(Level(strings.ToLower(name)), properties, unescape(data)), text)
	case "add-mask":
		return s.mask(unescape(data))
	case "stop-commands":
		if data == "" || isCommand(data) {
			return text // a token that is a command could never end it, or would end it at once
		}
		s.stop = data
		return Line{Kind: LineStop}
	}
	if file, old := retired[strings.ToLower(name)]; old {
		return s.annotate(&Annotation{
			Level: LevelWarning, FromServer: true,
			Message: "the command " + strings.ToLower(name) + " is not followed: append NAME=VALUE to the file $" + file,
		}, text)
	}
	return text
}

func isCommand(token string) bool {
	switch strings.ToLower(token) {
	case "group", "endgroup", "debug", "error", "warning", "notice", "add-mask", "stop-commands":
		return true
	}
	return false
}

func (s *Scanner) annotate(a *Annotation, text Line) Line {
	if s.annotations++; s.annotations > MaxAnnotations {
		return text
	}
	return Line{Kind: LineAnnotation, Text: a.Message, Annotation: a}
}

// mask hides the line even when the limit is passed or there is nothing to mask: it holds a secret.
func (s *Scanner) mask(secret string) Line {
	if s.masks++; s.masks > MaxMasks || strings.TrimSpace(secret) == "" {
		secret = ""
	}
	return Line{Kind: LineMask, Mask: secret}
}

// command splits "::name key=value,key=value::data".
func command(line string) (name, properties, data string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "::")
	if !ok {
		return "", "", "", false
	}
	head, data, ok := strings.Cut(rest, "::")
	if !ok {
		return "", "", "", false
	}
	name, properties, _ = strings.Cut(strings.TrimSpace(head), " ")
	return name, properties, data, name != ""
}

func annotation(level Level, properties, message string) *Annotation {
	a := &Annotation{Level: level, Message: message}
	for p := range strings.SplitSeq(properties, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		value = unescapeProperty(value)
		switch strings.ToLower(key) {
		case "file":
			a.File = value
		case "title":
			a.Title = value
		case "line":
			a.Line = natural(value)
		case "endline":
			a.EndLine = natural(value)
		case "col":
			a.Column = natural(value)
		case "endcolumn":
			a.EndColumn = natural(value)
		}
	}
	return a
}

// natural is a number from 1 that fits 31 bits, else 0: unknown.
func natural(s string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 1 {
		return 0
	}
	return int(n)
}

// unescape undoes the three escapes of data.
func unescape(s string) string {
	return strings.NewReplacer("%25", "%", "%0D", "\r", "%0d", "\r", "%0A", "\n", "%0a", "\n").Replace(s)
}

// unescapeProperty undoes the five escapes of a property's value.
func unescapeProperty(s string) string {
	return strings.NewReplacer("%25", "%", "%0D", "\r", "%0d", "\r", "%0A", "\n", "%0a", "\n",
		"%3A", ":", "%3a", ":", "%2C", ",", "%2c", ",").Replace(s)
}
