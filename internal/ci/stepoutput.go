package ci

import (
	"fmt"

	"drawbridge/internal/ci/workflow"
)

// stepOutput takes what one step prints, on both of its streams: commands are followed,
// everything else goes to the log.
type stepOutput struct {
	log     *jobLog
	scanner workflow.Scanner
	lines   lineBuffer
}

func newStepOutput(log *jobLog) *stepOutput {
	o := &stepOutput{log: log}
	o.lines = lineBuffer{log: log, parse: o.line}
	return o
}

// Write takes the next bytes; it never fails.
func (o *stepOutput) Write(p []byte) (int, error) {
	o.lines.write(p)
	o.log.flush()
	return len(p), nil
}

// close takes a last line that has no end.
func (o *stepOutput) close() {
	o.lines.close()
	o.log.flush()
}

// line follows a command and reports whether the line itself goes to the log.
func (o *stepOutput) line(line string) (show bool) {
	l := o.scanner.Scan(line)
	switch l.Kind {
	case workflow.LineMask:
		o.log.mask(l.Mask)
	case workflow.LineGroup:
		o.log.line([]byte("##[group]" + l.Text))
	case workflow.LineEndGroup:
		o.log.line([]byte("##[endgroup]"))
	case workflow.LineDebug:
		o.log.line([]byte("##[debug]" + l.Text))
	case workflow.LineAnnotation:
		o.log.line([]byte(annotated(l.Annotation)))
		return l.Annotation.FromServer
	case workflow.LineText:
		return true
	case workflow.LineStop, workflow.LineResume:
	}
	return false
}

// annotated is an annotation as one line of the log.
func annotated(a *workflow.Annotation) string {
	place := ""
	switch {
	case a.File != "" && a.Line > 0:
		place = fmt.Sprintf("%s:%d: ", a.File, a.Line)
	case a.File != "":
		place = a.File + ": "
	}
	return fmt.Sprintf("##[%s]%s%s", a.Level, place, a.Message)
}
