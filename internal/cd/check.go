package cd

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

// predicates are the attestations that a delivery may require.
var predicates = []string{"signature", "provenance", "sbom", "tests", "coverage", "findings"}

// checker looks for what the shape of a delivery cannot say. It keeps the first mistake.
type checker struct {
	file *yamlfile.File
	d    *Delivery
	err  error
}

// fail keeps a mistake at path, unless there is one already.
func (c *checker) fail(path, hint, format string, args ...any) {
	if c.err != nil {
		return
	}
	e := c.file.At(path, format, args...)
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	c.err = e
}

func (c *checker) name(path, name string) {
	if !nameForm.MatchString(name) {
		c.fail(path, "use lower-case letters, digits and hyphens, at most 63", "%q is no name", name)
	}
}

func (c *checker) header() {
	if c.d.APIVersion != "drawbridge/v1" {
		c.fail("apiVersion", "write apiVersion: drawbridge/v1", "apiVersion is %q", c.d.APIVersion)
	}
	if c.d.Kind != "Delivery" {
		c.fail("kind", "write kind: Delivery", "kind is %q", c.d.Kind)
	}
	c.name("name", c.d.Name)
}

func (c *checker) artifacts() {
	if n := len(c.d.Artifacts); n != 1 {
		c.fail("artifacts", "describe each artifact in a delivery of its own", "a delivery has exactly one artifact, not %d", n)
		return
	}
	a, path := c.d.Artifacts[0], "artifacts[0]"
	c.name(path+".name", a.Name)
	if ref, err := artifact.ParseReference(a.Image); err != nil {
		c.fail(path+".image", "write [host/]repository", "%s", err)
	} else if ref.Tag != "" || !ref.Digest.IsZero() {
		c.fail(path+".image", "the trigger says which tags count", "image names a tag or a digest")
	}
	for i, r := range a.Require {
		if !slices.Contains(predicates, r) {
			c.fail(fmt.Sprintf("%s.require[%d]", path, i), "known: "+strings.Join(predicates, ", "), "%q is no attestation", r)
		}
	}
	for i, s := range a.Signers {
		c.name(fmt.Sprintf("%s.signers[%d]", path, i), s)
	}
	if a.Source != nil {
		for i, r := range a.Source.Refs {
			if !validRef(r) {
				c.fail(fmt.Sprintf("%s.source.refs[%d]", path, i), "write refs/heads/main or refs/tags/v*", "%q is no ref", r)
			}
		}
	}
}

func (c *checker) triggers() {
	seen := map[string]bool{}
	for i, t := range c.d.Triggers {
		path := fmt.Sprintf("triggers[%d]", i)
		c.name(path+".name", t.Name)
		if seen[t.Name] {
			c.fail(path+".name", "names are unique", "trigger %q stands twice", t.Name)
		}
		seen[t.Name] = true
		if t.On != "artifact" {
			c.fail(path+".on", "write on: artifact", "%q is no kind of event that a trigger takes", t.On)
		}
		if t.Artifact != c.d.artifact0() {
			c.fail(path+".artifact", "the artifact here is "+c.d.artifact0(), "there is no artifact %q", t.Artifact)
		}
		if t.Tags != nil {
			if err := validSemver(t.Tags.Semver); err != nil {
				c.fail(path+".tags.semver", `write for example ">=1.0.0-0"`, "%q is no version constraint", t.Tags.Semver)
			}
		}
		if _, ok := c.d.Environment(t.Promote); !ok {
			c.fail(path+".promote", c.known(), "there is no environment %q", t.Promote)
		}
	}
}

// artifact0 is the name of the delivery's one artifact; "" when there is none.
func (d Delivery) artifact0() string {
	if len(d.Artifacts) == 0 {
		return ""
	}
	return d.Artifacts[0].Name
}

func (c *checker) known() string {
	names := make([]string, len(c.d.Environments))
	for i, e := range c.d.Environments {
		names[i] = e.Name
	}
	return "environments here: " + strings.Join(names, ", ")
}

func (c *checker) environments() {
	if len(c.d.Environments) == 0 {
		c.fail("environments", "describe at least one environment", "there are no environments")
	}
	for i, e := range c.d.Environments {
		path := fmt.Sprintf("environments[%d]", i)
		c.name(path+".name", e.Name)
		if slices.ContainsFunc(c.d.Environments[:i], func(o Environment) bool { return o.Name == e.Name }) {
			c.fail(path+".name", "names are unique", "environment %q stands twice", e.Name)
		}
		for j, after := range e.After {
			// Only what stands above may be named, which also keeps out cycles.
			if !slices.ContainsFunc(c.d.Environments[:i], func(o Environment) bool { return o.Name == after }) {
				c.fail(fmt.Sprintf("%s.after[%d]", path, j), "name an environment that stands above this one", "there is no environment %q above %q", after, e.Name)
			}
		}
		c.approval(path+".approval", e.Approval)
		c.rollout(path+".rollout", e.Rollout)
		c.target(path+".target", e.Target)
	}
}

func (c *checker) approval(path string, a *ApprovalSpec) {
	if a == nil {
		return
	}
	if a.Required < 1 || a.Required > 20 {
		c.fail(path+".required", "write how many people must approve", "required must be 1 to 20, not %d", a.Required)
	}
	for i, x := range a.Exclude {
		if x != "requester" && x != "author" {
			c.fail(fmt.Sprintf("%s.exclude[%d]", path, i), "known: requester, author", "%q cannot be excluded", x)
		}
	}
}

func (c *checker) rollout(path string, r *RolloutSpec) {
	if r == nil {
		return
	}
	if r.Canary == nil {
		c.fail(path, "write canary: {steps: [...]}, or leave rollout out", "rollout names no kind")
		return
	}
	path += ".canary"
	last := 0
	for i, s := range r.Canary.Steps {
		at := fmt.Sprintf("%s.steps[%d]", path, i)
		switch {
		case (s.Weight != 0) == (s.Pause != 0):
			c.fail(at, "write {weight: 10} or {pause: 5m}", "a step is a weight or a pause")
		case s.Pause < 0:
			c.fail(at+".pause", "write for example 5m", "a pause is not negative")
		case s.Weight != 0 && (s.Weight <= last || s.Weight > 100):
			c.fail(at+".weight", "weights rise and end at 100", "weight %d follows %d", s.Weight, last)
		}
		last = max(last, s.Weight)
	}
	if last != 100 {
		c.fail(path+".steps", "add {weight: 100} at the end", "the steps end at weight %d", last)
	}
	if u := r.Canary.Undo; u != nil {
		if u.Errors < 0 || u.Errors >= 1 {
			c.fail(path+".undo.errors", "write a share such as 0.05", "errors must be at least 0 and below 1")
		}
		if u.Requests < 0 || u.Timeout < 0 {
			c.fail(path+".undo", "", "requests and timeout are not negative")
		}
	}
}

func (c *checker) target(path string, t TargetSpec) {
	p := t.Process
	if p == nil {
		c.fail(path, "write target: {process: {artifact: …}}", "target names no kind")
		return
	}
	path += ".process"
	if p.Artifact != c.d.artifact0() {
		c.fail(path+".artifact", "the artifact here is "+c.d.artifact0(), "there is no artifact %q", p.Artifact)
	}
	if p.Listen != "" {
		host, _, err := net.SplitHostPort(p.Listen)
		if ip := net.ParseIP(host); err != nil || ip == nil {
			c.fail(path+".listen", "write an address such as 127.0.0.1:0", "%q is no address", p.Listen)
		}
	}
	for k, v := range p.Env {
		if slices.Contains([]string{"PORT", "VERSION", "DIGEST", "ENVIRONMENT"}, k) {
			c.fail(path+".env."+k, "choose another name", "%s is set by the server", k)
		}
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			c.fail(path+".env", "", "%q is no environment variable", k)
		}
	}
	if h := p.Health; h != nil {
		if !strings.HasPrefix(h.HTTP, "/") {
			c.fail(path+".health.http", "write a path such as /healthz", "%q is no path", h.HTTP)
		}
		if h.Interval < 0 || h.Timeout < 0 || h.Failures < 0 {
			c.fail(path+".health", "", "interval, timeout and failures are not negative")
		}
	}
}

// noEnvironment is the fault for an environment that a delivery does not have.
func noEnvironment(application, name string) error {
	return fault.New(fault.NotFound, "%s has no environment %q", application, name).WithHint("drawbridge status")
}
