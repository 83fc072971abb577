package workflow

import (
	"strings"

	"github.com/rhysd/actionlint"
)

// labels checks runs-on: a job runs on this server's executor, which is Linux on the server's
// own architecture. A label that asks for anything else would silently get something else.
func (r *reader) labels(j *actionlint.Job) {
	const hint = "write: runs-on: linux"
	if j.RunsOn == nil {
		return
	}
	if x := j.RunsOn.LabelsExpr; x != nil {
		r.refuse(x.Pos.Line, x.Pos.Col, hint, "an expression is refused in runs-on")
		return
	}
	for _, l := range j.RunsOn.Labels {
		switch name := strings.ToLower(l.Value); {
		case strings.Contains(name, "${{"):
			r.refuse(l.Pos.Line, l.Pos.Col, hint, "an expression is refused in runs-on")
		case isArchitecture(name):
			r.refuse(l.Pos.Line, l.Pos.Col, hint, "the label %s is refused: a job runs on the server's own architecture", quote(l.Value))
		case !isLinux(name):
			r.refuse(l.Pos.Line, l.Pos.Col, hint, "the label %s is refused: jobs run on Linux only", quote(l.Value))
		}
	}
}

func isArchitecture(label string) bool {
	switch label {
	case "x86", "x64", "amd64", "arm", "arm64", "aarch64":
		return true
	}
	return strings.HasSuffix(label, "-arm") || strings.HasSuffix(label, "-arm64")
}

func isLinux(label string) bool {
	switch label {
	case "linux", "self-hosted", "ubuntu", "debian":
		return true
	}
	return strings.HasPrefix(label, "ubuntu-") || strings.HasPrefix(label, "debian-") || strings.HasPrefix(label, "linux-")
}
