package attest

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"drawbridge/internal/yamlfile"
)

var signerName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseTrust reads a trust file (kind Trust, YAML, at most 1 MiB); file is its name as the
// user wrote it. The first mistake is a fault of kind Invalid with line and column and, where
// there is one, a suggestion. A policy that parsed is usable: every key and root was read.
func ParseTrust(file string, src []byte) (Policy, error) {
	d := document{file}
	body, err := yamlfile.Parse(file, src)
	if err != nil {
		return Policy{}, err
	}
	top, err := d.object(body, "a trust file", "apiVersion", "kind", "signers")
	if err != nil {
		return Policy{}, err
	}
	for _, want := range [][2]string{{"apiVersion", "drawbridge/v1"}, {"kind", "Trust"}} {
		if err := d.constant(top, want[0], want[1]); err != nil {
			return Policy{}, err
		}
	}
	e, ok := top.entries["signers"]
	if !ok {
		return Policy{}, d.at(top.at, "signers is missing").WithHint("write signers: [{name: …, key: …, predicates: […]}]")
	}
	nodes, err := d.list(e, "signers")
	if err != nil {
		return Policy{}, err
	}
	var p Policy
	for _, n := range nodes {
		s, err := d.signer(n)
		if err != nil {
			return Policy{}, err
		}
		if _, dup := p.Find(s.Name); dup {
			return Policy{}, d.at(n, "signer %s is there twice", s.Name).WithHint("give one signer several PEM blocks in key, or another name")
		}
		p.Signers = append(p.Signers, s)
	}
	return p, nil
}

func (d document) constant(o object, key, want string) error {
	e, ok := o.entries[key]
	if !ok {
		return d.at(o.at, "%s is missing", key).WithHint("write %s: %s", key, want)
	}
	got, err := d.text(e, key)
	if err != nil {
		return err
	}
	if got != want {
		return d.at(e.value, "%s is %q", key, clip(got)).WithHint("write %s: %s", key, want)
	}
	return nil
}

func (d document) signer(n ast.Node) (Signer, error) {
	o, err := d.object(n, "a signer", "name", "key", "issuer", "subject", "trustedRoot", "predicates", "from", "until")
	if err != nil {
		return Signer{}, err
	}
	var s Signer
	texts := []struct {
		key  string
		into *string
	}{{"name", &s.Name}, {"key", &s.Key}, {"issuer", &s.Issuer}, {"subject", &s.Subject}}
	for _, t := range texts {
		if e, ok := o.entries[t.key]; ok {
			if *t.into, err = d.text(e, t.key); err != nil {
				return Signer{}, err
			}
			if *t.into == "" {
				return Signer{}, d.at(e.orKey(), "%s is empty", t.key)
			}
		}
	}
	if s.TrustedRoot, err = d.trustedRoot(o); err != nil {
		return Signer{}, err
	}
	if s.Predicates, err = d.predicates(o); err != nil {
		return Signer{}, err
	}
	if s.From, s.Until, err = d.period(o); err != nil {
		return Signer{}, err
	}
	return s, d.checkSigner(o, s)
}

// checkSigner checks what concerns several keys, and that key or root can be used.
func (d document) checkSigner(o object, s Signer) error {
	if s.Name == "" {
		return d.at(o.at, "the signer has no name").WithHint("write name: ci")
	}
	if !signerName.MatchString(s.Name) {
		return d.at(o.entries["name"].value, "%q is no name of a signer", clip(s.Name)).WithHint("use up to 63 lower-case letters, digits and hyphens")
	}
	keyless := s.Issuer != "" || s.Subject != "" || s.TrustedRoot != ""
	switch {
	case s.Key == "" && !keyless:
		return d.at(o.at, "signer %s has no key", s.Name).WithHint("write key, or issuer, subject and trustedRoot")
	case s.Key != "" && keyless:
		return d.at(o.entries["key"].key, "signer %s has both a key and issuer, subject or trustedRoot", s.Name).WithHint("make two signers")
	case s.Key != "":
		if _, err := newChecker(s); err != nil {
			return d.at(o.entries["key"].value, "the key of signer %s cannot be used: %v", s.Name, err).WithHint("write PEM blocks -----BEGIN PUBLIC KEY-----")
		}
		return nil
	}
	for _, k := range []string{"issuer", "subject", "trustedRoot"} {
		if _, ok := o.entries[k]; !ok {
			return d.at(o.at, "signer %s has no %s", s.Name, k).WithHint("a keyless signer needs issuer, subject and trustedRoot")
		}
	}
	if u, err := url.Parse(s.Issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		return d.at(o.entries["issuer"].value, "issuer %q is no https URL", clip(s.Issuer))
	}
	if strings.HasPrefix(s.Subject, "repo:") && s.Issuer == githubIssuer && !githubSubject.MatchString(s.Subject) {
		return d.at(o.entries["subject"].value, "subject %q is not of GitHub's form", clip(s.Subject)).WithHint("write repo:OWNER/NAME:ref:refs/heads/BRANCH")
	}
	if _, err := newChecker(s); err != nil {
		return d.at(o.entries["trustedRoot"].orKey(), "the trusted root of signer %s cannot be used: %s", s.Name, clip(err.Error())).
			WithHint("paste the JSON that cosign trusted-root create or gh attestation trusted-root prints")
	}
	return nil
}

// trustedRoot reads JSON that is pasted as YAML or as text.
func (d document) trustedRoot(o object) (string, error) {
	e, ok := o.entries["trustedRoot"]
	if !ok {
		return "", nil
	}
	switch e.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return d.text(e, "trustedRoot")
	}
	var v any
	if err := yaml.NodeToValue(e.value, &v); err != nil {
		return "", d.at(e.value, "trustedRoot cannot be read")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", d.at(e.value, "trustedRoot is no JSON")
	}
	return string(b), nil
}

func (d document) predicates(o object) ([]string, error) {
	e, ok := o.entries["predicates"]
	if !ok {
		return nil, d.at(o.at, "predicates is missing: the signer may state nothing").WithHint("list some of %s", strings.Join(Names(), ", "))
	}
	nodes, err := d.list(e, "predicates")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range nodes {
		name, err := d.text(entry{e.key, n}, "a predicate")
		if err != nil {
			return nil, err
		}
		if !slices.Contains(Names(), name) {
			return nil, d.at(n, "unknown predicate %q", clip(name)).WithHint("%s", yamlfile.Suggest(name, Names()))
		}
		if slices.Contains(out, name) {
			return nil, d.at(n, "predicate %s is there twice", name)
		}
		out = append(out, name)
	}
	return out, nil
}

func (d document) period(o object) (from, until *time.Time, err error) {
	if from, err = d.time(o, "from"); err != nil {
		return nil, nil, err
	}
	if until, err = d.time(o, "until"); err != nil {
		return nil, nil, err
	}
	if from != nil && until != nil && !from.Before(*until) {
		return nil, nil, d.at(o.entries["until"].value, "until is not after from")
	}
	return from, until, nil
}

func (d document) time(o object, key string) (*time.Time, error) {
	e, ok := o.entries[key]
	if !ok {
		return nil, nil //nolint:nilnil // nil means no limit
	}
	text, err := d.text(e, key)
	if err != nil {
		return nil, err
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			t = t.UTC()
			return &t, nil
		}
	}
	return nil, d.at(e.value, "%s %q is no time", key, clip(text)).WithHint("write 2030-01-31 or 2030-01-31T15:04:05Z")
}
