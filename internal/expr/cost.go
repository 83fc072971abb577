package expr

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"drawbridge/internal/fault"
)

// What checkCost takes for granted about documents; MaxCost holds for all others.
const (
	usualSize   = 100 // items of a list or map, characters of a string
	maxEstimate = 10 * MaxCost
)

// checkCost refuses an expression whose usual run would meet the limit.
func checkCost(env *cel.Env, ast *cel.Ast) error {
	est, err := env.EstimateCost(ast, sizes{})
	if err != nil {
		return fault.New(fault.Invalid, "1:1: the cost of the expression cannot be estimated: %v", err)
	}
	if est.Max > maxEstimate {
		return fault.New(fault.TooLarge, "1:1: the expression may cost %d, more than %d, where each list has %d items", est.Max, maxEstimate, usualSize).
			WithHint("nest fewer all, exists, filter and map in one another")
	}
	return nil
}

// sizes is the estimate of documents whose shape nobody declared.
type sizes struct{}

// EstimateSize is the usual size of what is not known from the expression itself.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if n.ComputedSize() != nil {
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: usualSize}
}

// EstimateCallCost leaves calls to the library's own models.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// work is what a call did cost. The library counts a call as 1 where the types of its
// arguments were unknown at load, and here they always are: text that doubles would be free.
type work struct{}

// CallCost counts what a call looked at and what it made.
func (work) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	total := uint64(1)
	switch function {
	case operators.Index, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional, "size", "type":
		return &total
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		total += min(weight(args[0], MaxCost), weight(args[1], MaxCost))
		if function == operators.In || function == operators.OldIn {
			total += length(args[1])
		}
		return &total
	case "matches":
		if len(args) == 2 { // each character meets each part of the pattern
			total += (1 + length(args[0])/10) * (1 + length(args[1])/4)
		}
		return &total
	}
	for _, a := range args {
		total += length(a) / 10
	}
	total += length(result) / 10
	return &total
}

// length is how many bytes or items v has.
func length(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Lister:
		return uint64(max(number(v.Size()), 0))
	}
	return 0
}

// weight is how many values v holds, a tenth for each byte of text; it stops at limit.
func weight(v ref.Val, limit uint64) uint64 {
	total := uint64(1)
	switch v := v.(type) {
	case types.String, types.Bytes:
		total += length(v) / 10
	case traits.Lister:
		for it := v.Iterator(); total < limit && it.HasNext() == types.True; {
			total += weight(it.Next(), limit-total)
		}
	case traits.Mapper:
		for it := v.Iterator(); total < limit && it.HasNext() == types.True; {
			k := it.Next()
			total += weight(k, limit-total)
			if item, ok := v.Find(k); ok && total < limit {
				total += weight(item, limit-total)
			}
		}
	}
	return total
}
