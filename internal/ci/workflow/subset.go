package workflow

import (
	"go.yaml.in/yaml/v4"
)

// ownKey is the key under which the extensions of this server stand.
const ownKey = "x-drawbridge"

// refusal says why a key that GitHub knows is refused here, and what to do instead.
type refusal struct{ why, hint string }

// The keys of GitHub Actions that this server does not run, by the section in which they stand.
// A key that nobody knows is actionlint's to report.
var (
	refusedTop = map[string]refusal{
		"run-name":    {"a run is named after its workflow and number", "remove the key"},
		"defaults":    {"steps take no defaults", "write shell and working-directory on each step"},
		"concurrency": {"runs neither wait for nor cancel each other", "remove the key"},
	}
	refusedJob = map[string]refusal{
		"strategy":          {"a job runs exactly once", "write a job for each row of the matrix"},
		"container":         {"a job runs in this server's sandbox, not in an image", "remove the key; the tools of the host are there"},
		"services":          {"a job has no service containers", "start what the tests need in a step"},
		"environment":       {"CI deploys nowhere", "name environments in the delivery file"},
		"concurrency":       refusedTop["concurrency"],
		"defaults":          refusedTop["defaults"],
		"continue-on-error": {"a run succeeds only when all its jobs do", "put continue-on-error on a step"},
		"uses":              {"calling another workflow is not possible", "write its jobs here"},
		"with":              {"calling another workflow is not possible", "write its jobs here"},
		"secrets":           {"CI holds no secrets", "let the delivery's target take the secret"},
		"snapshot":          {"there are no images to take a snapshot of", "remove the key"},
	}
	refusedPush = map[string]refusal{
		"paths":        {"a push is not filtered by its files", "remove the filter, or test the files in a step"},
		"paths-ignore": {"a push is not filtered by its files", "remove the filter, or test the files in a step"},
		"types":        {"a push has no types", "remove the key"},
		"workflows":    {"a push names no workflows", "remove the key"},
	}
	refusedRun = map[string]refusal{
		"group": {"there are no groups of runners", "write: runs-on: linux"},
	}
)

// subset notes each key that this server does not run, and remembers the scalars that span
// lines. It returns the places of our own keys, which actionlint does not know.
func (r *reader) subset(root *yaml.Node) map[place]bool {
	own := map[place]bool{}
	r.blocks = map[int]block{}
	r.remember(root)
	r.keys(root, refusedTop)
	for key, value := range pairs(root) {
		switch key.Value {
		case ownKey:
			r.extension(key, value, own)
		case "on":
			r.events(value)
		case "permissions":
			r.permissions(key, value)
		case "jobs":
			for _, job := range pairs(value) {
				r.job(job, own)
			}
		}
	}
	return own
}

func (r *reader) job(job *yaml.Node, own map[place]bool) {
	r.keys(job, refusedJob)
	for key, value := range pairs(job) {
		switch key.Value {
		case ownKey:
			r.extension(key, value, own)
		case "permissions":
			r.permissions(key, value)
		case "runs-on":
			r.keys(value, refusedRun)
		}
	}
}

// keys refuses the keys of a mapping that the table names.
func (r *reader) keys(n *yaml.Node, table map[string]refusal) {
	for key := range pairs(n) {
		if no, ok := table[key.Value]; ok {
			r.refuse(key.Line, key.Column, no.hint, "%q is refused: %s", key.Value, no.why)
		}
	}
}

// extension accepts our own key, and refuses what stands in it: nothing is known there yet.
func (r *reader) extension(key, value *yaml.Node, own map[place]bool) {
	own[place{key.Line, key.Column}] = true
	empty := value.Kind == yaml.MappingNode || (value.Kind == yaml.ScalarNode && value.Tag == "!!null")
	if !empty {
		r.refuse(value.Line, value.Column, "remove it", "%q must be a mapping", ownKey)
	}
	for inner := range pairs(value) {
		r.refuse(inner.Line, inner.Column, "remove it", "\"%s.%s\" is refused: this server knows no such extension", ownKey, clip(inner.Value))
	}
}

// events accepts push alone, in each of the three forms of "on".
func (r *reader) events(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		r.event(n)
	case yaml.SequenceNode:
		for _, e := range n.Content {
			r.event(e)
		}
	case yaml.MappingNode:
		for key, value := range pairs(n) {
			if r.event(key) {
				r.keys(value, refusedPush)
			}
		}
	case yaml.DocumentNode, yaml.AliasNode:
	}
}

func (r *reader) event(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Value == "push" || n.Value == "" {
		return n.Value == "push"
	}
	r.refuse(n.Line, n.Column, "write: on: push", "the event %s is refused: only a push starts a run", quote(n.Value))
	return false
}

// permissions accepts what says no more than is so anyway: a job may read its own commit.
func (r *reader) permissions(key, value *yaml.Node) {
	const hint = "remove it, or write: permissions: {contents: read}"
	if value.Kind != yaml.MappingNode {
		r.refuse(key.Line, key.Column, hint, "\"permissions\" is refused: a job has no token that could be given rights")
		return
	}
	for scope, right := range pairs(value) {
		if scope.Value != "contents" || right.Value != "read" {
			r.refuse(scope.Line, scope.Column, hint, "the permission \"%s: %s\" is refused: a job can read its own commit and nothing else",
				clip(scope.Value), clip(right.Value))
		}
	}
}

// remember keeps the scalars that span lines, by the line on which they start.
func (r *reader) remember(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && isBlock(n.Value) {
		r.blocks[n.Line] = block{n.Column, n.Value}
	}
	for _, c := range n.Content {
		r.remember(c)
	}
}

// pairs goes over the keys and values of a mapping; over nothing when n is none.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}
