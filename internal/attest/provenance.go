package attest

import (
	"time"

	"drawbridge/internal/artifact"
)

// BuildType is the build type of runs of our own CI. A provenance of this type always
// lists the attestations of its run, even when there are none.
const BuildType = "https://drawbridge.dev/buildtypes/workflow/v1"

// Provenance says how an artifact came to be: SLSA provenance v1. Every field is observed
// by the service that ran the build, never claimed by the job. Text fields may be empty
// where a foreign builder does not state them.
type Provenance struct {
	Builder        string            `json:"builder"`        // URI of the service that built
	BuildType      string            `json:"buildType"`      // URI; BuildType for our own CI
	Repository     string            `json:"repository"`     // Git repository that was built
	Ref            string            `json:"ref"`            // "refs/heads/main"
	Commit         string            `json:"commit"`         // lower-case hex, 40 or 64 digits
	Workflow       string            `json:"workflow"`       // path of the workflow file in the repository
	WorkflowDigest string            `json:"workflowDigest"` // digest of that file's content
	Run            string            `json:"run"`            // id of the run, unique per builder
	Attempt        int               `json:"attempt"`        // from 1; 0 means unknown
	Author         string            `json:"author"`         // authenticated identity that pushed, never Git's author text
	Chain          string            `json:"chain"`          // chain id from the push to production
	Isolation      string            `json:"isolation"`      // how jobs were kept apart, for example "namespaces"
	Image          string            `json:"image"`          // [host/]repository that was published to
	Version        string            `json:"version"`        // what people call it, for example "1.4.0"
	Committed      time.Time         `json:"committed,omitzero"`
	Started        time.Time         `json:"started,omitzero"`
	Finished       time.Time         `json:"finished,omitzero"`
	Steps          []StepResult      `json:"steps,omitempty"`
	Attestations   []artifact.Digest `json:"attestations,omitempty"` // SHA-256 of every other bundle of this run for this artifact
}

// StepResult is how one step of a run ended.
type StepResult struct {
	Job  string `json:"job"`
	Step string `json:"step"`
	Exit int    `json:"exit"` // exit code
}

// Type is TypeProvenance.
func (Provenance) Type() string { return TypeProvenance }

// lists reports whether p binds the set of bundles that must be there.
func (p Provenance) lists() bool { return len(p.Attestations) > 0 || p.BuildType == BuildType }

// The wire form. Format: https://slsa.dev/spec/v1.0/provenance
// External and internal parameters and annotations are free in the standard: typed where we write,
// raw where we read.
type slsa[E, I, A any] struct {
	BuildDefinition slsaDefinition[E, I, A] `json:"buildDefinition"`
	RunDetails      slsaRun[A]              `json:"runDetails"`
}

type slsaDefinition[E, I, A any] struct {
	BuildType            string              `json:"buildType"`
	ExternalParameters   E                   `json:"externalParameters"`
	InternalParameters   I                   `json:"internalParameters,omitempty"`
	ResolvedDependencies []slsaDescriptor[A] `json:"resolvedDependencies,omitempty"`
}

type slsaExternal struct {
	Source   *slsaSource  `json:"source,omitempty"`
	Workflow slsaWorkflow `json:"workflow"`
	Image    string       `json:"image,omitempty"`
	Version  string       `json:"version,omitempty"`
}

type slsaSource struct {
	Repository string `json:"repository"`
	Ref        string `json:"ref"`
}

// slsaWorkflow is, in GitHub's build type, also where repository and ref stand.
type slsaWorkflow struct {
	Path       string `json:"path"`
	Repository string `json:"repository,omitempty"`
	Ref        string `json:"ref,omitempty"`
}

type slsaInternal struct {
	WorkflowDigest string     `json:"workflowDigest,omitempty"`
	Run            string     `json:"run,omitempty"`
	Attempt        int        `json:"attempt,omitempty"`
	Author         string     `json:"author,omitempty"`
	Chain          string     `json:"chain,omitempty"`
	Isolation      string     `json:"isolation,omitempty"`
	Committed      *time.Time `json:"committed,omitempty"`
}

type slsaDescriptor[A any] struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations A                 `json:"annotations,omitempty"`
}

type slsaRun[A any] struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	Metadata   slsaMetadata        `json:"metadata"`
	Byproducts []slsaDescriptor[A] `json:"byproducts,omitempty"`
}

type slsaMetadata struct {
	InvocationID string     `json:"invocationId,omitempty"`
	StartedOn    *time.Time `json:"startedOn,omitempty"`
	FinishedOn   *time.Time `json:"finishedOn,omitempty"`
}
