package workflow

import (
	"path"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"

	"drawbridge/internal/artifact"
)

// builtin describes a built-in action: what may and must stand in its with, and what it gives.
type builtin struct {
	versions []string // accepted after the @; nil means any
	required []string
	optional []string
	oneOf    bool // at least one optional input must be there
	outputs  []string
	refused  map[string]refusal            // inputs that get a reason of their own
	checks   map[string]func(string) error // of values without expressions
}

// builtins is the table of built-in actions; a "uses" that is not in it is refused.
var builtins = map[Action]builtin{
	Checkout: {
		optional: []string{"fetch-depth"}, // the whole tree of the commit comes in any case
	},
	Publish: {
		versions: []string{"v1"},
		required: []string{"image", "path", "tags"},
		optional: []string{"entrypoint", "env"},
		outputs:  []string{"digest", "reference"},
		refused: map[string]refusal{
			"base": {
				"an image is built from nothing but its path, so that no foreign layer goes out under this run's signature",
				"put everything that the program needs below path, a static binary for example",
			},
		},
		checks: map[string]func(string) error{"image": checkImage, "path": checkPath, "tags": checkTags},
	},
	Report: {
		versions: []string{"v1"},
		optional: []string{"coverage", "findings", "tests"},
		oneOf:    true,
		checks:   map[string]func(string) error{"coverage": checkPath, "findings": checkPath, "tests": checkPath},
	},
}

// action checks a step's uses and with, and fills in the step.
func (r *reader) action(s *Step, a *actionlint.ExecAction) {
	if a.Uses == nil {
		return
	}
	name, version, _ := strings.Cut(a.Uses.Value, "@")
	s.Uses = Action(strings.ToLower(name))
	b, ok := builtins[s.Uses]
	pos := a.Uses.Pos
	switch {
	case !ok:
		r.refuse(pos.Line, pos.Col, "use "+string(Checkout)+"@v4, "+string(Publish)+"@v1, "+string(Report)+"@v1, or a script in run",
			"the action %s is refused: this server runs built-in actions only", quote(a.Uses.Value))
		return
	case version == "":
		r.refuse(pos.Line, pos.Col, "write the version behind an @", "the action %s names no version", quote(a.Uses.Value))
	case b.versions != nil && !slices.Contains(b.versions, version):
		r.refuse(pos.Line, pos.Col, "write "+string(s.Uses)+"@"+b.versions[0],
			"the version %s of %s is refused: there is %s", quote(version), s.Uses, strings.Join(b.versions, ", "))
	}
	r.inputs(s, b, a)
}

func (r *reader) inputs(s *Step, b builtin, a *actionlint.ExecAction) {
	s.With = map[string]Text{}
	for _, name := range sortedKeys(a.Inputs) {
		in := a.Inputs[name]
		at := in.Name.Pos
		if no, ok := b.refused[name]; ok {
			r.refuse(at.Line, at.Col, no.hint, "the input %q of %s is refused: %s", name, s.Uses, no.why)
			continue
		}
		if !slices.Contains(b.required, name) && !slices.Contains(b.optional, name) {
			r.refuse(at.Line, at.Col, "it takes "+strings.Join(slices.Concat(b.required, b.optional), ", "),
				"the input %s of %s is refused: it would have no effect", quote(name), s.Uses)
			continue
		}
		if in.Value == nil {
			continue
		}
		s.With[name] = r.text(in.Value)
		r.input(s.Uses, b, name, in.Value)
	}
	pos := a.Uses.Pos
	for _, name := range b.required {
		if _, ok := s.With[name]; !ok {
			r.refuse(pos.Line, pos.Col, "add it below with", "%s needs the input %q", s.Uses, name)
			return
		}
	}
	if b.oneOf && len(s.With) == 0 {
		r.refuse(pos.Line, pos.Col, "add one below with", "%s needs at least one of the inputs %s", s.Uses, strings.Join(b.optional, ", "))
	}
}

// input checks the value of one input where it can be known before the run.
func (r *reader) input(action Action, b builtin, name string, v *actionlint.String) {
	check := b.checks[name]
	if check == nil || strings.Contains(v.Value, "${{") {
		return
	}
	if err := check(v.Value); err != nil {
		r.refuse(v.Pos.Line, v.Pos.Col, "", "the input %q of %s: %v", name, action, err)
	}
}

// A problem with one value.
type badValue string

func (e badValue) Error() string { return string(e) }

func checkImage(s string) error {
	ref, err := artifact.ParseReference(strings.TrimSpace(s))
	switch {
	case err != nil:
		return err
	case ref.Host != "":
		return badValue("an image is published to this server's registry: write it without a host")
	case ref.Tag != "" || !ref.Digest.IsZero():
		return badValue("write the image without a tag; tags go into the input tags")
	}
	return nil
}

func checkTags(s string) error {
	tags := Tags(s)
	if len(tags) == 0 {
		return badValue("names no tag")
	}
	for _, t := range tags {
		if !artifact.ValidTag(t) {
			return badValue(quote(t) + " is no tag: use up to 128 letters, digits, dots, dashes and underscores")
		}
	}
	return nil
}

// Tags splits an evaluated tags input: tags are divided by white space or commas. It keeps
// the order and drops duplicates; whether each is a tag is for artifact.ValidTag to say.
func Tags(s string) []string {
	var tags []string
	for t := range strings.FieldsFuncSeq(s, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) }) {
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags
}

// checkPath accepts what stays beneath the workspace.
func checkPath(s string) error {
	p := strings.TrimSpace(s)
	clean := path.Clean(p)
	if p == "" || path.IsAbs(p) || clean == ".." || strings.HasPrefix(clean, "../") {
		return badValue(quote(p) + " must be a path beneath the workspace")
	}
	return nil
}
