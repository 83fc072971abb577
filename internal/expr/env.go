package expr

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

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
	return cel.NewEnv(append(texts(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxSource),
		cel.ParserRecursionLimit(depth),
		cel.ParserErrorRecoveryLimit(errors),
		cel.ExpressionNodeLimit(nodes),
		cel.RegexProgramSizeLimit(regex),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
	)...)
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
