//go:build race

package e2e_test

// raceDetector reports whether the tests, and so the program under test, look for races.
const raceDetector = true
