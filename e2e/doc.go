// Package e2e holds the stories of people who use Drawbridge, told as scripts against the
// real program: testdata/stories/*.txtar. Each script has a server, a data directory and
// an address of its own. What a script may say beyond testscript's own commands stands in
// commands, in stories_test.go.
package e2e
