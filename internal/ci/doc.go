// Package ci is the CI plane: it turns pushed commits into runs, executes their jobs in
// an Executor, and seals what they published: signed evidence first, then the tag, then
// one event for the bridge.
//
// It may run code that nobody has reviewed. Therefore a job gets no credential, signs
// nothing, and pushes only through the service, which checks what the job asks for.
//
// A push becomes runs by Sync, one per workflow file that asks for it. Work moves a run
// on, WorkJob executes one job, Seal makes the run's artifacts count, Post delivers an
// event. Each of the four is named by a Task, may be repeated after a crash at any
// instant, and then does only what is still missing.
package ci
