// Package cd is the CD plane: it compiles a plan for a release and an environment and
// executes it durably, one step at a time, until the release runs there or the plan has
// taken itself back.
//
// The plane is pure: no clock, no SQL, no HTTP and no goroutine inside. Promotion.Apply is
// the state machine; Service.Work moves one promotion by one step and commits the move
// through Store, with its audit entry and the work that follows, in one transaction. Waiting
// is a row. Every effect goes through Target under a Key that is the same after a crash.
package cd
