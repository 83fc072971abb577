package attest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// SLSA readers that know nothing of us find what the standard promises them.
func TestProvenanceIsSLSA(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	p := provenance()
	p.Attestations = []artifact.Digest{image}
	var doc map[string]any
	if err := json.Unmarshal(rawPredicate(t, ci.sign(t, p)), &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"buildDefinition.buildType":                               attest.BuildType,
		"buildDefinition.externalParameters.source.repository":    "shop",
		"buildDefinition.externalParameters.source.ref":           "refs/heads/main",
		"buildDefinition.resolvedDependencies.0.uri":              "git+shop@refs/heads/main",
		"buildDefinition.resolvedDependencies.0.digest.gitCommit": p.Commit,
		"buildDefinition.internalParameters.author":               "alice",
		"runDetails.builder.id":                                   "https://ci.example/builder",
		"runDetails.metadata.invocationId":                        "shop/7/attempts/1",
		"runDetails.metadata.startedOn":                           "2026-03-01T11:59:00Z",
		"runDetails.metadata.finishedOn":                          "2026-03-01T11:59:59Z",
		"runDetails.byproducts.1.annotations.exit":                1.0,
		"runDetails.byproducts.2.digest.sha256":                   image.Hex(),
	} {
		if got := dig(doc, path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
}

func dig(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch c := v.(type) {
		case map[string]any:
			v = c[key]
		case []any:
			if i := int(key[0] - '0'); i < len(c) {
				v = c[i]
				continue
			}
			return nil
		}
	}
	return v
}

func TestForeignPredicates(t *testing.T) {
	t.Parallel()
	github := `{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
	 "externalParameters":{"workflow":{"ref":"refs/heads/main","repository":"https://github.com/acme/shop","path":".github/workflows/release.yml"}},
	 "internalParameters":{"github":{"event_name":"push"}},
	 "resolvedDependencies":[{"uri":"git+https://github.com/acme/tool@refs/heads/main","digest":{"gitCommit":"ffff"}},
	  {"uri":"git+https://github.com/acme/shop@refs/heads/main","digest":{"gitCommit":"abcd"},"annotations":{"exit":"text"}}]},
	 "runDetails":{"builder":{"id":"https://github.com/actions/runner"},"metadata":{"invocationId":"https://github.com/acme/shop/actions/runs/1/attempts/1"},
	 "byproducts":[{"name":"log","uri":"x"}]}}`
	tests := map[string]struct {
		typ, json string
		want      attest.Predicate
		err       string
	}{
		"github provenance": {typ: attest.TypeProvenance, json: github, want: attest.Provenance{
			Builder: "https://github.com/actions/runner", BuildType: "https://actions.github.io/buildtypes/workflow/v1",
			Repository: "https://github.com/acme/shop", Ref: "refs/heads/main", Commit: "abcd", Workflow: ".github/workflows/release.yml",
			Run: "https://github.com/acme/shop/actions/runs/1/attempts/1",
		}},
		"provenance with parameters of its own": {
			typ: attest.TypeProvenance, want: attest.Provenance{Builder: "b", BuildType: "https://x"},
			json: `{"buildDefinition":{"buildType":"https://x","externalParameters":{"workflow":"w","source":7},"internalParameters":[1]},"runDetails":{"builder":{"id":"b"}}}`,
		},
		"our build type must fit":     {typ: attest.TypeProvenance, json: `{"buildDefinition":{"buildType":"` + attest.BuildType + `","externalParameters":{"source":7}},"runDetails":{"builder":{"id":"b"}}}`, err: "parameters cannot be read"},
		"two commits of one source":   {typ: attest.TypeProvenance, json: strings.Replace(github, "acme/tool", "acme/shop", 1), err: "two commits of its source"},
		"malformed digest in list":    {typ: attest.TypeProvenance, json: strings.Replace(github, `"name":"log"`, `"name":"attestation"`, 1), err: "malformed digest"},
		"provenance is a list":        {typ: attest.TypeProvenance, json: `[]`, err: "no SLSA provenance"},
		"tests without counts":        {typ: attest.TypeTests, json: `{"result":"PASSED","passedTests":["a","b"]}`, want: attest.Tests{Passed: 2, PassedNames: []string{"a", "b"}}},
		"tests that hide a failure":   {typ: attest.TypeTests, json: `{"result":"PASSED","failedTests":["a"],"counts":{"passed":3}}`, want: attest.Tests{Passed: 3, Failed: 1, FailedNames: []string{"a"}}},
		"tests that failed unnamed":   {typ: attest.TypeTests, json: `{"result":"FAILED"}`, want: attest.Tests{Failed: 1}},
		"tests without result":        {typ: attest.TypeTests, json: `{}`, err: `result is ""`},
		"coverage of text":            {typ: attest.TypeCoverage, json: `{"line":"1"}`, err: "no coverage"},
		"coverage below zero":         {typ: attest.TypeCoverage, json: `{"line":-0.1}`, err: "not between"},
		"coverage of more than all":   {typ: attest.TypeCoverage, json: `{"line":1,"covered":3,"total":2}`, err: "3 of 2"},
		"spdx":                        {typ: attest.TypeSPDX, json: `[]`, err: "no SPDX"},
		"spdx without version":        {typ: attest.TypeSPDX, json: `{}`, err: "spdxVersion"},
		"cosign with trivy's own":     {typ: attest.TypeCosignVuln, json: `{"scanner":{"result":{"Results":[]}}}`, err: "no SARIF log"},
		"no scanner":                  {typ: attest.TypeFindings, json: `{}`, err: "no SARIF log"},
		"null":                        {typ: attest.TypeFindings, json: `null`, err: "no SARIF log"},
		"in-toto list of the wild":    {typ: attest.TypeFindings, json: `{"scanner":{"result":[7]}}`, err: "no list"},
		"in-toto list":                {typ: attest.TypeFindings, json: `{"scanner":{"uri":"s","result":[{"severity":[{"score":"9.1"},{"score":"low"}]},{"severity":[{"score":"medium"}]},{"id":"X"},{"severity":[{"score":"none"}]}]}}`, want: attest.Findings{Critical: 1, High: 1, Medium: 1, ByTool: map[string]int{"s": 3}}},
		"signature with fields":       {typ: attest.TypeSignature, json: `{"x":1}`, want: attest.Signature{}},
		"verification summary":        {typ: attest.TypeVSA, json: `{"a":1}`, want: attest.Opaque{PredicateType: attest.TypeVSA, JSON: json.RawMessage(`{"a":1}`)}},
		"findings that count below 0": {typ: attest.TypeFindings, json: `{"scanner":{"result":[]},"counts":{"low":-1}}`, err: "negative"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := attest.ParsePredicate(tt.typ, []byte(tt.json))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(artifact.Digest{}, attest.BOM{})); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestCountSARIF(t *testing.T) {
	t.Parallel()
	got, err := attest.CountSARIF([]byte(sarifLog))
	want := attest.Findings{Critical: 1, High: 2, Medium: 2, Low: 1, ByTool: map[string]int{"vet": 6}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	p, err := attest.ParsePredicate(attest.TypeCosignVuln, []byte(`{"scanner":{"result":`+sarifLog+`}}`))
	if f, ok := p.(attest.Findings); err != nil || !ok || f.Critical != 1 || len(f.SARIF) == 0 {
		t.Errorf("cosign's form = %+v, %v", p, err)
	}
}

func TestSPDX(t *testing.T) {
	t.Parallel()
	p, err := attest.ParsePredicate(attest.TypeSPDX, []byte(`{"spdxVersion":"SPDX-2.3","packages":[{"name":"a"},{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, ok := p.(attest.BOM)
	if !ok || b.Type() != attest.TypeSPDX {
		t.Fatalf("predicate = %+v", p)
	}
	if s, err := b.Summary(); err != nil || s != (attest.SBOM{Format: "SPDX-2.3", Components: 2}) {
		t.Errorf("Summary = %+v, %v", s, err)
	}
}

func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	names := make([]string, attest.MaxNames+7)
	p, err := attest.ParsePredicate(attest.TypeTests, rawPredicate(t, ci.sign(t, attest.Tests{Passed: len(names), PassedNames: names})))
	if got, ok := p.(attest.Tests); err != nil || !ok || got.Passed != len(names) || len(got.PassedNames) != attest.MaxNames {
		t.Errorf("tests = %d names of %d, %v", len(got.PassedNames), got.Passed, err)
	}
}
