package workflow

// Result is how a job or step ended. Results are stored and seen by expressions: they are
// GitHub's words.
type Result string

// The results. The empty Result means: not ended yet.
const (
	Unfinished Result = ""
	Success    Result = "success"
	Failure    Result = "failure"
	Cancelled  Result = "cancelled"
	Skipped    Result = "skipped"
)

// Status is what the functions success(), failure() and cancelled() see. For a step it is
// the job's state so far, for a job the state of the jobs before it.
type Status struct {
	Failed    bool // something before failed, and was not allowed to
	Cancelled bool // the run is being cancelled
	Skipped   bool // a job before was skipped or cancelled; never set for steps
}

// Context is what an expression can see. Values are nil, bool, float64, int, int64, string,
// []any, []string, map[string]any or map[string]string; anything else reads as null. Names
// are found in any case of letters. A Context is only read, and may be shared while nobody writes.
//
// The shapes: Github holds the keys that GithubKeys lists, Runner those of RunnerKeys, Job
// has "status"; Steps holds StepState.Value by step id, Needs JobState.Value by job id.
type Context struct {
	Github map[string]any
	Env    map[string]any
	Needs  map[string]any
	Steps  map[string]any
	Job    map[string]any
	Runner map[string]any
	Status Status
}

// GithubKeys lists the properties of the github context that a file may read; the caller
// fills all of them (base_ref and head_ref are empty on push).
func GithubKeys() []string {
	return []string{
		"actor", "base_ref", "event_name", "head_ref", "job", "ref", "ref_name", "ref_type", "repository",
		"run_attempt", "run_id", "run_number", "sha", "workflow", "workspace",
	}
}

// RunnerKeys lists the properties of the runner context that a file may read.
func RunnerKeys() []string { return []string{"arch", "name", "os", "temp"} }

// StepState is what expressions see of a step that has ended.
type StepState struct {
	Outputs    map[string]string
	Outcome    Result // before continue-on-error
	Conclusion Result // after it
}

// Value is s as a value of Context.Steps.
func (s StepState) Value() map[string]any {
	return map[string]any{"outputs": s.Outputs, "outcome": string(s.Outcome), "conclusion": string(s.Conclusion)}
}

// JobState is what is known of a job: Ready plans by it, and Value is what expressions see.
type JobState struct {
	Started bool   // it was handed out by Ready before
	Result  Result // Unfinished until it has ended
	Outputs map[string]string
}

// Value is s as a value of Context.Needs.
func (s JobState) Value() map[string]any {
	return map[string]any{"result": string(s.Result), "outputs": s.Outputs}
}
