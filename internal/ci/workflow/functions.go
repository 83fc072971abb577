package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rhysd/actionlint"
)

// function is one function of the language: how many arguments it takes, and what it does.
type function struct {
	least, most int
	status      bool // it asks for the status: naming it in an if lifts the implicit success()
	call        func(e *evaluator, args []any) (any, error)
}

const anyNumber = 255 // arguments of format

// functionTable lists every function, by name in lower case. It is only read.
var functionTable = map[string]function{
	"success":    {status: true, call: func(e *evaluator, _ []any) (any, error) { return e.context.Status.success(), nil }},
	"failure":    {status: true, call: func(e *evaluator, _ []any) (any, error) { return e.context.Status.Failed, nil }},
	"cancelled":  {status: true, call: func(e *evaluator, _ []any) (any, error) { return e.context.Status.Cancelled, nil }},
	"always":     {status: true, call: func(*evaluator, []any) (any, error) { return true, nil }},
	"contains":   {least: 2, most: 2, call: callContains},
	"startswith": {least: 2, most: 2, call: textual(strings.HasPrefix)},
	"endswith":   {least: 2, most: 2, call: textual(strings.HasSuffix)},
	"format":     {least: 1, most: anyNumber, call: callFormat},
	"join":       {least: 1, most: 2, call: callJoin},
	"tojson":     {least: 1, most: 1, call: callToJSON},
	"fromjson":   {least: 1, most: 1, call: callFromJSON},
}

func (e *evaluator) call(n *actionlint.FuncCallNode) (any, error) {
	f, ok := functionTable[strings.ToLower(n.Callee)]
	if !ok {
		return nil, fmt.Errorf("there is no function %q", n.Callee)
	}
	if len(n.Args) < f.least || len(n.Args) > f.most {
		return nil, fmt.Errorf("%s takes another number of arguments than %d", n.Callee, len(n.Args))
	}
	args := make([]any, len(n.Args))
	for i, a := range n.Args {
		v, err := e.eval(a)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	v, err := f.call(e, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Callee, err)
	}
	return v, nil
}

func callContains(e *evaluator, args []any) (any, error) {
	var elems []any
	switch v := args[0].(type) {
	case []any:
		elems = normals(v)
	case filtered:
		elems = v
	default:
		return textual(strings.Contains)(e, args)
	}
	if err := e.spend(len(elems)); err != nil {
		return nil, err
	}
	for _, el := range elems {
		if order, ok := compare(el, args[1]); ok && order == 0 {
			return true, nil
		}
	}
	return false, nil
}

// textual makes a function of two texts that ignores the case of letters; what has no text
// of its own never matches.
func textual(f func(s, part string) bool) func(*evaluator, []any) (any, error) {
	return func(e *evaluator, args []any) (any, error) {
		if !isPrimitive(args[0]) || !isPrimitive(args[1]) {
			return false, nil
		}
		s, part := toString(args[0]), toString(args[1])
		if err := e.spend((len(s) + len(part)) / 64); err != nil {
			return nil, err
		}
		return f(strings.ToUpper(s), strings.ToUpper(part)), nil
	}
}

func callFormat(e *evaluator, args []any) (any, error) {
	pattern := toString(args[0])
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if b.Len() > maxString {
			return nil, errTooLong
		}
		c := pattern[i]
		if c != '{' && c != '}' {
			b.WriteByte(c)
			continue
		}
		if i+1 < len(pattern) && pattern[i+1] == c {
			b.WriteByte(c)
			i++
			continue
		}
		end := strings.IndexByte(pattern[i:], '}')
		if c == '}' || end < 0 {
			return nil, fmt.Errorf("a %c stands alone: write it twice", c)
		}
		n, err := strconv.ParseUint(pattern[i+1:i+end], 10, 8)
		if err != nil || int(n)+1 >= len(args) {
			return nil, fmt.Errorf("there is no argument for {%s}", pattern[i+1:i+end])
		}
		b.WriteString(toString(args[n+1]))
		i += end
	}
	return e.made(b.String())
}

func callJoin(e *evaluator, args []any) (any, error) {
	separator := ","
	if len(args) == 2 {
		separator = toString(args[1])
	}
	var elems []any
	switch v := args[0].(type) {
	case []any:
		elems = normals(v)
	case filtered:
		elems = v
	default:
		if isPrimitive(v) {
			return e.made(toString(v))
		}
		return "", nil
	}
	var b strings.Builder
	for i, el := range elems {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(toString(el))
		if b.Len() > maxString {
			return nil, errTooLong
		}
	}
	if err := e.spend(len(elems)); err != nil {
		return nil, err
	}
	return e.made(b.String())
}

func callToJSON(e *evaluator, args []any) (any, error) {
	if err := e.measure(args[0], 0); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(args[0]); err != nil {
		return nil, fmt.Errorf("the value has no JSON form: %w", err)
	}
	return e.made(strings.TrimSuffix(b.String(), "\n"))
}

// measure spends v's size before it is written, so that a big value is refused and not made.
// depth 100 at two blanks a level keeps the indentation in proportion.
func (e *evaluator) measure(v any, depth int) error {
	if depth > 100 {
		return fmt.Errorf("the value is nested deeper than 100")
	}
	if err := e.spend(1); err != nil {
		return err
	}
	switch v := normal(v).(type) {
	case string:
		_, err := e.made(v)
		return err
	case []any:
		return e.measureAll(v, depth)
	case filtered:
		return e.measureAll(v, depth)
	case map[string]any:
		for k, el := range v {
			if _, err := e.made(k); err != nil {
				return err
			}
			if err := e.measure(el, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *evaluator) measureAll(v []any, depth int) error {
	for _, el := range v {
		if err := e.measure(el, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func callFromJSON(e *evaluator, args []any) (any, error) {
	s := toString(args[0])
	if _, err := e.made(s); err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return nil, fmt.Errorf("the text is no JSON: %w", err)
	}
	return v, nil
}
