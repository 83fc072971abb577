package cd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
)

// Target makes one environment be what it should be. It is declarative: Apply is told
// the whole of what should run and looks before it acts, so that a repeated call with
// the same key changes nothing. Every implementation passes targettest.
type Target interface {
	// Apply makes the environment be as d says and returns once it is: every listed
	// version runs and is healthy, traffic is split by the weights, and what is not listed
	// has been drained and stopped. A version that does not become healthy is stopped again
	// and gives a fault of kind Blocked that says why; the versions that ran before keep
	// running with the weights that they had. Calls for one environment wait for each other.
	Apply(ctx context.Context, key Key, d Desired) (Actual, error)
	// Observe reports what the environment is now. An environment that was never applied
	// gives the zero Actual.
	Observe(ctx context.Context, e EnvironmentRef) (Actual, error)
}

// Key names one effect. It is the same on every repetition after a crash; Try changes
// only by a retry that a person or a policy asks for.
type Key struct {
	Promotion PromotionID
	Step      int // index into the plan, from 0; an undo counts on from the plan's end
	Try       int // from 1
}

// String is "promotion/step/try".
func (k Key) String() string { return fmt.Sprintf("%d/%d/%d", k.Promotion, k.Step, k.Try) }

// PromotionID numbers promotions from 1.
type PromotionID int64

// EnvironmentRef names an environment of an application.
type EnvironmentRef struct {
	Application string `json:"application"` // "shop"
	Name        string `json:"environment"` // "production"
}

// String is "application/environment".
func (e EnvironmentRef) String() string { return e.Application + "/" + e.Name }

// Desired is all that should run in one environment.
type Desired struct {
	Environment EnvironmentRef
	Listen      string    // stable address; "127.0.0.1:0" picks a port, else exactly this one
	Versions    []Version // at most two: what runs and what may replace it; empty stops everything
}

// Version is one release as it runs in an environment.
type Version struct {
	Release string             // release id
	Name    string             // what people call it, for example "1.4.0"
	Image   artifact.Reference // by digest
	Weight  int                // percent of the traffic; the weights of a Desired add up to 100, or are all 0
	Spec    TargetSpec         // as the release's delivery version says
	Inputs  map[string]string  `json:"-"` // variables that a person's inputs give, "INPUT_REGION"; a plan keeps the inputs themselves
}

// TargetSpec says how an environment runs a version: exactly one field is set.
type TargetSpec struct {
	Process *ProcessSpec `json:"process,omitempty"`
}

// artifact is the name of the artifact that runs; "" for a target of no kind.
func (t TargetSpec) artifact() string {
	if t.Process == nil {
		return ""
	}
	return t.Process.Artifact
}

// ProcessSpec runs a version as supervised, sandboxed processes on the server's machine.
type ProcessSpec struct {
	Artifact string            `json:"artifact" jsonschema:"description=The name of the artifact to run."`
	Command  []string          `json:"command,omitempty" jsonschema:"description=Program and arguments, relative to the image's root; omitted: the image's entrypoint."`
	Listen   string            `json:"listen,omitempty" jsonschema:"description=The environment's stable address; port 0 picks one once.,default=127.0.0.1:0"`
	Env      map[string]string `json:"env,omitempty" jsonschema:"description=Environment variables; PORT\\, VERSION\\, DIGEST\\, ENVIRONMENT and INPUT_… are set by the server."`
	Health   *HealthSpec       `json:"health,omitempty" jsonschema:"description=How to tell that a version works; omitted: it accepts connections on its port."`
}

// HealthSpec says how a version's health is asked.
type HealthSpec struct {
	HTTP     string   `json:"http" jsonschema:"description=Path that answers with a status below 400."`
	Interval Duration `json:"interval,omitempty" jsonschema:"description=Between two questions.,default=1s"`
	Timeout  Duration `json:"timeout,omitempty" jsonschema:"description=For one answer.,default=2s"`
	Failures int      `json:"failures,omitempty" jsonschema:"description=Failures in a row that make a version unhealthy.,default=3"`
}

// Actual is what an environment is.
type Actual struct {
	Address  string          // host:port that answers for the environment
	Versions []ActualVersion // sorted by image digest
}

// ActualVersion is one running version with the figures of the traffic it got.
type ActualVersion struct {
	Release string
	Digest  artifact.Digest
	Weight  int
	Healthy bool
	Reason  string // why it is not healthy, one line
	Figures Figures
}

// Figures count the requests that a version answered through the environment's address
// since it started there. A server that starts again counts from zero.
type Figures struct {
	Requests int64           `json:"requests"`
	Errors   int64           `json:"errors"` // answers of 500 and above, and connections that failed
	Latency  []LatencyBucket `json:"latency,omitempty"`
}

// LatencyBucket counts the requests answered within Limit (cumulative, as Prometheus has it).
type LatencyBucket struct {
	Limit time.Duration `json:"limit"` // nanoseconds
	Count int64         `json:"count"`
}

// ErrorShare is the share of requests that failed, 0 to 1; 0 when there were none.
func (f Figures) ErrorShare() float64 {
	if f.Requests == 0 {
		return 0
	}
	return float64(f.Errors) / float64(f.Requests)
}

// Duration is a time.Duration that files and JSON write as "1m30s".
type Duration time.Duration

// MarshalJSON writes the duration as time.Duration.String gives it.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads what time.ParseDuration reads.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}
