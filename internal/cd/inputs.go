package cd

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// Limits of the inputs of one promotion: a person's values, which a manual trigger's schema took.
const (
	maxInputs    = 50       // names
	maxInputSize = 64 << 10 // bytes of all of them, as JSON
)

// inputPrefix begins the variables of inputs; nothing else may begin so.
const inputPrefix = "INPUT_"

// inputForm is what a name of an input may be: each gives one variable.
var inputForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// inputVariable is the environment variable of an input: "dry-run" gives INPUT_DRY_RUN.
func inputVariable(name string) string {
	return inputPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// checkInputNames refuses a name that is none, and two that give one variable.
func checkInputNames(names []string) (wrong string, err error) {
	if len(names) > maxInputs {
		return "", fault.New(fault.Invalid, "%d inputs are more than %d", len(names), maxInputs)
	}
	seen := map[string]string{}
	slices.Sort(names)
	for _, name := range names {
		if !inputForm.MatchString(name) {
			return name, fault.New(fault.Invalid, "%.80q is no name of an input", name).
				WithHint("use letters, digits, hyphens and underscores, a letter first, at most 63")
		}
		v := inputVariable(name)
		if other, ok := seen[v]; ok {
			return name, fault.New(fault.Invalid, "inputs %q and %q are both %s to a process", other, name, v).WithHint("give one of them another name")
		}
		seen[v] = name
	}
	return "", nil
}

// takeInputs checks what a person gave once more and makes it what a stored plan reads back,
// so that the plan's digest does not depend on where the values came from.
func takeInputs(inputs map[string]any) (map[string]any, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	if _, err := checkInputNames(slices.Collect(maps.Keys(inputs))); err != nil {
		return nil, fault.As(err).WithField("inputs")
	}
	body, err := json.Marshal(inputs)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the inputs are no JSON: %v", err).WithField("inputs")
	}
	if len(body) > maxInputSize {
		return nil, fault.New(fault.TooLarge, "the inputs have %d bytes, more than %d", len(body), maxInputSize).WithField("inputs")
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, fmt.Errorf("read the inputs back: %w", err)
	}
	for name, value := range out {
		if s, ok := value.(string); ok && strings.ContainsRune(s, 0) {
			return nil, fault.New(fault.Invalid, "input %q holds a NUL byte, which no variable can", name).WithField("inputs." + name)
		}
	}
	return out, nil
}

// inputVariables are the environment variables that inputs give: text as it is, nothing for
// null, everything else as JSON, which for numbers and truth values is their text.
func inputVariables(inputs map[string]any) map[string]string {
	if len(inputs) == 0 {
		return nil
	}
	out := make(map[string]string, len(inputs))
	for name, value := range inputs {
		out[inputVariable(name)] = inputText(value)
	}
	return out
}

func inputText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is read by programs
	if err := e.Encode(value); err != nil {
		panic("cd: an input of a stored plan is no JSON: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
