package cd

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

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

// keep keeps a fault that another package found in the value at path.
func (c *checker) keep(path string, err error) {
	f := fault.As(err)
	switch {
	case err == nil:
	case f == nil:
		c.fail(path, "", "%v", err)
	case f.Field == "":
		c.fail(path, f.Hint, "%s", f.Message)
	case strings.HasPrefix(f.Message, "has "): // a sentence about the field
		c.fail(path+"."+f.Field, f.Hint, "%s %s", f.Field, f.Message)
	default:
		c.fail(path+"."+f.Field, f.Hint, "%s", f.Message)
	}
}

// span checks a duration that may be left out.
func (c *checker) span(path string, d, least, most Duration) {
	const hint = "write for example 30s"
	switch {
	case d < 0:
		c.fail(path, hint, "%s is negative", time.Duration(d))
	case d > most:
		c.fail(path, hint, "%s is over %s", time.Duration(d), time.Duration(most))
	case d != 0 && d < least:
		c.fail(path, hint, "%s is under %s", time.Duration(d), time.Duration(least))
	}
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

// known lists the environments, for a hint.
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
	c.artifactName(path+".artifact", p.Artifact)
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
		if strings.HasPrefix(k, inputPrefix) {
			c.fail(path+".env."+k, "choose another name", "%s is set by the server, from the inputs of a promotion", k)
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
