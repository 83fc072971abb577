package attest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"drawbridge/internal/artifact"
)

// olderStatement is the type of what cosign attest writes. It has the members of a
// Statement v1, with the same meaning.
const olderStatement = "https://in-toto.io/Statement/v0.1"

// statement is an in-toto statement as it was signed.
type statement struct {
	predicateType string
	subjects      []Subject // those with a SHA-256 digest
	predicate     json.RawMessage
}

// about returns the subject with digest d.
func (s statement) about(d artifact.Digest) (Subject, bool) {
	for _, sub := range s.subjects {
		if sub.Digest == d {
			return sub, true
		}
	}
	return Subject{}, false
}

// parseStatement reads an in-toto Statement, v1 or v0.1, strictly: one JSON value, no repeated keys
// (readers differ on which one counts), exact names, bounded depth and subjects.
func parseStatement(payload []byte) (statement, error) {
	if err := checkJSON(payload); err != nil {
		return statement{}, err
	}
	var top map[string]json.RawMessage // a struct would also match names in another case
	if err := json.Unmarshal(payload, &top); err != nil || top == nil {
		return statement{}, errors.New("the statement is no JSON object")
	}
	var typ string
	if err := json.Unmarshal(top["_type"], &typ); err != nil || typ != statementType && typ != olderStatement {
		return statement{}, fmt.Errorf("the statement is of type %q, not %s", clip(typ), statementType)
	}
	var st statement
	if err := json.Unmarshal(top["predicateType"], &st.predicateType); err != nil || st.predicateType == "" {
		return statement{}, errors.New("the statement has no predicateType")
	}
	var err error
	if st.subjects, err = parseSubjects(top["subject"]); err != nil {
		return statement{}, err
	}
	st.predicate = top["predicate"]
	return st, nil
}

func parseSubjects(raw json.RawMessage) ([]Subject, error) {
	var list []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return nil, errors.New("the statement has no subject")
	}
	if len(list) > MaxSubjects {
		return nil, fmt.Errorf("the statement has %d subjects, at most %d are read", len(list), MaxSubjects)
	}
	subjects := make([]Subject, 0, len(list))
	for _, s := range list {
		hex, ok := s.Digest["sha256"]
		if !ok {
			continue
		}
		d, err := artifact.ParseDigest("sha256:" + hex)
		if err != nil {
			return nil, fmt.Errorf("a subject's digest is malformed: %q", clip(hex))
		}
		subjects = append(subjects, Subject{Name: s.Name, Digest: d})
	}
	if len(subjects) == 0 {
		return nil, errors.New("no subject has a SHA-256 digest")
	}
	return subjects, nil
}

// checkJSON reads b once, without building anything, and refuses more than one value,
// nesting beyond maxDepth and keys that stand twice in one object.
func checkJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var open []map[string]bool // keys seen in each open object; nil for an array
	key := false               // the next string is a key
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.New("it is no valid JSON")
		}
		switch t := tok.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			if len(open) > maxDepth {
				return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
			}
		case string:
			if key {
				seen := open[len(open)-1]
				if seen[t] {
					return fmt.Errorf("the key %q stands twice in one object", clip(t))
				}
				seen[t], key = true, false
				continue
			}
		}
		if len(open) == 0 {
			return onlySpace(dec)
		}
		key = open[len(open)-1] != nil
	}
}

// onlySpace checks that nothing follows the value that dec has read.
func onlySpace(dec *json.Decoder) error {
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// shallow reports whether b nests objects and arrays no deeper than limit. It is a scan of
// bytes for text that nobody has signed yet and that a parser is about to recurse into.
func shallow(b []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}
