// Package arch is the law of this repository, and holds nothing but tests.
//
// They read every Go file of the module in their own process and fail on what the design
// forbids: CI that knows CD, SQL outside the store, a clock in a plane, a package without a
// comment, a library that nobody answers for. Each violation names the file and line, the
// offender and the reason.
//
// [go test] keeps a passed result only as long as no file that the test opened has changed,
// so the law cannot stay green from the cache; one that asks another process would.
//
// The law is in law_test.go, as tables. A new package or library is one more line there: what
// it is, what it may import, and why. That planted_test.go sees each rule fail proves that the
// rules can.
//
// [go test]: https://pkg.go.dev/cmd/go#hdr-Test_packages
package arch
