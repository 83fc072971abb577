package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Document is v as a document: what v is in JSON, which must be an object.
func Document(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("make a document: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("make a document: %w", err)
	}
	return doc, nil
}

// normal is doc with whole numbers as int64, so that "failed == 0" and "count + 1" mean what
// they say, other numbers as float64 and times as text. doc stays as it is.
func normal(doc map[string]any) map[string]any {
	out := make(map[string]any, len(doc))
	for k, v := range doc {
		out[k] = normalValue(v)
	}
	return out
}

func normalValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return normal(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normalValue(v[i])
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, text := range v {
			out[k] = text
		}
		return out
	case []string:
		out := make([]any, len(v))
		for i, text := range v {
			out[i] = text
		}
		return out
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return whole(f)
		}
		return v.String()
	case float64:
		return whole(v)
	case float32:
		return whole(float64(v))
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return v
}

// whole is f as an int64 where it is one exactly, else f.
func whole(f float64) any {
	const exact = 1 << 53 // above it not every whole number is a float64
	if f == math.Trunc(f) && math.Abs(f) <= exact {
		return int64(f)
	}
	return f
}

// typeName says what v is, for people.
func typeName(v ref.Val) string {
	if t, ok := v.Type().(*types.Type); ok {
		return kindName(t.Kind())
	}
	return v.Type().TypeName()
}

func kindName(k types.Kind) string {
	if n, ok := kindNames[k]; ok {
		return n
	}
	return "a value of another type"
}

var kindNames = map[types.Kind]string{
	types.BoolKind: "true or false", types.StringKind: "a string", types.IntKind: "a number", types.UintKind: "a number",
	types.DoubleKind: "a number", types.ListKind: "a list", types.MapKind: "a map", types.NullTypeKind: "null",
	types.BytesKind: "bytes", types.DurationKind: "a duration", types.TimestampKind: "a time", types.TypeKind: "a type",
}

// native is v as JSON has it; v came out of a document.
func native(v ref.Val) any {
	if v.Type() == types.NullType {
		return nil
	}
	return v.Value()
}
