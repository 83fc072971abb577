package webhook

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// decode reads a body as a document of the form T.
func decode[T any](body []byte) (T, error) {
	var doc T
	if err := json.Unmarshal(body, &doc); err != nil {
		f := fault.New(fault.Invalid, "the body is no JSON document of this sender: %s", clean(err.Error(), 200))
		if bytes.HasPrefix(body, []byte("payload=")) {
			f = f.WithHint("choose application/json as the content type at the sender")
		}
		return doc, f
	}
	return doc, nil
}

// wrong is a document that does not say what it must, at a field.
func wrong(field, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...).WithField(field)
}

// clean makes text of a sender fit to be shown: one line, without control characters, at most
// limit runes.
func clean(s string, limit int) string {
	if len(s) > 16*limit {
		s = s[:16*limit]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > limit {
		return strings.TrimSpace(string(r[:limit]))
	}
	return s
}

// plain reports whether v can be kept as an id: 1 to 256 printable ASCII characters.
func plain(v string) bool {
	if v == "" || len(v) > 256 {
		return false
	}
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' })
}

// first is the first of the texts that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// tidy makes the texts of f that people read fit to be shown, and its time UTC.
func tidy(f bridge.Fact) bridge.Fact {
	f.Type, f.Source = clean(f.Type, 128), clean(f.Source, 256)
	f.Subject, f.Actor, f.Chain = clean(f.Subject, 256), clean(f.Actor, 128), clean(f.Chain, 64)
	if !f.At.IsZero() {
		f.At = f.At.UTC()
	}
	return f
}

// stamp is a time as senders write it: a text in one of the usual forms, seconds or
// milliseconds since 1970. What is none of these is the zero time: a sender's time is only shown.
type stamp struct{ time.Time }

// layouts are the forms of times that senders write as text.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"}

// UnmarshalJSON reads one of the forms and never fails.
func (s *stamp) UnmarshalJSON(b []byte) error {
	s.Time = time.Time{}
	var text string
	if json.Unmarshal(b, &text) == nil {
		s.Time = when(text)
		return nil
	}
	if n, err := strconv.ParseFloat(string(b), 64); err == nil && n > 0 && n < 1e14 {
		if n < 1e11 {
			n *= 1000
		}
		s.Time = time.UnixMilli(int64(n)).UTC()
	}
	return nil
}

// when reads a time as text; the zero time when it is none, or one that no calendar shows.
func when(text string) time.Time {
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil && t.Year() >= 1970 && t.Year() <= 9999 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// sortedKeys are the keys of m.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
