package workflow

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An expression's value is nil, bool, float64, string, []any or map[string]any, or a
// filtered: what an object filter (.*) gives.

// filtered is the result of x.*: a property of it is the list of that property of each element.
type filtered []any

// normal turns what a Context may hold into a value; anything unknown is null.
func normal(v any) any {
	switch v := v.(type) {
	case nil, bool, float64, string, []any, map[string]any, filtered:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case []string:
		return list(v)
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return m
	}
	return nil
}

func list(v []string) []any {
	out := make([]any, len(v))
	for i, s := range v {
		out[i] = s
	}
	return out
}

func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && !math.IsNaN(v)
	case string:
		return v != ""
	}
	return true
}

// toNumber is GitHub's coercion for comparison.
func toNumber(v any) float64 {
	switch v := v.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 1
		}
		return 0
	case float64:
		return v
	case string:
		return parseNumber(v)
	}
	return math.NaN()
}

func parseNumber(s string) float64 {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return 0
	case len(s) > 400:
		return math.NaN()
	case s == "Infinity":
		return math.Inf(1)
	case s == "-Infinity":
		return math.Inf(-1)
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0o"):
		n, err := strconv.ParseUint(strings.Replace(s, "_", "!", 1), 0, 32)
		switch {
		case err != nil:
			return math.NaN()
		case n > math.MaxInt32: // as on GitHub, these are 32 bits with a sign
			return float64(n) - 1<<32
		}
		return float64(n)
	}
	if strings.Trim(s, "0123456789.eE+-") != "" {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// toString is how a value stands in text.
func toString(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return formatNumber(v)
	case string:
		return v
	case map[string]any:
		return "Object"
	}
	return "Array"
}

func formatNumber(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return "0" // -0 too
	case math.Abs(f) >= 1e15 || math.Abs(f) < 1e-5:
		return strings.ToUpper(strconv.FormatFloat(f, 'g', 15, 64))
	}
	s := strconv.FormatFloat(f, 'g', 15, 64)
	if strings.Contains(s, "e") {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return s
}

// isPrimitive reports whether v has a text of its own.
func isPrimitive(v any) bool {
	switch v.(type) {
	case nil, bool, float64, string:
		return true
	}
	return false
}

// compare orders two values by GitHub's rules: strings without regard to case, values of
// different kinds as numbers. ok is false where there is no order (NaN, lists, objects).
func compare(a, b any) (order int, ok bool) {
	if x, is := a.(string); is {
		if y, is := b.(string); is {
			return strings.Compare(strings.ToUpper(x), strings.ToUpper(y)), true
		}
	}
	if !isPrimitive(a) && !isPrimitive(b) {
		return 0, sameObject(a, b)
	}
	x, y := toNumber(a), toNumber(b)
	switch {
	case math.IsNaN(x) || math.IsNaN(y):
		return 0, false
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

// sameObject reports whether a and b are one list or object: equal content is not enough.
func sameObject(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return x.Kind() == y.Kind() && x.Pointer() == y.Pointer() && x.Len() == y.Len()
}

// property finds name in an object: as written, else in any case of letters, the first in
// the order of bytes.
func property(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return normal(v)
	}
	var found []string
	for k := range m {
		if strings.EqualFold(k, name) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return normal(m[slices.Min(found)])
}
