package identity

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// WorkloadLife is how long a token lives that a workload got: long enough to post an event.
const WorkloadLife = 10 * time.Minute

// Exchange gives a workload that proves its identity a token that can post events for one
// application and nothing else. Its fields are set once, before use; it is safe for
// concurrent use.
//
// The identity token comes from the issuer of the workload's platform, a CI or a cluster.
// Only issuers that a rule names are ever asked for keys. One identity token may be
// exchanged several times while it lives: a CI repeats a step that broke off, and the token
// that it gets can do no more than the one before.
type Exchange struct {
	Rules    WorkloadRules
	Issuers  *Issuers
	Tokens   *Tokens
	Audience string // that rules without one expect: the server's own URL, without a slash at the end
}

// Exchange verifies idToken and returns a token of the role Events named workload:RULE, for
// application alone, with its secret. An empty application means the only one that the
// matching rules name.
//
// Faults: TooLarge over MaxIDToken; Unauthenticated when no rule takes the token, with what
// each rule of its issuer expects; Forbidden when rules take it, but for other applications;
// Invalid when the application must be named; Unavailable or Refused when the issuer's keys
// cannot be had. It returns once the token and its audit entry are committed.
func (x *Exchange) Exchange(ctx context.Context, idToken, application string) (Token, string, error) {
	t, err := parseIDToken(idToken)
	if err != nil {
		return Token{}, "", err
	}
	rules, err := x.Rules.Workloads(ctx)
	if err != nil {
		return Token{}, "", err
	}
	rules = slices.DeleteFunc(slices.Clone(rules), func(w Workload) bool { return w.Issuer != t.issuer || w.Check() != nil })
	if len(rules) == 0 {
		return Token{}, "", fault.New(fault.Unauthenticated, "no rule names the issuer of this identity token").
			WithHint("an admin says which workloads may post events, in a document of kind Workload")
	}
	claims, err := x.Issuers.verify(ctx, t)
	if err != nil {
		return Token{}, "", err
	}
	by := map[string]Workload{} // the first rule that takes the token for each application
	var why []string
	for _, w := range rules {
		if reason := w.refuses(claims, x.Audience); reason != "" {
			why = append(why, reason)
			continue
		}
		for _, a := range w.Applications {
			if _, there := by[a]; !there {
				by[a] = w
			}
		}
	}
	if len(by) == 0 {
		return Token{}, "", unproven(several(why))
	}
	application, err = choose(slices.Sorted(maps.Keys(by)), application)
	if err != nil {
		return Token{}, "", err
	}
	subject, _ := claims["sub"].(string)
	return x.Tokens.createWorkload(ctx, by[application].Name, subject, application)
}

// choose is the application that a workload is for, of those that it may be for.
func choose(may []string, application string) (string, error) {
	switch {
	case application == "" && len(may) == 1:
		return may[0], nil
	case application == "":
		return "", fault.New(fault.Invalid, "this workload may post events for %s: name one", several(may)).WithField("application").
			WithHint("drawbridge submit --delivery NAME")
	case !slices.Contains(may, application):
		return "", fault.New(fault.Forbidden, "this workload may post events for %s, not for %.80q", several(may), application).WithField("application").
			WithHint("an admin adds the application to the rule")
	}
	return application, nil
}

// several is a list in one line that stays readable.
func several(list []string) string {
	const most = 10
	if len(list) > most {
		list = append(slices.Clone(list[:most]), "…")
	}
	return strings.Join(list, ", ")
}

// createWorkload makes the token of a workload; it is the workload's own doing.
func (t *Tokens) createWorkload(ctx context.Context, rule, subject, application string) (Token, string, error) {
	name := workloadPrefix + rule
	return t.create(ctx, Request{Name: name, Role: Events, Life: WorkloadLife, By: name, Applications: []string{application}}, subject)
}
