package ci

// Task names one piece of work that a queue brings back to the Service. It holds no
// data: the rows do.
type Task struct {
	Name    string // one of the Task constants
	ID      int64  // of the run, job or event
	Version int64  // of the row when the task was made; 0 where it does not matter
}

// The tasks of the CI plane, each with the method of Service that performs it.
const (
	TaskRun  = "ci.run"  // Work
	TaskJob  = "ci.job"  // WorkJob; takes as long as the job: give it a queue without a timeout
	TaskSeal = "ci.seal" // Seal
	TaskPost = "ci.post" // Post
)

// actorService is the actor of changes that no person makes.
const actorService = "ci"
