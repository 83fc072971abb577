package workflow_test

import (
	"strings"
	"testing"

	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

func sample() workflow.Context {
	return workflow.Context{
		Github: map[string]any{"ref": "refs/heads/main", "sha": "abc", "run_number": 7, "actor": ""},
		Env:    map[string]any{"A": "x", "Num": "12", "list": `[1,"b",{"n":3},{"n":4}]`, "tree": `{"a":{"b":[10,20]},"t":true,"z":null}`},
		Steps: map[string]any{
			"One": workflow.StepState{Outputs: map[string]string{"V": "1"}, Outcome: workflow.Failure, Conclusion: workflow.Success}.Value(),
		},
		Job:    map[string]any{"status": "success"},
		Runner: map[string]any{"os": "Linux"},
	}
}

// The expected values are those that GitHub's documentation of expressions gives, or follow
// from its rules of coercion.
func TestEval(t *testing.T) {
	for expr, want := range map[string]string{
		`null`: "", `true`: "true", `false`: "false", `711`: "711", `-9.2`: "-9.2", `0xff`: "255", `-2.99e-2`: "-0.0299",
		`'It''s'`: "It's", `1e21`: "1E+21", `0.1`: "0.1", `1000000`: "1000000", `123456789`: "123456789",

		`github.sha`: "abc", `GITHUB.SHA`: "abc", `github['sha']`: "abc", `github.run_number`: "7", `github.actor`: "",
		`env.A`: "x", `env.a`: "x", `env.nope`: "", `env.nope.deeper`: "", `env`: "Object", `runner.os`: "Linux", `job.status`: "success",
		`steps.one.outputs.v`: "1", `steps.One.outcome`: "failure", `steps.one.conclusion`: "success", `steps.two.outputs.v`: "",
		`needs.a.result`: "",

		`1 == 1`: "true", `1 == '1'`: "true", `'a' == 'A'`: "true", `'a' != 'b'`: "true", `null == 0`: "true", `null == ''`: "true",
		`true == 1`: "true", `true == 'true'`: "false", `'' == 0`: "true", `'x' == 0`: "false", `'x' != 0`: "true", `null == false`: "true",
		`' 12 ' == 12`: "true", `'0xff' == 255`: "true", `'1e1' == 10`: "true", `'0x' == 0`: "false", `'Infinity' > 1`: "true",
		`'-Infinity' < 1`: "true", `'b' > 'A'`: "true", `'a' < 1`: "false", `'a' >= 1`: "false", `2 <= 2`: "true", `3 >= 4`: "false", `1 < 2`: "true",
		`env == env`: "true", `env == 1`: "false", `env == github`: "false", `fromJSON('[1]') == fromJSON('[1]')`: "false",
		`env.Num > 3`: "true",

		`!true`: "false", `!''`: "true", `!0`: "true", `!'0'`: "false", `!null`: "true", `!env`: "false",
		`true && 'yes' || 'no'`: "yes", `false && 'yes' || 'no'`: "no", `'' || 0`: "0", `'a' && ''`: "", `null || false || 'x'`: "x",

		`contains('Hello', 'LL')`: "true", `contains('Hello', 'z')`: "false", `contains('a12', 12)`: "true", `contains('x', null)`: "true",
		`contains(fromJSON('["push","x"]'), 'PUSH')`: "true", `contains(fromJSON('["1"]'), 1)`: "true", `contains(fromJSON('["12"]'), 1)`: "false",
		`contains(env, 'x')`: "false", `contains(fromJSON(env.list).*.n, 4)`: "true",
		`startsWith('Hello', 'he')`: "true", `startsWith('Hello', 'lo')`: "false", `endsWith('Hello', 'LO')`: "true", `startsWith(12, 1)`: "true",

		`format('{0} {1} {0}', 'a', 1)`: "a 1 a", `format('{{0}} {0}', 'a')`: "{0} a", `format('x')`: "x", `format('{0}', null)`: "", `format('{0}', env)`: "Object",
		`join(fromJSON('["a","b"]'))`: "a,b", `join(fromJSON('["a",1,null,true]'), '-')`: "a-1--true", `join('a')`: "a", `join(env)`: "",
		`join(fromJSON(env.list).*.n, ' ')`: "3 4", `join(fromJSON('[]'))`: "",

		`fromJSON(env.tree).a.b[1]`: "20", `fromJSON(env.tree).A.B[0]`: "10", `fromJSON(env.tree).a['b'][1.9]`: "20", `fromJSON(env.tree).a.b[2]`: "",
		`fromJSON(env.tree).a.b[-1]`: "", `fromJSON(env.tree).a.b['1']`: "20", `fromJSON(env.tree).t`: "true", `fromJSON(env.tree).z`: "",
		`fromJSON('"s"')`: "s", `fromJSON(' 3 ')`: "3", `fromJSON(env.tree).a.b`: "Array", `fromJSON(env.list).*.n`: "Array",
		`fromJSON('{"x":{"n":1},"y":{"n":2}}').*.n[1]`: "2", `join(fromJSON('[[1,2],[3]]').*.*, '')`: "123",
		`toJSON('a')`: `"a"`, `toJSON(null)`: "null", `toJSON(fromJSON('[1,{"a":"<"}]'))`: "[\n  1,\n  {\n    \"a\": \"<\"\n  }\n]",
		`toJSON(steps.one.outputs)`: "{\n  \"V\": \"1\"\n}",
	} {
		text, ok := workflow.TextOf("${{ " + expr + " }}")
		if !ok {
			t.Errorf("%s is refused", expr)
			continue
		}
		got, err := text.Eval(sample())
		if err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", expr, got, err, want)
		}
	}
}

func TestTextAround(t *testing.T) {
	for src, want := range map[string]string{
		"":                                  "",
		"plain }} text":                     "plain }} text",
		"a ${{ github.sha }} b ${{ 1 }}":    "a abc b 1",
		"${{'}}'}}":                         "}}",
		"${{ github.sha }}${{ github.sha}}": "abcabc",
		"$${{ 1 }}":                         "$1",
	} {
		text, ok := workflow.TextOf(src)
		got, err := text.Eval(sample())
		if !ok || err != nil || got != want || text.Source() != src {
			t.Errorf("%q = %q, %v, %v, want %q", src, got, ok, err, want)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	for expr, want := range map[string]string{
		`fromJSON('{')`:              "no JSON",
		`fromJSON('')`:               "no JSON",
		`format('{1}', 'a')`:         "no argument for {1}",
		`format('{x}', 'a')`:         "no argument for {x}",
		`format('{0', 'a')`:          "stands alone",
		`format('}', 'a')`:           "stands alone",
		`format('{999}', 1)`:         "no argument",
		`format('{0}{0}', env.huge)`: "over 1048576 bytes",
		`format('{0}', env.huge) == join(fromJSON(format('["{0}","{0}"]', env.huge)))`: "over 1048576 bytes",
		`fromJSON(env.deep)`:                            "no JSON",
		`toJSON(fromJSON(env.nested))`:                  "nested deeper",
		strings.Repeat(`toJSON(env.huge) == `, 9) + `1`: "too much text",
	} {
		text, ok := workflow.TextOf("${{ " + expr + " }}")
		if !ok {
			t.Errorf("%s is refused", expr)
			continue
		}
		c := workflow.Context{Env: map[string]any{
			"huge": huge[:len(huge)-8], "deep": strings.Repeat("[", 20000), "nested": strings.Repeat("[", 200) + strings.Repeat("]", 200),
		}}
		got, err := text.Eval(c)
		if f := fault.As(err); f == nil || !strings.Contains(f.Message, want) || f.Position() != "w.yml:1:1" {
			t.Errorf("%s = %.40q, %v, want an error with %q", expr, got, err, want)
		}
	}
}

// A small expression must neither grow nor work without bound.
func TestEvalBounded(t *testing.T) {
	grow := "'xxxxxxxxxxxxxxxx'"
	for range 40 {
		grow = "format('{0}{0}{0}{0}', " + grow + ")" // 16·4⁴⁰ bytes
	}
	work := "contains(fromJSON(env.many), 3)" + strings.Repeat(" || contains(fromJSON(env.many), 3)", 100)
	c := workflow.Context{Env: map[string]any{"many": "[" + strings.Repeat("0,", 4000) + "0]"}}
	for expr, want := range map[string]string{grow: "makes a string of over", work: "takes too many steps"} {
		text, ok := workflow.TextOf("${{ " + expr + " }}")
		if !ok {
			t.Fatalf("%.40s is refused", expr)
		}
		if got, err := text.Eval(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s… = %.20q, %v, want %q", expr, got, err, want)
		}
	}
}

func TestCond(t *testing.T) {
	good, failed, cancelled := workflow.Status{}, workflow.Status{Failed: true}, workflow.Status{Cancelled: true}
	for _, row := range []struct {
		expr   string
		status workflow.Status
		want   bool
	}{
		{"true", good, true},
		{"true", failed, false},
		{"true", cancelled, false},
		{"true", workflow.Status{Skipped: true}, false},
		{"false", good, false},
		{"'x'", good, true},
		{"''", good, false},
		{"${{ github.sha == 'abc' }}", good, true},
		{"github.sha == 'abc'", failed, false},
		{"success()", good, true},
		{"success()", failed, false},
		{"!success()", failed, true},
		{"failure()", failed, true},
		{"failure()", good, false},
		{"failure()", cancelled, false},
		{"Always()", failed, true},
		{"always() && github.sha == 'x'", good, false},
		{"cancelled()", cancelled, true},
		{"cancelled() || failure()", failed, true},
		{"cancelled()", failed, false},
		{"contains('failure()', 'x')", failed, false}, // in a string it is no call
	} {
		c, ok := workflow.CondOf(row.expr)
		ctx := sample()
		ctx.Status = row.status
		got, err := c.Eval(ctx)
		if !ok || err != nil || got != row.want {
			t.Errorf("if: %s with %+v = %v, %v, %v, want %v", row.expr, row.status, got, ok, err, row.want)
		}
	}
	if got, err := (workflow.Cond{}).Eval(workflow.Context{Status: failed}); got || err != nil {
		t.Errorf("the zero Cond after a failure = %v, %v", got, err)
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"github.sha == 'x' && !failure()", "fromJSON('[1]').*.a[0]", "format('{0}}}', 1)", "((((", "-1e999", "a.b['c'].*", "toJSON(env)",
		"contains(fromJSON('[[1]]').*.*, '\x00')", "'unclosed", "1 || 2 && 3 == 4 < 5", "join(github.*, env.A)", "!!!!!0x7fffffff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			return // longer than any expression that is read
		}
		if text, ok := workflow.TextOf("${{ " + s + " }}"); ok {
			if got, err := text.Eval(sample()); err != nil && got != "" {
				t.Error("a value came with an error")
			}
		}
		if c, ok := workflow.CondOf(s); ok {
			_, _ = c.Eval(sample())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(good(f))
	f.Add([]byte("on: push\njobs: {a: {runs-on: linux, steps: [{run: 'a ${{ github.sha }}'}]}}"))
	f.Add([]byte("on: [push]\nx-drawbridge: {a: b}\njobs:\n  a:\n    timeout-minutes: !!float nan\n"))
	f.Add([]byte("a: &a [*a]\n---\n? {}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		w, err := workflow.Parse("w.yml", src)
		if (w == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", w, err)
		}
		if err != nil {
			if p := fault.As(err); p == nil || p.File != "w.yml" || strings.ContainsAny(p.Message, "\n\r") {
				t.Fatalf("the error is no fault of the file: %v", err)
			}
			return
		}
		if len(w.Jobs) == 0 || w.Name == "" {
			t.Fatalf("an empty workflow was accepted: %+v", w)
		}
		w.Ready(workflow.RunState{})
	})
}
