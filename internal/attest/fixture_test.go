package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

var (
	now   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	image = artifact.DigestOf([]byte("the image"))
)

// party is a signer with its key.
type party struct {
	name string
	key  *ecdsa.PrivateKey
}

func newParty(t testing.TB, name string) party {
	t.Helper()
	key, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return party{name, key}
}

func (p party) signer(t testing.TB, predicates ...string) attest.Signer {
	t.Helper()
	pem, err := attest.MarshalPublic(p.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return attest.Signer{Name: p.name, Key: string(pem), Predicates: predicates}
}

func (p party) sign(t testing.TB, pred attest.Predicate) []byte {
	t.Helper()
	return p.signFor(t, attest.Subject{Name: "shop/web", Digest: image}, pred)
}

func (p party) signFor(t testing.TB, s attest.Subject, pred attest.Predicate) []byte {
	t.Helper()
	b, err := attest.Sign(p.key, s, pred)
	if err != nil {
		t.Fatalf("Sign(%s): %v", pred.Type(), err)
	}
	return b
}

// signRaw makes a bundle around any payload, without the code under test.
func (p party) signRaw(t testing.TB, payload []byte) []byte {
	t.Helper()
	const typ = "application/vnd.in-toto+json"
	digest := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(typ), typ, len(payload), payload))
	sig, err := ecdsa.SignASN1(rand.Reader, p.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"mediaType":            "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "other tools write what they like"}},
		"dsseEnvelope":         map[string]any{"payload": payload, "payloadType": typ, "signatures": []any{map[string]any{"sig": sig}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func statement(predicateType, predicate string, digests ...artifact.Digest) []byte {
	var subjects []string
	for _, d := range digests {
		subjects = append(subjects, `{"name":"shop/web","digest":{"sha256":"`+d.Hex()+`"}}`)
	}
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[%s],"predicateType":%q,"predicate":%s}`,
		strings.Join(subjects, ","), predicateType, predicate)
}

var all = []string{"signature", "provenance", "sbom", "tests", "coverage", "findings"}

func demand() attest.Demand {
	return attest.Demand{
		Signers: []string{"ci"}, Require: []string{"provenance", "sbom", "tests"},
		Repository: "shop", Refs: []string{"refs/heads/main", "refs/tags/v*"}, Image: artifact.Reference{Repository: "shop/web"},
	}
}

func provenance() attest.Provenance {
	return attest.Provenance{
		Builder: "https://ci.example/builder", BuildType: attest.BuildType, Repository: "shop", Ref: "refs/heads/main",
		Commit: strings.Repeat("a1", 20), Workflow: ".drawbridge/workflows/ci.yaml", WorkflowDigest: artifact.DigestOf([]byte("wf")).String(),
		Run: "shop/7", Attempt: 1, Author: "alice", Chain: "c-1", Isolation: "namespaces", Image: "shop/web", Version: "1.4.0",
		Committed: now.Add(-time.Hour), Started: now.Add(-time.Minute), Finished: now.Add(-time.Second),
		Steps: []attest.StepResult{{Job: "build", Step: "go test", Exit: 0}, {Job: "build", Step: "lint", Exit: 1}},
	}
}

const cycloneDX = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","components":[{"name":"b"}]},{"name":"c"}]}`

const sarifLog = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"vet","rules":[
 {"id":"R1","properties":{"security-severity":"9.8"}},{"id":"R2","properties":{"security-severity":5},"defaultConfiguration":{"level":"error"}},{"id":"R3","defaultConfiguration":{"level":"note"}}]}},
 "results":[{"ruleId":"R1","level":"note"},{"ruleId":"R2"},{"ruleIndex":2},{"ruleId":"R9"},{"ruleId":"R9","level":"error"},
 {"ruleId":"R1","kind":"pass"},{"ruleId":"R1","suppressions":[{"kind":"inSource"}]},{"ruleId":"R1","properties":{"security-severity":"NaN"}},{"level":"none"}]}]}`

func predicates() []attest.Predicate {
	return []attest.Predicate{
		attest.Signature{},
		attest.BOM{JSON: json.RawMessage(cycloneDX)},
		attest.Tests{Passed: 12, Skipped: 1, PassedNames: []string{"TestA", "TestB"}, Observed: true},
		attest.Coverage{Line: 0.9, Covered: 90, Total: 100, Observed: true},
		attest.Findings{High: 1, Low: 2, ByTool: map[string]int{"vet": 3}, SARIF: json.RawMessage(`{"version":"2.1.0","runs":[]}`), Observed: true},
	}
}

// run signs a whole run: five attestations and the provenance that lists them, last.
func (p party) run(t testing.TB, prov attest.Provenance) [][]byte {
	t.Helper()
	return p.seal(t, prov, predicates()...)
}

func (p party) seal(t testing.TB, prov attest.Provenance, preds ...attest.Predicate) [][]byte {
	t.Helper()
	var out [][]byte
	for _, pred := range preds {
		b := p.sign(t, pred)
		out = append(out, b)
		prov.Attestations = append(prov.Attestations, artifact.DigestOf(b))
	}
	return append(out, p.sign(t, prov))
}

// judge verifies and returns evidence and refusals; each refusal must be a good message.
func judge(t testing.TB, policy attest.Policy, d attest.Demand, bundles ...[]byte) (attest.Evidence, []attest.Refusal) {
	t.Helper()
	e, refusals := attest.Verify(policy, d, image, bundles, now)
	for _, r := range refusals {
		if r.Message == "" || r.Rule == "" || strings.ContainsAny(r.Message, "\n\r") || strings.Contains(r.Message, "verification failed") || len(r.Message) > 1000 {
			t.Errorf("poor refusal %+v", r)
		}
	}
	return e, refusals
}

// refused asserts that exactly one refusal has the rule, and that its message says want.
func refused(t testing.TB, refusals []attest.Refusal, rule attest.Rule, want string) {
	t.Helper()
	for _, r := range refusals {
		if r.Rule == rule && strings.Contains(r.Message, want) {
			return
		}
	}
	t.Errorf("no refusal %s with %q in %s", rule, want, show(refusals))
}

func show(refusals []attest.Refusal) string {
	var b bytes.Buffer
	for _, r := range refusals {
		fmt.Fprintf(&b, "\n  %s: %s", r.Rule, r.Message)
	}
	if b.Len() == 0 {
		return "(none)"
	}
	return b.String()
}
