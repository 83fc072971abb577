package attest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

func trustFile(pem string) string {
	return "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n  - name: ci\n    predicates: [provenance, sbom]\n    from: 2026-01-01\n    until: 2027-01-01T12:00:00+02:00\n    key: |\n      " +
		strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\n      ") + "\n"
}

func TestParseTrust(t *testing.T) {
	t.Parallel()
	want := newParty(t, "ci").signer(t, "provenance", "sbom")
	from, until := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)
	want.From, want.Until = &from, &until
	got, err := attest.ParseTrust("trust.yaml", []byte(trustFile(want.Key)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(attest.Policy{Signers: []attest.Signer{want}}, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestParseTrustMistakes(t *testing.T) {
	t.Parallel()
	good := trustFile(newParty(t, "ci").signer(t).Key)
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the sample", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	keyless := "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n- name: gh\n  predicates: [vsa]\n"
	tests := map[string]struct{ src, position, message, hint string }{
		"empty":              {"", "t.yaml:1:1", "want one YAML document", "apiVersion"},
		"only a comment":     {"# nothing\n", "t.yaml:1:1", "want one YAML document", ""},
		"two documents":      {good + "---\n" + good, "t.yaml:1:1", "want one YAML document, not 2", ""},
		"no YAML":            {"apiVersion: [", "t.yaml:1:13", "it is no YAML", ""},
		"key twice":          {good + "kind: Trust\n", "t.yaml:13:1", "already defined", ""},
		"a list":             {"- 1\n", "t.yaml:1:1", "must be a mapping", "apiVersion"},
		"unknown key":        {replace("signers:", "signer:"), "t.yaml:3:1", `unknown key "signer" in a trust file`, "did you mean signers?"},
		"unknown signer key": {replace("predicates:", "predicate:"), "t.yaml:5:5", `unknown key "predicate" in a signer`, "did you mean predicates?"},
		"quite unknown key":  {replace("predicates:", "zzzzzzzz:"), "t.yaml:5:5", `unknown key "zzzzzzzz"`, "use one of name, key"},
		"no version":         {replace("apiVersion: drawbridge/v1\n", ""), "t.yaml:1:1", "apiVersion is missing", "write apiVersion: drawbridge/v1"},
		"another version":    {replace("drawbridge/v1", "drawbridge/v2"), "t.yaml:1:13", `apiVersion is "drawbridge/v2"`, "drawbridge/v1"},
		"another kind":       {replace("Trust", "Delivery"), "t.yaml:2:7", `kind is "Delivery"`, "Trust"},
		"kind is a list":     {replace("kind: Trust", "kind: [a]"), "t.yaml:2:7", "kind must be text", ""},
		"no signers":         {"apiVersion: drawbridge/v1\nkind: Trust\n", "t.yaml:1:1", "signers is missing", "name"},
		"empty signers":      {"apiVersion: drawbridge/v1\nkind: Trust\nsigners: []\n", "t.yaml:3:10", "at least one", ""},
		"null signers":       {"apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n", "t.yaml:3:1", "at least one", ""},
		"signer is text":     {"apiVersion: drawbridge/v1\nkind: Trust\nsigners: [ci]\n", "t.yaml:3:11", "a signer must be a mapping", ""},
		"no name":            {replace("name: ci\n    ", ""), "t.yaml:4:5", "the signer has no name", "name: ci"},
		"empty name":         {replace("name: ci", `name: ""`), "t.yaml:4:11", "name is empty", ""},
		"name is a number":   {replace("name: ci", `name: 7`), "t.yaml:4:11", "name must be text", ""},
		"bad name":           {replace("name: ci", "name: C I"), "t.yaml:4:11", `"C I" is no name of a signer`, "lower-case"},
		"no predicates":      {replace("    predicates: [provenance, sbom]\n", ""), "t.yaml:4:5", "predicates is missing", "signature, provenance"},
		"unknown predicate":  {replace("sbom", "sbon"), "t.yaml:5:30", `unknown predicate "sbon"`, "did you mean sbom?"},
		"predicate twice":    {replace("sbom", "provenance"), "t.yaml:5:30", "predicate provenance is there twice", ""},
		"predicate is a map": {replace("sbom", "{a: b}"), "t.yaml:5:", "a predicate must be text", ""},
		"bad time":           {replace("2026-01-01", "yesterday"), "t.yaml:6:11", `from "yesterday" is no time`, "2030-01-31"},
		"time is a number":   {replace("2026-01-01", "2026"), "t.yaml:6:11", "from must be text", ""},
		"until before from":  {replace("2027", "2025"), "t.yaml:7:12", "until is not after from", ""},
		"key cut off":        {replace("MFkwE", "MF"), "t.yaml:8:10", "the key of signer ci cannot be used", "BEGIN PUBLIC KEY"},
		"key and issuer":     {replace("    key:", "    issuer: https://x\n    key:"), "t.yaml:9:5", "both a key and issuer", "two signers"},
		"neither":            {keyless, "t.yaml:4:3", "signer gh has no key", "issuer, subject"},
		"no subject":         {keyless + "  issuer: https://x\n", "t.yaml:4:3", "signer gh has no subject", ""},
		"no root":            {keyless + "  issuer: https://x\n  subject: s\n", "t.yaml:4:3", "signer gh has no trustedRoot", ""},
		"bad issuer":         {keyless + "  issuer: http://x\n  subject: s\n  trustedRoot: {}\n", "t.yaml:6:11", "no https URL", ""},
		"bad GitHub subject": {keyless + "  issuer: https://token.actions.githubusercontent.com\n  subject: repo:acme/*\n  trustedRoot: {}\n", "t.yaml:7:12", "not of GitHub's form", "OWNER/NAME"},
		"bad root":           {keyless + "  issuer: https://x\n  subject: s\n  trustedRoot: {a: 1}\n", "t.yaml:8:", "trusted root of signer gh cannot be used", "trusted-root"},
		"signer twice":       {good + "  - name" + after(good, "  - name"), "t.yaml:13:", "signer ci is there twice", "several PEM blocks"},
		"anchor":             {replace("ci", "&x ci"), "t.yaml:4:11", `"&" is not understood`, "without anchors"},
		"alias bomb":         {"a: &a [x]\nb: [*a, *a]\n", "t.yaml:1:4", "not understood", ""},
		"tag":                {replace("ci", "!!str ci"), "t.yaml:4:11", "not understood", ""},
		"deep":               {strings.Repeat("[", 100_000), "t.yaml:1:33", "nested deeper", ""},
		"deep list":          {strings.Repeat("- ", 100_000), "t.yaml:1:65", "nested deeper", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := attest.ParseTrust("t.yaml", []byte(tt.src))
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid {
				t.Fatalf("ParseTrust = %v", err)
			}
			if !strings.HasPrefix(f.Position(), tt.position) || !strings.Contains(f.Message, tt.message) || !strings.Contains(f.Hint, tt.hint) {
				t.Errorf("got  %v (hint: %s)\nwant %s: …%s… (hint: …%s…)", err, f.Hint, tt.position, tt.message, tt.hint)
			}
		})
	}
	if _, err := attest.ParseTrust("t.yaml", make([]byte, 1<<20+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a file over the limit = %v", err)
	}
}

func after(s, mark string) string {
	_, rest, _ := strings.Cut(s, mark)
	return rest
}

func TestMerge(t *testing.T) {
	t.Parallel()
	policy := func(names ...string) attest.Policy {
		var p attest.Policy
		for _, n := range names {
			name, key, _ := strings.Cut(n, "=")
			p.Signers = append(p.Signers, attest.Signer{Name: name, Key: key})
		}
		return p
	}
	old := policy("a=1", "b=1")
	got := attest.Merge(old, policy("c=2", "a=2"))
	if diff := cmp.Diff(policy("a=2", "b=1", "c=2"), got); diff != "" {
		t.Errorf("Merge (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(policy("a=1", "b=1"), old); diff != "" {
		t.Errorf("Merge changed its argument:\n%s", diff)
	}
}
