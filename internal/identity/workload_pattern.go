package identity

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// checkPattern is nil when p may stand in a rule.
func checkPattern(p string) *fault.Error {
	switch {
	case p == "":
		return fault.New(fault.Invalid, "is empty").WithHint("write what the token must hold; * stands for a part between / and :")
	case !printableText(p):
		return fault.New(fault.Invalid, "must have at most %d characters, none of them a control character", maxText)
	case strings.Contains(p, "**"):
		return fault.New(fault.Invalid, "%.80q has ** in it", p).WithHint("* stands for one or more characters other than / and :, nothing stands for more")
	}
	return nil
}

// matches reports whether the whole of text is as pattern says: see Workload.
func matches(pattern, text string) bool {
	for {
		want, wantEnd, wantRest := segment(pattern)
		have, haveEnd, haveRest := segment(text)
		if wantEnd != haveEnd || !matchesSegment(want, have) {
			return false
		}
		if wantEnd == 0 {
			return true
		}
		pattern, text = wantRest, haveRest
	}
}

// segment cuts s at its first separator; end is 0 in the last segment.
func segment(s string) (first string, end byte, rest string) {
	i := strings.IndexAny(s, "/:")
	if i < 0 {
		return s, 0, ""
	}
	return s[:i], s[i], s[i+1:]
}

// matchesSegment matches within one segment. It takes the shortest match for each * but
// the last, which is enough and takes no more than len(pattern)·len(text) steps.
func matchesSegment(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, size := utf8.DecodeRuneInString(text) // * is at least one character
		i := strings.Index(text[size:], part)
		if size == 0 || i < 0 {
			return false
		}
		text = text[size+i+len(part):]
	}
	return len(text) > len(last) && strings.HasSuffix(text, last)
}

// printableText reports whether s is 1 to maxText bytes of text that can be shown and stored.
func printableText(s string) bool {
	return s != "" && len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
