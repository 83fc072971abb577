package expr

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"drawbridge/internal/fault"
)

// base is the language without variables, made once because it takes milliseconds.
var base = sync.OnceValues(func() (*cel.Env, error) {
	const (
		depth  = 64   // of nesting, far more than a person reads
		nodes  = 5000 // of the tree, macros expanded
		errors = 10   // after which the parser gives up
		regex  = 2000 // instructions of a compiled regular expression
	)
	return cel.NewEnv(
		ext.Strings(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxSource),
		cel.ParserRecursionLimit(depth),
		cel.ParserErrorRecoveryLimit(errors),
		cel.ExpressionNodeLimit(nodes),
		cel.RegexProgramSizeLimit(regex),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
	)
})

// environment is the language with the variables vars, each of any type.
func environment(vars []string) (*cel.Env, error) {
	env, err := base()
	if err != nil {
		return nil, err
	}
	opts := make([]cel.EnvOption, 0, len(vars))
	for _, v := range vars {
		opts = append(opts, cel.Variable(v, cel.DynType))
	}
	return env.Extend(opts...)
}

// checkResult refuses an expression that can never give what is wanted. One over values of
// any type may, and is looked at when it runs.
func checkResult(ast *cel.Ast, want Kind) error {
	got := ast.OutputType()
	switch {
	case got.Kind() == types.DynKind:
		return nil
	case want == Bool && got.IsExactType(cel.BoolType), want == String && got.IsExactType(cel.StringType):
		return nil
	case want == Bool:
		return fault.New(fault.Invalid, "1:1: the condition gives %s, not true or false", kindName(got.Kind())).
			WithHint("compare it with something, for example %s == …", "a")
	}
	return fault.New(fault.Invalid, "1:1: the expression gives %s, not a string", kindName(got.Kind())).
		WithHint("write string(…) around it")
}

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

// What checkCost takes for granted about documents; MaxCost holds for all others.
const (
	usualSize   = 100 // items of a list or map, characters of a string
	maxEstimate = 10 * MaxCost
)

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
