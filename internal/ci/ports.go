package ci

import (
	"context"
	"io"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
)

// Source reads Git repositories. A commit is 40 hex digits; each method gives NotFound
// when there is no such repository, commit or path.
type Source interface {
	// Archive writes the commit's files as a tar stream whose modification times are the
	// commit's time, as `git archive` does.
	Archive(ctx context.Context, repository, commit string, w io.Writer) error
	// File returns one file of the commit.
	File(ctx context.Context, repository, commit, path string) ([]byte, error)
	// Workflows lists the workflow files of the commit, sorted; none is no error.
	Workflows(ctx context.Context, repository, commit string) ([]string, error)
}

// Image says how a published directory becomes an image.
type Image struct {
	Entrypoint []string
	Env        []string // NAME=value, sorted by name
	Labels     map[string]string
}

// Publisher writes artifacts. Every method may be repeated with the same arguments: it
// looks before it acts.
type Publisher interface {
	// Push makes one image of the tar stream, which is hostile, and pushes it by digest
	// alone. The same stream and image give the same digest.
	Push(ctx context.Context, name artifact.Reference, content io.Reader, image Image) (artifact.Digest, error)
	// Attach adds b's bundle to its artifact as a referrer.
	Attach(ctx context.Context, b Bundle) error
	// Tag names the artifact (by digest) tag. Conflict when the tag names another digest.
	Tag(ctx context.Context, ref artifact.Reference, tag string) error
}

// Resolver looks tags up.
type Resolver interface {
	// Resolve returns the digest that ref names now; NotFound when there is none.
	Resolve(ctx context.Context, ref artifact.Reference) (artifact.Digest, error)
}

// Poster delivers events to the bridge.
type Poster interface {
	// Post returns nil once the bridge has acknowledged the CloudEvent. It may be repeated.
	Post(ctx context.Context, body []byte) error
}

// LogWriter appends to the log of a job, which spans all its attempts.
type LogWriter interface {
	// Append returns when p is written, and only then wakes whoever waits.
	Append(ctx context.Context, job int64, p []byte) error
	// Close wakes everybody who waits: nothing follows.
	Close(ctx context.Context, job int64) error
}

// LogReader reads the log of a job by byte offset.
type LogReader interface {
	// Open reads from offset to what is the end now. A log that nobody has written is empty.
	Open(ctx context.Context, job, offset int64) (io.ReadCloser, error)
	// Wait returns nil when there may be more beyond offset: after an Append, after Close,
	// or for no reason after a while.
	Wait(ctx context.Context, job, offset int64) error
}

// LogStore keeps the logs of jobs.
type LogStore interface {
	LogWriter
	LogReader
}

// Repositories keeps repositories.
type Repositories interface {
	// Repository returns one repository; NotFound when there is none of that name.
	Repository(ctx context.Context, name string) (Repository, error)
	// CreateRepository adds one, with its audit entry; Conflict when the name is taken.
	CreateRepository(ctx context.Context, r Repository, by audit.Entry) error
	// ListRepositories lists up to limit repositories by name, those after the given name.
	ListRepositories(ctx context.Context, after string, limit int) ([]Repository, error)
	// Refs returns what each ref of the repository named when its last push was recorded.
	Refs(ctx context.Context, repository string) (map[string]string, error)
}

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Repository string
	Ref        string
	States     []RunState
	Before     int64 // only ids below; 0 means from the newest
	Limit      int   // at most 500; 0 means 50
}

// Runs reads runs.
type Runs interface {
	// Run returns one run with its Source; NotFound when there is none.
	Run(ctx context.Context, id int64) (Run, error)
	// Jobs returns a run's jobs in the order of the workflow file.
	Jobs(ctx context.Context, run int64) ([]RunJob, error)
	// ListRuns lists runs, newest first, without their Source.
	ListRuns(ctx context.Context, f RunFilter) ([]Run, error)
}

// Details reads what belongs to a run's jobs.
type Details interface {
	// Job returns one job; NotFound when there is none.
	Job(ctx context.Context, id int64) (RunJob, error)
	// Steps returns the steps of a job by attempt and number.
	Steps(ctx context.Context, job int64) ([]Step, error)
	// Published returns a run's publications and reports, those of every attempt, in the
	// order in which they were made.
	Published(ctx context.Context, run int64) ([]Publication, []Report, error)
}

// Outbox reads what sealing leaves behind.
type Outbox interface {
	// Bundles returns a run's bundles by number.
	Bundles(ctx context.Context, run int64) ([]Bundle, error)
	// Event returns one event; NotFound when there is none.
	Event(ctx context.Context, id int64) (Event, error)
	// Unposted lists up to limit events that are not acknowledged, with ids above after.
	Unposted(ctx context.Context, after int64, limit int) ([]Event, error)
}

// Change is everything that one decision changes. It is saved whole or not at all.
type Change struct {
	Run          *Run          // saved when its Version is still the row's
	Jobs         []RunJob      // likewise, each
	Steps        []Step        // added
	Publications []Publication // added
	Reports      []Report      // added
	Bundles      []Bundle      // added; Conflict when the run has bundles
	Events       []Event       // added to the outbox, each with its TaskPost; one of a known source and key is left out
	Posted       *Event        // marked as posted
	Record       []audit.Entry // audit entries
	Next         []Task
}

// NewRun is a run that is to be inserted, with its jobs, neither having an id.
type NewRun struct {
	Run    Run
	Jobs   []RunJob
	Record []audit.Entry // a Subject that is empty becomes "run/ID"
	Next   []Task        // an ID that is 0 becomes the run's
}

// Saver writes.
type Saver interface {
	// InsertRuns records that a push has moved a ref and adds the runs that it starts and
	// the event that tells of it, in one transaction. It returns the runs that were added, with ID, Number and Version; a run
	// that exists already is left out.
	InsertRuns(ctx context.Context, repository string, c RefChange, runs []NewRun, tell Event) ([]Run, error)
	// Save commits c in one transaction and returns once it is durable. A row that has
	// moved on since it was read is a fault of kind Conflict, and nothing is written.
	Save(ctx context.Context, c Change) error
}

// Store keeps the plane's rows.
type Store interface {
	Repositories
	Runs
	Details
	Outbox
	Saver
}
