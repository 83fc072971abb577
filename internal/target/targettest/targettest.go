// Package targettest is the conformance suite of cd.Target, with what it takes to run it:
// a registry in memory, a launcher of plain processes, and images of a small service that
// is the test binary itself.
//
// A target's test calls Init first in TestMain and then Run:
//
//	func TestMain(m *testing.M) { targettest.Init(); os.Exit(m.Run()) }
//	func TestTarget(t *testing.T) { targettest.Run(t, harness) }
package targettest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
)

// Harness is one fresh target under test.
type Harness struct {
	Target cd.Target
	// Restart ends the target as a stop of the server would and gives a new one over the
	// same directory. The harness ends whatever is left after the test.
	Restart func() cd.Target
	// Image publishes an image of the test service where the target finds it.
	Image func(name string, b Behaviour) artifact.Reference
	// Live is how many instances run.
	Live func() int
}

// Version is a version of the test service as the target runs it.
func (h Harness) Version(name string, b Behaviour, weight int) cd.Version {
	return cd.Version{
		Release: "release-" + name, Name: name, Image: h.Image(name, b), Weight: weight,
		Spec: cd.TargetSpec{Process: &cd.ProcessSpec{
			Artifact: "web", Env: map[string]string{"EXTRA": "from the delivery"},
			Health: &cd.HealthSpec{HTTP: "/healthz", Interval: cd.Duration(20 * time.Millisecond), Timeout: cd.Duration(5 * time.Second), Failures: 2},
		}},
	}
}

// Environment is the environment that the suite uses.
func Environment() cd.EnvironmentRef {
	return cd.EnvironmentRef{Application: "shop", Name: "production"}
}

// Desired lists versions for Environment.
func Desired(listen string, versions ...cd.Version) cd.Desired {
	return cd.Desired{Environment: Environment(), Listen: listen, Versions: versions}
}

// Key is the key of a step.
func Key(step int) cd.Key { return cd.Key{Promotion: 1, Step: step, Try: 1} }

// Apply applies d and ends the test when that fails.
func Apply(t *testing.T, target cd.Target, step int, d cd.Desired) cd.Actual {
	t.Helper()
	a, err := target.Apply(t.Context(), Key(step), d)
	if err != nil {
		t.Fatalf("Apply(%s) gave the error %v", describe(d), err)
	}
	return a
}

func describe(d cd.Desired) string {
	var b strings.Builder
	for _, v := range d.Versions {
		fmt.Fprintf(&b, " %s:%d", v.Name, v.Weight)
	}
	return d.Environment.String() + b.String()
}

// Get asks the address once. It fails the test when there is no answer.
func Get(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	status, body, err := get(t.Context(), address, path)
	if err != nil {
		t.Fatalf("GET %s gave the error %v", path, err)
	}
	return status, body
}

func get(ctx context.Context, address, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// Count asks the address n times and counts the answers by version.
func Count(t *testing.T, address string, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		_, body := Get(t, address, "/")
		name, _, _ := strings.Cut(body, " ")
		out[name]++
	}
	return out
}

// Eventually asks until ok is true; the test ends when that takes longer than a minute.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still not so after a minute: %s", what)
		}
	}
}
