package cli

import (
	"crypto/rand"
	"net/url"
	"strings"

	"drawbridge/internal/artifact"
)

// maxEventText is the longest source and the longest id of an event.
const maxEventText = 256

// origin is the run of a CI in which the command was called.
type origin struct {
	source     string // URL of the run
	run        string // what tells this run, and its repetition as a whole, from others; may be empty
	repository string // Git repository, as the CI writes it, without a password
	ref        string // "refs/heads/main"; may be empty
	commit     string
}

// originOf reads the variables that CIs set. Sources: the lists of predefined variables in
// the documentation of GitHub Actions (Gitea and Forgejo set the same), GitLab CI and Jenkins.
func originOf(env func(string) string) origin {
	var b origin
	switch {
	case env("GITHUB_ACTIONS") == "true":
		b.repository = env("GITHUB_SERVER_URL") + "/" + env("GITHUB_REPOSITORY")
		b.source = b.repository + "/actions/runs/" + env("GITHUB_RUN_ID")
		b.run, b.ref, b.commit = env("GITHUB_RUN_ID")+"/"+env("GITHUB_RUN_ATTEMPT"), env("GITHUB_REF"), env("GITHUB_SHA")
	case env("GITLAB_CI") == "true":
		b.repository, b.source, b.run, b.commit = env("CI_PROJECT_URL"), env("CI_JOB_URL"), env("CI_JOB_ID"), env("CI_COMMIT_SHA")
		b.ref = refOf(env("CI_COMMIT_TAG"), env("CI_COMMIT_BRANCH"))
	case env("BUILD_URL") != "":
		b.repository, b.source, b.run, b.commit = env("GIT_URL"), env("BUILD_URL"), env("BUILD_NUMBER"), env("GIT_COMMIT")
		branch := env("BRANCH_NAME")
		if branch == "" {
			branch = strings.TrimPrefix(env("GIT_BRANCH"), "origin/")
		}
		if env("CHANGE_ID") != "" { // a proposed change: its name is no branch
			branch = ""
		}
		b.ref = refOf(env("TAG_NAME"), branch)
	}
	b.repository, b.source = public(b.repository), public(b.source)
	if b.source == "" {
		b.source = "/submit"
	}
	b.source = bounded(b.source)
	return b
}

func refOf(tag, branch string) string {
	switch {
	case tag != "":
		return "refs/tags/" + tag
	case branch != "":
		return "refs/heads/" + branch
	}
	return ""
}

// public is a URL without the user and password that CIs write into some.
func public(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}

// eventID names the event within its source, so that a step that is repeated is one event. A
// tag alone, outside of any run, may name something else the next time: then each call is
// an event of its own.
func (b origin) eventID(ref artifact.Reference) string {
	switch {
	case b.run != "":
		return bounded(b.run + "/" + ref.String())
	case ref.Digest.IsZero():
		return rand.Text()
	}
	return bounded(ref.String())
}

// bounded is s, or as much of it as fits with a digest that tells it from others.
func bounded(s string) string {
	if len(s) <= maxEventText {
		return s
	}
	end := "#" + artifact.DigestOf([]byte(s)).Hex()
	return strings.ToValidUTF8(s[:maxEventText-len(end)], "") + end
}
