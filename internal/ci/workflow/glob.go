package workflow

import (
	"errors"
	"regexp"
	"strings"
)

// maxPattern bounds one filter pattern, in bytes.
const maxPattern = 1024

// glob compiles a filter pattern of GitHub's: * is anything but a slash, ** anything, ? and +
// repeat the character before (zero or one, one or more), [] lists characters or ranges, and a
// backslash takes the next character as it is. The result runs in time linear in the name.
func glob(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || len(pattern) > maxPattern {
		return nil, errors.New("must have 1 to 1024 characters")
	}
	var atoms []string
	for rest := pattern; rest != ""; {
		atom, after, err := globAtom(rest, atoms)
		if err != nil {
			return nil, err
		}
		if atom == "?" || atom == "+" {
			last := len(atoms) - 1
			atoms[last] = "(?:" + atoms[last] + ")" + atom
		} else {
			atoms = append(atoms, atom)
		}
		rest = after
	}
	re, err := regexp.Compile(`\A(?s:` + strings.Join(atoms, "") + `)\z`)
	if err != nil {
		return nil, errors.New("is malformed")
	}
	return re, nil
}

// globAtom cuts the first atom off s and translates it; "?" and "+" stand for themselves.
func globAtom(s string, before []string) (atom, rest string, err error) {
	switch s[0] {
	case '*':
		if after := strings.TrimLeft(s, "*"); len(s)-len(after) > 1 {
			return ".*", after, nil
		}
		return "[^/]*", s[1:], nil
	case '?', '+':
		if len(before) == 0 {
			return "", "", errors.New("nothing stands before " + s[:1])
		}
		return s[:1], s[1:], nil
	case '[':
		set, after, ok := strings.Cut(s[1:], "]")
		if !ok || set == "" || strings.ContainsAny(set, `[\^/`) {
			return "", "", errors.New("a list in brackets must hold characters or ranges and be closed")
		}
		return "[" + set + "]", after, nil
	case '\\':
		if len(s) == 1 {
			return "", "", errors.New("ends with a backslash")
		}
		s = s[1:]
	}
	r := []rune(s)[0]
	char := string(r)
	return regexp.QuoteMeta(char), strings.TrimPrefix(s, char), nil
}
