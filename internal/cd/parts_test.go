package cd_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// artifactsOf are the artifacts of a release of web alone.
func artifactsOf(version string) map[string]artifact.Digest {
	return map[string]artifact.Digest{"web": digestOf(version)}
}

func pair(version string) map[string]artifact.Digest {
	return map[string]artifact.Digest{"web": digestOf(version + " web"), "worker": digestOf(version + " worker")}
}

// toProduction brings 1.0.0, a release of two artifacts, to production's approval.
func (w *world) toProduction() cd.Promotion {
	w.t.Helper()
	const version = "1.0.0"
	r, _ := w.cross(version, pair(version), "dev")
	w.settle()
	w.runs("dev", map[string]int{version: 100})
	starts, err := w.ask(bridge.ByTrigger, r, "production")
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(nil, starts)
	w.settle()
	p := w.newest("production")
	if p.Signal != cd.SignalApproval {
		w.t.Fatalf("production is %s, %q", p.State, p.Reason)
	}
	return p
}

func (w *world) approve(p cd.Promotion) cd.Promotion {
	w.t.Helper()
	if _, err := w.service.Approve(w.t.Context(), "bob", p.ID, p.PlanDigest, "fine"); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.promotion(p.ID)
}

func TestReleaseOfTwoArtifacts(t *testing.T) {
	w := newWorldOf(t, twoArtifacts)
	p := w.approve(w.toProduction())
	w.runs("production", map[string]int{"1.0.0": 100})
	if !maps.Equal(pair("1.0.0"), p.Plan.Artifacts) {
		t.Errorf("the plan's artifacts are %v", p.Plan.Artifacts)
	}
	if p.State != cd.Done || p.Plan.Candidate.Image.Digest != pair("1.0.0")["worker"] || p.Plan.Candidate.Image.Repository != "shop/worker" {
		t.Errorf("production is %s and runs %s, want worker", p.State, p.Plan.Candidate.Image)
	}
	if dev := w.newest("dev").Plan.Candidate.Image; dev.Digest != pair("1.0.0")["web"] {
		t.Errorf("dev runs %s, want web", dev)
	}
	if len(p.Plan.Rules) != 2 || p.Plan.Rules[0].Name != "web" || p.Plan.Rules[1].Name != "worker" {
		t.Errorf("what is proven again: %+v", p.Plan.Rules)
	}
	status, err := w.service.Status(t.Context(), "shop")
	if err != nil || status[0].Digest != pair("1.0.0")["web"] || status[1].Digest != pair("1.0.0")["worker"] {
		t.Errorf("status %+v, %v", status, err)
	}
	w.target.Forget()
	if err := w.service.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runs("production", map[string]int{"1.0.0": 100})
}

// Production runs worker alone, but the release is proven as a whole.
func TestOneOfTwoIsRevokedBeforeAdmit(t *testing.T) {
	w := newWorldOf(t, twoArtifacts)
	p := w.toProduction()
	w.believer.revoked[pair("1.0.0")["web"]] = true
	if p = w.approve(p); p.State != cd.Failed || !strings.Contains(p.Reason, "web: signer ci is revoked") {
		t.Fatalf("production is %s, %q", p.State, p.Reason)
	}
	w.runs("production", map[string]int{})
}

func TestNewEvidenceOfOneOfTwo(t *testing.T) {
	w := newWorldOf(t, twoArtifacts)
	p := w.toProduction()
	w.believer.extra = 1
	if got := w.approve(p); got.State != cd.Superseded {
		t.Fatalf("production is %s, %q", got.State, got.Reason)
	}
	n := w.newest("production")
	if n.ID == p.ID || n.Signal != cd.SignalApproval || n.Plan.Snapshot != evidence(pair("1.0.0"), 1).Hash() {
		t.Errorf("its successor is %s, %q", n.State, n.Reason)
	}
}

func TestReleaseLacksWhatRuns(t *testing.T) {
	w := newWorldOf(t, strings.Replace(twoArtifacts, "after: [dev]", "after: [dev]\n    auto: true", 1))
	r, _ := w.cross("1.0.0", artifactsOf("1.0.0"), "dev")
	w.settle()
	w.runs("dev", map[string]int{"1.0.0": 100})
	if list, err := w.store.Promotions(t.Context(), cd.PromotionFilter{Environment: env("production")}); err != nil || len(list) != 0 {
		t.Errorf("production opened %v by itself, %v", list, err)
	}
	_, err := w.ask(bridge.ByPerson, r, "production")
	refused(t, "a person", err, fault.Conflict, `holds no artifact "worker", which production runs`)
	_, err = w.service.Plan(t.Context(), r.ID, "production")
	refused(t, "a preview", err, fault.Conflict, `holds no artifact "worker"`)
}

// A delivery that has an artifact no more proves nothing about it.
func TestArtifactIsGoneFromTheDelivery(t *testing.T) {
	w := newWorldOf(t, twoArtifacts)
	w.approve(w.toProduction())
	r, _ := w.cross("1.1.0", pair("1.1.0"), "")
	gone := strings.Replace(strings.Replace(twoArtifacts, "  - {name: web, image: shop/web}\n", "", 1), "artifact: web, command: [./web]", "artifact: worker", 1)
	if _, err := cd.ApplyDelivery(t.Context(), w.store, "ops", "delivery.yaml", []byte(gone), false); err != nil {
		t.Fatal(err)
	}
	starts, err := w.ask(bridge.ByPerson, r, "dev")
	if err != nil {
		t.Fatal(err)
	}
	w.write(nil, starts)
	w.settle()
	if p := w.newest("dev"); p.State != cd.Failed || !strings.Contains(p.Reason, "no rule for web") {
		t.Errorf("dev is %s, %q", p.State, p.Reason)
	}
}

func TestInputs(t *testing.T) {
	w := newWorld(t)
	r := w.accept("1.0.0")
	w.settle()
	w.accept("1.1.0")
	w.settle()
	ask := func(inputs map[string]any) ([]bridge.Start, error) {
		return w.plan(bridge.Request{Release: r, Environment: "dev", Cause: bridge.Cause{Kind: bridge.ByPerson, Actor: "carol"}, Inputs: inputs})
	}
	starts, err := ask(map[string]any{"region": "eu", "dry-run": true, "count": 3, "share": 0.5, "list": []string{"a", "<"}, "none": nil})
	if err != nil {
		t.Fatal(err)
	}
	w.write(nil, starts)
	w.settle()
	want := map[string]string{"INPUT_REGION": "eu", "INPUT_DRY_RUN": "true", "INPUT_COUNT": "3", "INPUT_SHARE": "0.5", "INPUT_LIST": `["a","<"]`, "INPUT_NONE": ""}
	if diff := cmp.Diff(want, w.target.Desired(env("dev")).Versions[0].Inputs); diff != "" {
		t.Errorf("dev's inputs (-want +got):\n%s", diff)
	}
	p := w.newest("dev")
	if p.PlanDigest != starts[0].Digest || p.Plan.Digest() != p.PlanDigest {
		t.Error("the stored plan has another digest than the one that was made")
	}
	w.target.Forget()
	if err := w.service.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.target.Desired(env("dev")).Versions[0].Inputs); diff != "" {
		t.Errorf("dev's inputs after a restart (-want +got):\n%s", diff)
	}
	for name, c := range map[string]struct {
		inputs map[string]any
		kind   fault.Kind
	}{
		"a name that is none": {map[string]any{"A=B": "x"}, fault.Invalid},
		"no name":             {map[string]any{"": "x"}, fault.Invalid},
		"names that collide":  {map[string]any{"a-b": 1, "a_b": 2}, fault.Invalid},
		"a NUL byte":          {map[string]any{"a": "x\x00y"}, fault.Invalid},
		"no JSON":             {map[string]any{"a": func() {}}, fault.Invalid},
		"too much":            {map[string]any{"a": strings.Repeat("x", 70<<10)}, fault.TooLarge},
	} {
		if _, err := ask(c.inputs); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
}
