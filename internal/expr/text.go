package expr

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxText is the length in bytes of the longest text that a function makes.
const maxText = 1 << 20

// errLong says that a function would make more text than maxText. It is found before the text
// is made: the library's own replace, join and format make it first and count then, so that
// two long values of one event would fill the memory.
var errLong = errors.New("it makes a text of more than 1048576 bytes")

// texts are the functions on strings, named as in CEL's strings extension and meaning the same.
func texts() []cel.EnvOption {
	str, num, list := cel.StringType, cel.IntType, cel.ListType(cel.StringType)
	return []cel.EnvOption{
		member("lowerAscii", []*cel.Type{str}, str, func(a ...ref.Val) ref.Val { return types.String(ascii(text(a[0]), 'A', 'Z', 'a'-'A')) }),
		member("upperAscii", []*cel.Type{str}, str, func(a ...ref.Val) ref.Val { return types.String(ascii(text(a[0]), 'a', 'z', 'A'-'a')) }),
		member("trim", []*cel.Type{str}, str, func(a ...ref.Val) ref.Val { return types.String(strings.TrimSpace(text(a[0]))) }),
		member("replace", []*cel.Type{str, str, str}, str, func(a ...ref.Val) ref.Val { return replace(text(a[0]), text(a[1]), text(a[2])) }),
		member("split", []*cel.Type{str, str}, list, func(a ...ref.Val) ref.Val {
			return types.NewStringList(types.DefaultTypeAdapter, strings.Split(text(a[0]), text(a[1])))
		}),
		member("join", []*cel.Type{list, str}, str, func(a ...ref.Val) ref.Val { return join(a[0], text(a[1])) }),
		member("substring", []*cel.Type{str, num}, str, func(a ...ref.Val) ref.Val {
			r := []rune(text(a[0]))
			return cut(r, number(a[1]), int64(len(r)))
		}),
		member("substring", []*cel.Type{str, num, num}, str, func(a ...ref.Val) ref.Val {
			return cut([]rune(text(a[0])), number(a[1]), number(a[2]))
		}),
	}
}

// member declares x.name(args…), where args[0] is x.
func member(name string, args []*cel.Type, result *cel.Type, do func(args ...ref.Val) ref.Val) cel.EnvOption {
	id := fmt.Sprintf("text_%s_%d", name, len(args))
	switch len(args) {
	case 1:
		return cel.Function(name, cel.MemberOverload(id, args, result, cel.UnaryBinding(func(a ref.Val) ref.Val { return do(a) })))
	case 2:
		return cel.Function(name, cel.MemberOverload(id, args, result, cel.BinaryBinding(func(a, b ref.Val) ref.Val { return do(a, b) })))
	}
	return cel.Function(name, cel.MemberOverload(id, args, result, cel.FunctionBinding(do)))
}

// text and number read arguments, whose types the library has checked.
func text(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func number(v ref.Val) int64 {
	n, _ := v.(types.Int)
	return int64(n)
}

// ascii shifts the letters from first to last of s.
func ascii(s string, first, last, shift rune) string {
	return strings.Map(func(r rune) rune {
		if r >= first && r <= last {
			return r + shift
		}
		return r
	}, s)
}

func replace(s, old, with string) ref.Val {
	if grow := len(with) - len(old); grow > 0 && strings.Count(s, old) > (maxText-len(s))/grow {
		return types.WrapErr(errLong)
	}
	return types.String(strings.ReplaceAll(s, old, with))
}

func join(v ref.Val, sep string) ref.Val {
	list, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	var b strings.Builder
	for it, first := list.Iterator(), true; it.HasNext() == types.True; first = false {
		item := it.Next()
		s, ok := item.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(item)
		}
		if b.Len()+len(sep)+len(s) > maxText {
			return types.WrapErr(errLong)
		}
		if !first {
			b.WriteString(sep)
		}
		b.WriteString(string(s))
	}
	return types.String(b.String())
}

func cut(r []rune, from, to int64) ref.Val {
	if from < 0 || to > int64(len(r)) || from > to {
		return types.NewErr("index out of range: %d to %d of %d characters", from, to, len(r))
	}
	return types.String(r[from:to])
}
