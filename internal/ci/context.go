package ci

import (
	"maps"
	"strconv"
	"strings"

	"drawbridge/internal/ci/workflow"
)

// Workspace is where every executor shows a job its workspace.
const Workspace = "/workspace"

// defaultPath is the PATH of every step, after the bin directories of Config.ReadOnly.
const defaultPath = "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// githubContext is the github context of a run's job; job is empty outside of one.
func githubContext(r Run, job string) map[string]any {
	kind, name := "branch", r.Ref
	if n, ok := strings.CutPrefix(r.Ref, "refs/heads/"); ok {
		name = n
	}
	if n, ok := strings.CutPrefix(r.Ref, "refs/tags/"); ok {
		kind, name = "tag", n
	}
	return map[string]any{
		"actor": r.Pusher, "base_ref": "", "event_name": "push", "head_ref": "", "job": job,
		"ref": r.Ref, "ref_name": name, "ref_type": kind, "repository": r.Repository,
		"run_attempt": strconv.Itoa(max(r.Attempt, 1)), "run_id": strconv.FormatInt(r.ID, 10),
		"run_number": strconv.FormatInt(r.Number, 10), "sha": r.Commit, "workflow": r.Name, "workspace": Workspace,
	}
}

// runnerContext is the runner context: arch and os as GitHub writes them.
func runnerContext(f Facts) map[string]any {
	os, arch, _ := strings.Cut(f.Platform, "/")
	return map[string]any{"arch": githubArch(arch), "name": f.Name, "os": githubOS(os), "temp": "/tmp"}
}

func githubArch(arch string) string {
	switch arch {
	case "amd64":
		return "X64"
	case "arm64":
		return "ARM64"
	}
	return strings.ToUpper(arch)
}

func githubOS(os string) string {
	if os == "linux" {
		return "Linux"
	}
	return os
}

// githubEnv is the environment that GitHub gives to every step, as far as it means
// something here.
func githubEnv(github, runner map[string]any, url string) map[string]string {
	env := map[string]string{"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": url}
	for _, key := range workflow.GithubKeys() {
		if v, ok := github[key].(string); ok {
			env["GITHUB_"+strings.ToUpper(key)] = v
		}
	}
	for _, key := range workflow.RunnerKeys() {
		if v, ok := runner[key].(string); ok {
			env["RUNNER_"+strings.ToUpper(key)] = v
		}
	}
	return env
}

// jobEnv is what every job gets: where the tools that we know keep their files, and
// nothing from the server's own environment. The bin directories of readOnly come first in PATH.
func jobEnv(readOnly []string, extra map[string]string) map[string]string {
	env := map[string]string{
		"HOME": "/tmp", "LANG": "C.UTF-8", "TMPDIR": "/tmp", "GOCACHE": "/cache/go-build", "GOMODCACHE": "/cache/mod",
		"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOTELEMETRY": "off", "GOPROXY": "off",
	}
	path := []string{}
	for _, dir := range readOnly {
		path = append(path, dir+"/bin")
	}
	env["PATH"] = strings.Join(append(path, defaultPath), ":")
	maps.Copy(env, extra)
	return env
}
