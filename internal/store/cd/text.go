package cd

import (
	"strings"
	"unicode/utf8"

	"drawbridge/internal/artifact"
)

// clipped is how many bytes of a text are kept where it is cut.
const clipped = 2000

// clip cuts a text to what a column or an audit detail keeps, and makes it one that the
// database takes: a reason may quote what a program printed.
func clip(s string) string {
	if len(s) > clipped {
		s = strings.ToValidUTF8(s[:clipped], "") + "…"
	}
	return clean(s)
}

// clean makes a text one that the database takes: UTF-8 without NUL.
func clean(s string) string {
	if isClean(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func isClean(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

// keyMax is the longest text in bytes that stands in a unique index as it is: PostgreSQL
// indexes rows of up to 2,704 bytes.
const keyMax = 512

// key is a text from outside as a unique index keeps it. One that is too long or that the
// database does not take is named by its digest, so that two of them stay two.
func key(s string) string {
	if len(s) <= keyMax && isClean(s) {
		return s
	}
	return clean(strings.ToValidUTF8(s[:min(len(s), 100)], "")) + "… " + artifact.DigestOf([]byte(s)).String()
}
