package cd

import (
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Plan is the frozen list of steps that brings one release into one environment. What
// a person previews, what is approved by its digest, what runs and what the audit log
// names is this one value.
type Plan struct {
	Environment EnvironmentRef             `json:"environment"`
	Release     string                     `json:"release"`
	Version     string                     `json:"version"`
	Built       time.Time                  `json:"built"`            // signed build-finish time of the release
	Base        string                     `json:"base,omitempty"`   // release that runs now; empty means none
	Delivery    int64                      `json:"delivery"`         // version of the delivery
	Trust       int64                      `json:"trust"`            // version of the trust policy that verified the release
	Snapshot    artifact.Digest            `json:"snapshot"`         // of the evidence of all artifacts
	Artifacts   map[string]artifact.Digest `json:"artifacts"`        // of the release, by name
	Rules       []bridge.ArtifactRule      `json:"rules"`            // what is proven again of each before anything moves
	Inputs      map[string]any             `json:"inputs,omitempty"` // a person's, by the schema of a manual trigger
	After       []string                   `json:"after,omitempty"`
	Listen      string                     `json:"listen"`
	Candidate   Version                    `json:"candidate"` // the artifact that the target runs
	Steps       []Step                     `json:"steps"`
}

// StepKind says what a step does. Kinds are stored: they are only ever added to.
type StepKind string

// The kinds of step.
const (
	StepVerify  StepKind = "verify"  // prove the evidence again, with today's trust
	StepApprove StepKind = "approve" // wait until enough people agree
	StepAdmit   StepKind = "admit"   // ask everything again and take the environment
	StepDeploy  StepKind = "deploy"  // start the candidate beside what runs, without traffic
	StepShift   StepKind = "shift"   // move traffic to the candidate
	StepPause   StepKind = "pause"   // watch the candidate's figures for a while
)

// Step is one typed step of a plan; the fields beside Kind are those that its kind reads.
type Step struct {
	Kind    StepKind      `json:"kind"`
	Approve *ApprovalSpec `json:"approve,omitempty"` // approve
	Weight  int           `json:"weight,omitempty"`  // shift: percent for the candidate
	Pause   Duration      `json:"pause,omitempty"`   // pause: at least this long
	Undo    *UndoSpec     `json:"undo,omitempty"`    // pause, shift: figures that undo
	Timeout Duration      `json:"timeout"`           // the step fails when it has not ended by then
}

// String is the step in a few words: "shift 10 %".
func (s Step) String() string {
	switch s.Kind {
	case StepApprove:
		return fmt.Sprintf("approve by %d", s.Approve.Required)
	case StepShift:
		return fmt.Sprintf("shift %d %%", s.Weight)
	case StepPause:
		return "pause " + time.Duration(s.Pause).String()
	case StepVerify, StepAdmit, StepDeploy:
		return string(s.Kind)
	}
	return string(s.Kind)
}

// How long each kind of step may take before it fails.
const (
	verifyTimeout  = Duration(2 * time.Minute)
	approveTimeout = Duration(7 * 24 * time.Hour)
	admitTimeout   = Duration(24 * time.Hour)
	deployTimeout  = Duration(5 * time.Minute)
	shiftTimeout   = Duration(5 * time.Minute)
	figuresTimeout = Duration(10 * time.Minute) // for the requests that a pause must see
)

// order is what a plan is compiled from.
type order struct {
	delivery Delivery
	version  int64 // of the delivery
	release  bridge.Release
	inputs   map[string]any // as takeInputs gave them
	rollback bool           // skips approval and canary, never verify
}

// compile makes the plan that does o in e. base is the release that runs there now. A
// release that lacks what e runs gives a fault of kind Conflict.
func compile(o order, e Environment, base string) (Plan, error) {
	r, d := o.release, o.delivery
	runs := e.Target.artifact()
	digest, ok := r.Artifacts[runs]
	if !ok {
		return Plan{}, fault.New(fault.Conflict, "release %s of %s holds no artifact %q, which %s runs", r.Version, d.Name, runs, e.Name).
			WithHint("drawbridge release show %s@%s", d.Name, r.Version)
	}
	p := Plan{
		Environment: EnvironmentRef{Application: d.Name, Name: e.Name},
		Release:     r.ID, Version: r.Version, Built: r.Built, Base: base,
		Delivery: o.version, Trust: r.Trust, Snapshot: r.Snapshot, Artifacts: r.Artifacts, Inputs: o.inputs, Listen: e.listen(),
	}
	for _, rule := range d.Application(o.version).Artifacts {
		if _, part := r.Artifacts[rule.Name]; !part {
			continue
		}
		p.Rules = append(p.Rules, rule)
		if rule.Name == runs {
			p.Candidate = Version{Release: r.ID, Name: r.Version, Image: rule.Image.WithDigest(digest), Spec: e.Target}
		}
	}
	return p.compiled(e, o.rollback), nil
}

// compiled adds what e asks for on the way.
func (p Plan) compiled(e Environment, rollback bool) Plan {
	if !rollback {
		p.After = e.After
	}
	p.Steps = append(p.Steps, Step{Kind: StepVerify, Timeout: verifyTimeout})
	if e.Approval != nil && !rollback {
		p.Steps = append(p.Steps, Step{Kind: StepApprove, Approve: e.Approval, Timeout: approveTimeout})
	}
	p.Steps = append(p.Steps, Step{Kind: StepAdmit, Timeout: admitTimeout}, Step{Kind: StepDeploy, Timeout: deployTimeout})
	if c := e.canary(); c != nil && !rollback {
		return p.with(c)
	}
	p.Steps = append(p.Steps, Step{Kind: StepShift, Weight: 100, Timeout: shiftTimeout})
	return p
}

// running is the plan's version as a target runs it with a share of the traffic.
func (p Plan) running(weight int) Version {
	v := p.Candidate
	v.Weight, v.Inputs = weight, inputVariables(p.Inputs)
	return v
}

// with adds the steps of a canary.
func (p Plan) with(c *CanarySpec) Plan {
	for _, s := range c.Steps {
		if s.Weight > 0 {
			p.Steps = append(p.Steps, Step{Kind: StepShift, Weight: s.Weight, Undo: c.Undo, Timeout: shiftTimeout})
			continue
		}
		wait := figuresTimeout
		if c.Undo != nil && c.Undo.Timeout > 0 {
			wait = c.Undo.Timeout
		}
		p.Steps = append(p.Steps, Step{Kind: StepPause, Pause: s.Pause, Undo: c.Undo, Timeout: s.Pause + wait})
	}
	return p
}

// encode is the plan as it is stored and its digest.
func (p Plan) encode() ([]byte, artifact.Digest) {
	body, err := json.Marshal(p)
	if err != nil {
		panic("cd: a plan does not marshal: " + err.Error())
	}
	return body, artifact.DigestOf(body)
}

// Digest names the plan: what an approval is bound to.
func (p Plan) Digest() artifact.Digest {
	_, d := p.encode()
	return d
}
