package web

import (
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// inputPrefix begins the names of the form's fields that are inputs of a trigger.
const inputPrefix = "input."

// How an input is asked for.
const (
	inputText   = "text"
	inputNumber = "number"
	inputChoice = "choice"
	inputCheck  = "check"
	inputJSON   = "json" // whatever the others cannot do
)

// inputField is one input of a manual trigger as a form asks for it.
type inputField struct {
	Name, Label, Description string
	Kind                     string
	Whole                    bool // of a number: without a fraction
	Min, Max                 string
	Required                 bool
	Choices                  []inputOption
	Value                    string // as it was entered, at first the default; "true" of a checkbox that is on
	Problem                  *fault.Error
	alone                    json.RawMessage // schema of this input without the others
}

// Described are the ids of what stands beside the field about it.
func (f inputField) Described() string {
	var out []string
	if f.Description != "" {
		out = append(out, "input-"+f.Name+"-text")
	}
	if f.Problem != nil {
		out = append(out, "input-"+f.Name+"-problem")
	}
	return strings.Join(out, " ")
}

// inputOption is one value that can be chosen.
type inputOption struct {
	Value string // as JSON
	Label string
}

// inputSchema is what the form reads of the schema of all inputs.
type inputSchema struct {
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
}

// propertySchema is what the form reads of the schema of one input.
type propertySchema struct {
	Type        any               `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Enum        []json.RawMessage `json:"enum"`
	Const       json.RawMessage   `json:"const"`
	Minimum     json.Number       `json:"minimum"`
	Maximum     json.Number       `json:"maximum"`
}

// inputFields are the fields of a schema's inputs: the required ones first, then by name.
func inputFields(schema json.RawMessage) ([]inputField, error) {
	if len(schema) == 0 {
		return nil, nil
	}
	var whole inputSchema
	if err := json.Unmarshal(schema, &whole); err != nil {
		return nil, err
	}
	alone, err := withoutBonds(schema)
	if err != nil {
		return nil, err
	}
	var out []inputField
	for name, raw := range whole.Properties {
		f := inputField{Name: name, Label: name, Required: slices.Contains(whole.Required, name), alone: alone}
		f.fit(raw)
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b inputField) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// withoutBonds is the schema without what binds inputs to each other, so that one of them can
// be checked alone.
func withoutBonds(schema json.RawMessage) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(schema, &all); err != nil {
		return nil, err
	}
	kept := map[string]json.RawMessage{}
	for _, key := range []string{"$schema", "$id", "$defs", "definitions", "type", "properties"} {
		if v, ok := all[key]; ok {
			kept[key] = v
		}
	}
	return json.Marshal(kept)
}

// fit picks how the input is asked for. A schema that says more than the form understands
// is asked for as JSON.
func (f *inputField) fit(raw json.RawMessage) {
	var s propertySchema
	f.Kind = inputJSON
	if json.Unmarshal(raw, &s) != nil {
		return // true, false, or nothing that the form knows
	}
	if s.Title != "" {
		f.Label = s.Title
	}
	f.Description, f.Value = s.Description, string(s.Default)
	if len(s.Const) > 0 {
		s.Enum = []json.RawMessage{s.Const}
	}
	switch {
	case len(s.Enum) > 0:
		f.Kind = inputChoice
		f.Choices = each(s.Enum, func(v json.RawMessage) inputOption { return inputOption{string(v), plainText(v)} })
	case s.Type == "string":
		f.Kind, f.Value = inputText, plainText(s.Default)
	case s.Type == "integer", s.Type == "number":
		f.Kind, f.Whole, f.Min, f.Max = inputNumber, s.Type == "integer", s.Minimum.String(), s.Maximum.String()
	case s.Type == "boolean":
		f.Kind = inputCheck
	}
}

// plainText is a JSON value for people: text without quotes, everything else as it is.
func plainText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// read takes the input out of a form. An empty field is an input that was not given.
func (f *inputField) read(form url.Values) (value any, given bool, wrong *fault.Error) {
	f.Value = form.Get(inputPrefix + f.Name)
	if f.Kind == inputCheck {
		return f.Value == "true", true, nil
	}
	if f.Kind != inputText {
		f.Value = strings.TrimSpace(f.Value)
	}
	if f.Value == "" {
		if f.Required {
			return nil, false, fault.New(fault.Invalid, "is missing")
		}
		return nil, false, nil
	}
	value, wrong = f.parse()
	return value, wrong == nil, wrong
}

func (f *inputField) parse() (any, *fault.Error) {
	switch f.Kind {
	case inputText:
		return f.Value, nil
	case inputNumber:
		n, err := strconv.ParseFloat(f.Value, 64)
		if err != nil || strings.Trim(f.Value, "+-.0123456789eE") != "" {
			return nil, fault.New(fault.Invalid, "%.40q is no number", f.Value)
		}
		if f.Whole && n != math.Trunc(n) {
			return nil, fault.New(fault.Invalid, "%.40q is no whole number", f.Value)
		}
		return n, nil
	case inputChoice:
		if !slices.ContainsFunc(f.Choices, func(c inputOption) bool { return c.Value == f.Value }) {
			return nil, fault.New(fault.Invalid, "%.40q is none of the choices", f.Value)
		}
	}
	var v any
	if err := json.Unmarshal([]byte(f.Value), &v); err != nil {
		return nil, fault.New(fault.Invalid, "it is no JSON: %v", err).WithHint(`text stands in quotes: "text"`)
	}
	return v, nil
}

// check judges a value by the schema of its input alone, so that what is wrong stands beside it.
func (f *inputField) check(value any) *fault.Error {
	err := fault.As(bridge.Trigger{Name: f.Name, Inputs: f.alone}.CheckInputs(map[string]any{f.Name: value}))
	if err == nil {
		return nil
	}
	text, fits := strings.CutPrefix(err.Message, "the inputs do not fit: ")
	if !fits {
		return nil // the schema does not stand without the rest: it judges all inputs at once
	}
	return fault.New(fault.Invalid, "%s", strings.TrimPrefix(text, "at '/"+f.Name+"': "))
}
