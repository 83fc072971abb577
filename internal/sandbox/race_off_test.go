//go:build !race

package sandbox_test

// raceMemory is what the race detector adds to PID 1, which counts against a job's memory.
const raceMemory = 0
