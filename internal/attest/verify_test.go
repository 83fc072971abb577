package attest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

func TestVerifyAcceptsARun(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}
	bundles := ci.run(t, provenance())
	e, refusals := judge(t, policy, demand(), bundles...)
	if len(refusals) > 0 {
		t.Fatalf("refused: %s", show(refusals))
	}
	if e.Provenance == nil || e.Provenance.Commit != provenance().Commit || len(e.Provenance.Attestations) != 5 {
		t.Errorf("provenance = %+v", e.Provenance)
	}
	want := attest.Evidence{
		Tests:    &attest.Tests{Passed: 12, Skipped: 1, PassedNames: []string{"TestA", "TestB"}, Observed: true},
		Coverage: &attest.Coverage{Line: 0.9, Covered: 90, Total: 100, Observed: true},
		Findings: &attest.Findings{High: 1, Low: 2, ByTool: map[string]int{"vet": 3}, Observed: true},
		SBOM:     &attest.SBOM{Format: "CycloneDX 1.6", Components: 3},
		Authors:  []string{"alice"}, Provenance: e.Provenance, Attestations: e.Attestations,
	}
	if diff := cmp.Diff(want, e, cmp.AllowUnexported(artifact.Digest{})); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if len(e.Attestations) != 6 || e.Attestations[0].Signer != "ci" || !e.Attestations[0].At.Equal(provenance().Finished) {
		t.Errorf("attestations = %+v", e.Attestations)
	}
	shuffled := slices.Clone(bundles)
	slices.Reverse(shuffled)
	again, _ := attest.Verify(policy, demand(), image, append(shuffled, bundles[0]), now.Add(time.Hour))
	if again.Hash() != e.Hash() {
		t.Errorf("another order, a repetition and a later time change the hash: %s, %s", e.Hash(), again.Hash())
	}
	var back attest.Evidence
	doc, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &back); err != nil || back.Hash() != e.Hash() {
		t.Errorf("evidence does not survive JSON: %v\n%s", err, doc)
	}
}

// cosign attest still writes the older statement; it says the same.
func TestOlderStatement(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	bom := strings.Replace(string(statement(attest.TypeCycloneDX, cycloneDX, image)), `Statement/v1`, `Statement/v0.1`, 1)
	d := demand()
	d.Require = []string{"sbom"}
	e, refusals := judge(t, attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}, d, ci.signRaw(t, []byte(bom)))
	if len(refusals) > 0 || e.SBOM == nil || e.SBOM.Components != 3 {
		t.Errorf("evidence %+v, refused: %s", e, show(refusals))
	}
}

// What vouches for a wrapped file names the file and no image; everything else must fit.
func TestWrappedFile(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}
	p := provenance()
	p.Image = "shop_1.4.0_linux_amd64.tar.gz"
	bundles := ci.run(t, p)
	d := demand()
	_, refusals := judge(t, policy, d, bundles...)
	refused(t, refusals, attest.RuleImage, "not shop/web")
	d.File = true
	if _, refusals := judge(t, policy, d, bundles...); len(refusals) > 0 {
		t.Errorf("refused: %s", show(refusals))
	}
	d.Repository = "evil"
	_, refusals = judge(t, policy, d, bundles...)
	refused(t, refusals, attest.RuleRepository, "evil")
}

func TestMissingIsNil(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	d := demand()
	d.Require = []string{"signature"}
	e, refusals := judge(t, attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}, d, ci.sign(t, attest.Signature{}))
	if len(refusals) > 0 || e.Tests != nil || e.Coverage != nil || e.Findings != nil || e.SBOM != nil || e.Provenance != nil {
		t.Errorf("evidence = %+v, refusals %s", e, show(refusals))
	}
	doc, _ := json.Marshal(e)
	for _, key := range []string{"tests", "coverage", "findings", "sbom", "provenance"} {
		if strings.Contains(string(doc), `"`+key+`":`) {
			t.Errorf("%s is in %s", key, doc)
		}
	}
}

// Every attack starts from a run that is accepted, and changes one thing.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	ci, mallory := newParty(t, "ci"), newParty(t, "mallory")
	ciAll := attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}
	good := ci.run(t, provenance())
	last := len(good) - 1
	with := func(edit func(*attest.Provenance)) [][]byte {
		p := provenance()
		edit(&p)
		return ci.run(t, p)
	}
	other := artifact.DigestOf([]byte("another image"))
	until, from := now, now.Add(time.Second)

	tests := map[string]struct {
		policy  attest.Policy
		demand  func(*attest.Demand)
		bundles [][]byte
		rule    attest.Rule
		want    string
	}{
		"nothing": {
			rule: attest.RuleMissing, want: "no provenance: 0 attestations found",
		},
		"unsigned key": {
			bundles: mallory.run(t, provenance()), rule: attest.RuleMissing,
			want: "no provenance: 6 attestations found (6 ignored, by a key or identity that nobody trusts)",
		},
		"signer known but not named": {
			policy:  attest.Policy{Signers: []attest.Signer{ci.signer(t, all...), mallory.signer(t, all...)}},
			bundles: mallory.run(t, provenance()), rule: attest.RuleMissing, want: "6 ignored, signed by mallory, which shop/web does not name",
		},
		"signer not in policy": {
			demand: func(d *attest.Demand) { d.Signers = []string{"ci", "scanner"} }, bundles: good,
			rule: attest.RuleSigner, want: "signer scanner is not in the trust policy; it knows ci",
		},
		"no signer named": {
			demand: func(d *attest.Demand) { d.Signers = nil }, bundles: good, rule: attest.RuleSigner, want: "no signer is named",
		},
		"key unusable": {
			policy:  attest.Policy{Signers: []attest.Signer{{Name: "ci", Key: "nonsense", Predicates: all}}},
			bundles: good, rule: attest.RuleSigner, want: "signer ci cannot be used: public key 1 is no PEM block",
		},
		"predicate not allowed": {
			policy:  attest.Policy{Signers: []attest.Signer{ci.signer(t, "signature", "provenance", "sbom", "tests", "coverage")}},
			bundles: good, rule: attest.RulePredicate, want: "signer ci may not state findings; it may state signature, provenance",
		},
		"nothing allowed": {
			policy: attest.Policy{Signers: []attest.Signer{ci.signer(t)}}, bundles: good, rule: attest.RulePredicate, want: "it may state none",
		},
		"expired": {
			policy:  attest.Policy{Signers: []attest.Signer{func() attest.Signer { s := ci.signer(t, all...); s.Until = &until; return s }()}},
			bundles: good, rule: attest.RulePeriod, want: "is signed by signer ci is believed only until 2026-03-01T12:00:00Z",
		},
		"not yet valid": {
			policy:  attest.Policy{Signers: []attest.Signer{func() attest.Signer { s := ci.signer(t, all...); s.From = &from; return s }()}},
			bundles: good, rule: attest.RulePeriod, want: "believed only from 2026-03-01T12:00:01Z",
		},
		"another subject": {
			bundles: append(slices.Clone(good), ci.signFor(t, attest.Subject{Name: "shop/web", Digest: other}, attest.Tests{Passed: 1})),
			rule:    attest.RuleSubject, want: "tests by ci is about sha256:" + other.Short() + ", not about sha256:" + image.Short(),
		},
		"another repository": {
			bundles: with(func(p *attest.Provenance) { p.Repository = "evil" }), rule: attest.RuleRepository,
			want: "provenance says repository evil, shop/web takes only shop",
		},
		"repository that only starts alike": {
			bundles: with(func(p *attest.Provenance) { p.Repository = "shop2" }), rule: attest.RuleRepository, want: "shop2",
		},
		"no repository":          {bundles: with(func(p *attest.Provenance) { p.Repository = "" }), rule: attest.RuleRepository, want: "(none named)"},
		"demand names no source": {demand: func(d *attest.Demand) { d.Repository, d.Refs = "", nil }, bundles: good, rule: attest.RuleRepository, want: "takes only (none named)"},
		"another ref": {
			bundles: with(func(p *attest.Provenance) { p.Ref = "refs/heads/main2" }), rule: attest.RuleRef,
			want: "provenance says ref refs/heads/main2, shop/web takes only refs/heads/main, refs/tags/v*",
		},
		"pull request": {bundles: with(func(p *attest.Provenance) { p.Ref = "refs/pull/1/merge" }), rule: attest.RuleRef, want: "refs/pull/1/merge"},
		"no ref":       {demand: func(d *attest.Demand) { d.Refs = []string{"*"} }, bundles: with(func(p *attest.Provenance) { p.Ref = "" }), rule: attest.RuleRef, want: "(none named)"},
		"another image": {
			bundles: with(func(p *attest.Provenance) { p.Image = "shop/api" }), rule: attest.RuleImage, want: "provenance says image shop/api, not shop/web",
		},
		"another host": {bundles: with(func(p *attest.Provenance) { p.Image = "evil.example/shop/web" }), rule: attest.RuleImage, want: "evil.example/shop/web"},
		"stripped":     {bundles: good[1:], rule: attest.RuleSet, want: "is in the list of ci's provenance, but 5 attestations found"},
		"extra": {
			bundles: append(slices.Clone(good), ci.sign(t, attest.Tests{Passed: 99})), rule: attest.RuleSet, want: "tests by ci (sha256:",
		},
		"extra of an unknown type": {
			bundles: append(slices.Clone(good), ci.sign(t, attest.Opaque{PredicateType: "https://x.example/t"})), rule: attest.RuleSet, want: "https://x.example/t by ci",
		},
		"replaced": {
			bundles: append(append([][]byte{}, good[1:]...), ci.sign(t, attest.Opaque{PredicateType: attest.TypeVSA})), rule: attest.RuleSet, want: "is not in the list",
		},
		"provenance that lists nothing": {
			bundles: append(slices.Clone(good[:last]), ci.sign(t, provenance())), rule: attest.RuleSet, want: "is not in the list of its run's provenance",
		},
		"provenance stripped": {bundles: good[:last], rule: attest.RuleMissing, want: "no provenance: 5 attestations found (coverage, findings, sbom, signature, tests by ci)"},
		"provenance twice": {
			bundles: append(slices.Clone(good), with(func(p *attest.Provenance) { p.Version = "6.6.6" })...),
			rule:    attest.RuleConflict, want: "run shop/7/attempts/1 has more than one provenance",
		},
		"provenances of two commits": {
			bundles: append(slices.Clone(good), with(func(p *attest.Provenance) { p.Run, p.Commit = "shop/8", strings.Repeat("b", 40) })...),
			rule:    attest.RuleConflict, want: "provenances contradict each other",
		},
		"no test ran": {
			bundles: ci.seal(t, provenance(), attest.Tests{Skipped: 4}, attest.BOM{JSON: json.RawMessage(cycloneDX)}),
			rule:    attest.RuleMissing, want: "tests by ci says that no test ran",
		},
		"nobody vouches": {
			demand: func(d *attest.Demand) { d.Require = nil }, bundles: mallory.run(t, provenance()),
			rule: attest.RuleMissing, want: "nobody vouches for shop/web: 6 attestations found",
		},
		"unknown requirement": {
			demand: func(d *attest.Demand) { d.Require = []string{"spdx"} }, bundles: good, rule: attest.RuleMissing, want: `"spdx" cannot be required`,
		},
		"too many": {
			bundles: slices.Repeat([][]byte{good[0]}, attest.MaxBundles+1), rule: attest.RuleLimit, want: "201 attestations found; at most 200",
		},
		"too big": {bundles: [][]byte{make([]byte, attest.MaxBundle+1)}, rule: attest.RuleLimit, want: "an attestation has 33554433 bytes"},
		"too big together": {
			bundles: slices.Repeat([][]byte{make([]byte, attest.MaxBundle)}, 3), rule: attest.RuleLimit, want: "together have 100663296 bytes",
		},
		"signed nonsense": {
			bundles: append(slices.Clone(good), ci.signRaw(t, statement(attest.TypeTests, `{"result":"MAYBE"}`, image))),
			rule:    attest.RuleMalformed, want: `tests: its result is "MAYBE"`,
		},
		"key twice in a statement": {
			bundles: [][]byte{ci.signRaw(t, []byte(strings.Replace(string(statement(attest.TypeTests, `{}`, image)), `"_type"`, `"predicateType":"x","_type"`, 1)))},
			rule:    attest.RuleMalformed, want: `the key "predicateType" stands twice`,
		},
		"names in another case": {
			bundles: [][]byte{ci.signRaw(t, []byte(strings.Replace(string(statement(attest.TypeTests, `{}`, image)), `"predicateType"`, `"PredicateType"`, 1)))},
			rule:    attest.RuleMalformed, want: "the statement has no predicateType",
		},
		"statement of another version": {
			bundles: [][]byte{ci.signRaw(t, []byte(strings.Replace(string(statement(attest.TypeTests, `{}`, image)), `Statement/v1`, `Statement/v2`, 1)))},
			rule:    attest.RuleMalformed, want: "Statement/v2",
		},
		"depth bomb": {
			bundles: [][]byte{ci.signRaw(t, statement(attest.TypeVSA, strings.Repeat(`[`, 5000)+strings.Repeat(`]`, 5000), image))},
			rule:    attest.RuleMalformed, want: "nested deeper than 128",
		},
		"thousands of subjects": {
			bundles: [][]byte{ci.signRaw(t, statement(attest.TypeTests, `{}`, slices.Repeat([]artifact.Digest{image}, 5000)...))},
			rule:    attest.RuleMalformed, want: "5000 subjects, at most 1024",
		},
		"control characters in a message": {
			bundles: with(func(p *attest.Provenance) { p.Ref = "refs/heads/x\r\nok: accepted" }), rule: attest.RuleRef, want: "refs/heads/x  ok: accepted",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, d := tt.policy, demand()
			if policy.Signers == nil {
				policy = ciAll
			}
			if tt.demand != nil {
				tt.demand(&d)
			}
			_, refusals := judge(t, policy, d, tt.bundles...)
			refused(t, refusals, tt.rule, tt.want)
		})
	}
}

// What anybody may attach must neither help nor harm.
func TestStrangersAreIgnored(t *testing.T) {
	t.Parallel()
	ci, mallory := newParty(t, "ci"), newParty(t, "mallory")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}
	good := ci.run(t, provenance())
	forged := []byte(strings.Replace(string(mallory.sign(t, attest.Tests{Passed: 1})), hint(t, mallory.sign(t, attest.Signature{})), hint(t, good[0]), 1))
	strange := [][]byte{
		[]byte("garbage"), []byte("{}"), nil, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`), []byte(strings.Repeat("[", 1<<20)),
		mallory.sign(t, attest.Findings{Critical: 9}), forged, tamper(t, good[2]), twice(t, good[2]),
	}
	clean, _ := judge(t, policy, demand(), good...)
	e, refusals := judge(t, policy, demand(), append(slices.Clone(good), strange...)...)
	if len(refusals) > 0 || e.Hash() != clean.Hash() {
		t.Errorf("strangers changed the outcome: %s", show(refusals))
	}
	_, refusals = judge(t, policy, demand(), strange...)
	refused(t, refusals, attest.RuleMissing, "4 ignored, unreadable: it is no Sigstore bundle")
	refused(t, refusals, attest.RuleMissing, "1 ignored, unreadable: it is nested deeper")
	refused(t, refusals, attest.RuleMissing, "1 ignored, unreadable: it carries 2 signatures, not one")
}

func hint(t *testing.T, bundle []byte) string {
	t.Helper()
	var b struct {
		M struct{ PublicKey struct{ Hint string } } `json:"verificationMaterial"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil || b.M.PublicKey.Hint == "" {
		t.Fatalf("no hint: %v", err)
	}
	return b.M.PublicKey.Hint
}

// tamper changes one byte of the signed payload; twice repeats the signature.
func tamper(t *testing.T, bundle []byte) []byte {
	return edit(t, bundle, func(env map[string]any) {
		s, ok := env["payload"].(string)
		if !ok {
			t.Fatal("no payload")
		}
		env["payload"] = s[:40] + map[bool]string{true: "B", false: "A"}[s[40] == 'A'] + s[41:]
	})
}

func twice(t *testing.T, bundle []byte) []byte {
	return edit(t, bundle, func(env map[string]any) {
		sigs, ok := env["signatures"].([]any)
		if !ok {
			t.Fatal("no signatures")
		}
		env["signatures"] = append(sigs, sigs[0])
	})
}

func edit(t *testing.T, bundle []byte, change func(map[string]any)) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	env, ok := b["dsseEnvelope"].(map[string]any)
	if !ok {
		t.Fatal("no envelope")
	}
	change(env)
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One commit built twice: both runs count, the worst values stand, the first run is the origin.
func TestWorstOfSeveralRuns(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(t, all...)}}
	bom := attest.BOM{JSON: json.RawMessage(cycloneDX)}
	first := ci.seal(t, provenance(), bom, attest.Tests{Passed: 9, Failed: 1, Observed: true},
		attest.Coverage{Line: 0.9}, attest.Findings{High: 2, ByTool: map[string]int{"a": 2}, Observed: true})
	p := provenance()
	p.Run, p.Author, p.Ref, p.Finished = "shop/8", "bob", "refs/tags/v1.4.0", p.Finished.Add(time.Minute)
	second := ci.seal(t, p, attest.BOM{JSON: json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.5"}`)}, attest.Tests{Passed: 10},
		attest.Coverage{Line: 0.5}, attest.Findings{Critical: 1, ByTool: map[string]int{"b": 1}})
	e, refusals := judge(t, policy, demand(), append(second, first...)...)
	if len(refusals) > 0 {
		t.Fatalf("refused: %s", show(refusals))
	}
	want := attest.Evidence{
		Provenance: e.Provenance, Attestations: e.Attestations, Authors: []string{"alice", "bob"},
		Tests: &attest.Tests{Passed: 9, Failed: 1}, Coverage: &attest.Coverage{Line: 0.5},
		Findings: &attest.Findings{Critical: 1, High: 2, ByTool: map[string]int{"a": 2, "b": 1}}, SBOM: &attest.SBOM{Format: "CycloneDX 1.6", Components: 3},
	}
	if diff := cmp.Diff(want, e, cmp.AllowUnexported(artifact.Digest{})); diff != "" || e.Provenance.Author != "alice" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// Two signers share the work; each states its own, and a key exchange goes unnoticed.
func TestSeveralSignersAndKeys(t *testing.T) {
	t.Parallel()
	ci, old, scan := newParty(t, "ci"), newParty(t, "old"), newParty(t, "scan")
	both := ci.signer(t, "provenance", "sbom", "tests")
	both.Key = old.signer(t).Key + both.Key
	policy := attest.Policy{Signers: []attest.Signer{both, scan.signer(t, "findings")}}
	d := demand()
	d.Signers, d.Require = []string{"ci", "scan"}, append(d.Require, "findings")
	bundles := append(ci.seal(t, provenance(), attest.BOM{JSON: json.RawMessage(cycloneDX)}, attest.Tests{Passed: 1}), scan.sign(t, attest.Findings{Low: 1}))
	e, refusals := judge(t, policy, d, bundles...)
	if len(refusals) > 0 || e.Findings == nil || e.Findings.Low != 1 {
		t.Errorf("refused: %s", show(refusals))
	}
	_, refusals = judge(t, policy, d, append(bundles, scan.sign(t, attest.Tests{Passed: 1}))...)
	refused(t, refusals, attest.RulePredicate, "signer scan may not state tests; it may state findings")
}

// The same key under two names: the name that may state it speaks.
func TestOneKeyTwoNames(t *testing.T) {
	t.Parallel()
	ci := newParty(t, "ci")
	second := ci.signer(t, all...)
	second.Name = "ci-all"
	policy := attest.Policy{Signers: []attest.Signer{ci.signer(t, "signature"), second}}
	d := demand()
	d.Signers = []string{"ci", "ci-all"}
	e, refusals := judge(t, policy, d, ci.run(t, provenance())...)
	if len(refusals) > 0 {
		t.Fatalf("refused: %s", show(refusals))
	}
	for _, a := range e.Attestations {
		if want := map[bool]string{true: "ci", false: "ci-all"}[a.PredicateType == attest.TypeSignature]; a.Signer != want {
			t.Errorf("%s counts by %s, want %s", a.PredicateType, a.Signer, want)
		}
	}
}

func TestRefusalIsJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(attest.Refusal{Rule: attest.RuleSet, Message: "m"})
	if got := string(b); err != nil || got != `{"rule":"set","message":"m"}` {
		t.Errorf("json = %s, %v", got, err)
	}
	if fmt.Sprint(attest.Names()) != "[signature provenance sbom tests coverage findings vsa]" {
		t.Errorf("Names() = %v", attest.Names())
	}
}
