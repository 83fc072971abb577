package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// Workload is a rule: a job of somebody else's CI whose issuer says this of it may post
// events for these applications. A rule says what a token must hold; a token that meets
// it may be exchanged (Exchange) for one of ours.
//
// Subject and the values of Claims are patterns. A * stands for one or more characters
// other than / and :, every other character for itself, in the same case; the whole
// text must match. So "repo:acme/*:ref:refs/heads/main" takes every repository of acme,
// and neither "repo:acme/evil/x:ref:refs/heads/main" nor a pull request.
type Workload struct {
	Name         string            `json:"name"`               // as ValidName has it, at most 54 characters; its tokens are named workload:NAME
	Issuer       string            `json:"issuer"`             // exactly as the token's iss; https, or http on a loopback address
	Audience     string            `json:"audience,omitempty"` // one of the token's aud, exactly; empty means the server's own URL
	Subject      string            `json:"subject"`            // pattern of the token's sub
	Claims       map[string]string `json:"claims,omitempty"`   // patterns of further claims, all of which the token must have; texts, numbers and booleans only
	Applications []string          `json:"applications"`       // those that its events may concern, 1 to MaxApplications
}

// WorkloadRules gives the rules that hold now.
type WorkloadRules interface {
	// Workloads lists the rules, in an order that stays.
	Workloads(ctx context.Context) ([]Workload, error)
}

// workloadPrefix starts the names of tokens that workloads got. ValidName takes no colon, so no
// other token has such a name.
const workloadPrefix = "workload:"

// Limits of one rule.
const (
	maxRuleName = 64 - len(workloadPrefix) - 1
	maxText     = 512 // characters of an issuer, an audience, a subject or a claim
	maxClaims   = 32
)

// reserved are the claims that have fields or checks of their own.
var reserved = []string{"iss", "aud", "sub", "exp", "nbf", "iat"}

// Check is nil when w may be a rule, else a fault of kind Invalid that names the field.
func (w Workload) Check() error {
	if err := ValidName(w.Name); err != nil {
		return err
	}
	if len(w.Name) > maxRuleName {
		return fault.New(fault.Invalid, "has more than %d characters", maxRuleName).WithField("name")
	}
	if err := checkIssuer(w.Issuer); err != nil {
		return err
	}
	if !printableText(w.Audience) && w.Audience != "" {
		return fault.New(fault.Invalid, "must have at most %d characters, none of them a control character", maxText).WithField("audience")
	}
	if err := checkPattern(w.Subject); err != nil {
		return err.WithField("subject")
	}
	if strings.Trim(w.Subject, "*/:") == "" && len(w.Claims) == 0 {
		return fault.New(fault.Invalid, "%q is everybody whom the issuer knows", w.Subject).WithField("subject").
			WithHint("name a repository, a project or an account, or demand a claim")
	}
	if err := w.checkClaims(); err != nil {
		return err
	}
	return w.checkApplications()
}

func (w Workload) checkClaims() error {
	if len(w.Claims) > maxClaims {
		return fault.New(fault.Invalid, "has more than %d claims", maxClaims).WithField("claims")
	}
	for _, name := range slices.Sorted(maps.Keys(w.Claims)) {
		field := fmt.Sprintf("claims.%.80s", name)
		if slices.Contains(reserved, name) || !printableText(name) {
			return fault.New(fault.Invalid, "%.80q cannot be demanded as a claim", name).WithField("claims").
				WithHint("issuer, audience and subject have fields of their own, and times are always checked")
		}
		if err := checkPattern(w.Claims[name]); err != nil {
			return err.WithField(field)
		}
	}
	return nil
}

func (w Workload) checkApplications() error {
	if n := len(w.Applications); n == 0 || n > MaxApplications {
		return fault.New(fault.Invalid, "names 1 to %d applications, not %d", MaxApplications, n).WithField("applications")
	}
	for i, a := range w.Applications {
		if err := validApplication(a); err != nil {
			return err.WithField(fmt.Sprintf("applications[%d]", i))
		}
	}
	return nil
}

// checkIssuer takes https, and http where nobody can listen in: on a loopback address.
func checkIssuer(issuer string) error {
	bad := func(what string) error {
		return fault.New(fault.Invalid, "%.80q %s", issuer, what).WithField("issuer").
			WithHint("write it as the iss of the tokens has it, for example https://token.actions.githubusercontent.com")
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || len(issuer) > maxText || u.Hostname() == "":
		return bad("is no URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(issuer, "#"):
		return bad("must have neither user, query nor fragment")
	case !secure(u):
		return bad("must start with https://")
	}
	return nil
}

// secure reports whether what u answers is what its host said.
func secure(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// refuses says why claims, whose signature and times are good, do not meet w; empty when
// they do. It names what w expects and, of the token, nothing.
func (w Workload) refuses(claims map[string]any, server string) string {
	want := w.Audience
	if want == "" {
		want = server
	}
	if want == "" || !slices.Contains(audiences(claims), want) {
		return fmt.Sprintf("rule %s expects the audience %q", w.Name, want)
	}
	subject, _ := claims["sub"].(string)
	if !printableText(subject) || !matches(w.Subject, subject) {
		return fmt.Sprintf("rule %s expects a subject like %q", w.Name, w.Subject)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Claims)) {
		if text, ok := claimText(claims[name]); !ok || !matches(w.Claims[name], text) {
			return fmt.Sprintf("rule %s expects the claim %s like %q", w.Name, name, w.Claims[name])
		}
	}
	return ""
}

// audiences is the claim aud: one text, or several.
func audiences(claims map[string]any) []string {
	switch aud := claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var list []string
		for _, a := range aud {
			if s, ok := a.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// claimText is a claim as patterns see it; lists and objects have no text.
func claimText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return fmt.Sprint(v), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}
