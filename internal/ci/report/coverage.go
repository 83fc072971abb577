package report

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// Coverage reads a Go coverprofile. It counts statements; a block that several packages'
// tests report counts once, as covered when one of them ran it. Profiles may be joined, each
// with its mode line. A profile without statements is a fault of kind Invalid.
func Coverage(file string, r io.Reader) (attest.Coverage, error) {
	in, first, err := open(file, r, MaxReport)
	if err != nil {
		return attest.Coverage{}, err
	}
	notProfile := func(line int) error {
		return fault.At(file, line, 0, "the line is not of a Go coverprofile").
			WithHint("write it with: go test -coverprofile=%s ./...", file)
	}
	if first != 'm' {
		return attest.Coverage{}, notProfile(1)
	}
	blocks := map[string]block{}
	err = in.lines(func(n int, line []byte) error {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || isMode(string(line)) {
			return nil
		}
		place, b, ok := parseBlock(string(line))
		if !ok {
			return notProfile(n)
		}
		before, seen := blocks[place]
		if seen && before.statements != b.statements {
			return fault.At(file, n, 0, "the block has %d statements here and %d above", b.statements, before.statements).
				WithHint("join only profiles of the same source")
		}
		b.covered = b.covered || before.covered
		if blocks[place] = b; len(blocks) > maxBlocks {
			return fault.At(file, n, 0, "the profile has more than %d blocks", maxBlocks)
		}
		return nil
	})
	if err != nil {
		return attest.Coverage{}, err
	}
	var c attest.Coverage
	for _, b := range blocks {
		c.Total += b.statements
		if b.covered {
			c.Covered += b.statements
		}
	}
	if c.Total == 0 {
		return attest.Coverage{}, fault.At(file, 0, 0, "the profile holds no statements").WithHint("check that the tests ran, and -coverpkg")
	}
	c.Line = float64(c.Covered) / float64(c.Total)
	return c, nil
}

// MergeCoverage is the coverage of two profiles of different code together.
func MergeCoverage(a, b attest.Coverage) attest.Coverage {
	c := attest.Coverage{Covered: a.Covered + b.Covered, Total: a.Total + b.Total, Observed: a.Observed && b.Observed}
	if c.Total > 0 {
		c.Line = float64(c.Covered) / float64(c.Total)
	}
	return c
}

// block is a stretch of source without branches.
type block struct {
	statements int64
	covered    bool
}

func isMode(line string) bool {
	return line == "mode: set" || line == "mode: count" || line == "mode: atomic"
}

// parseBlock reads "file.go:1.2,3.4 statements count".
func parseBlock(line string) (place string, b block, ok bool) {
	const most = 1 << 30 // statements of one block
	rest, count, ok1 := cutLast(line, ' ')
	place, statements, ok2 := cutLast(rest, ' ')
	file, span, ok3 := cutLast(place, ':')
	n, err1 := strconv.ParseUint(statements, 10, 63)
	_, err2 := strconv.ParseUint(count, 10, 64)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || n > most || file == "" || !isSpan(span) || len(place) > 4096 {
		return "", block{}, false
	}
	return place, block{int64(n), strings.Trim(count, "0") != ""}, true
}

func isSpan(s string) bool {
	from, to, ok := strings.Cut(s, ",")
	return ok && isPoint(from) && isPoint(to)
}

func isPoint(s string) bool {
	line, column, ok := strings.Cut(s, ".")
	_, err1 := strconv.ParseUint(line, 10, 31)
	_, err2 := strconv.ParseUint(column, 10, 31)
	return ok && err1 == nil && err2 == nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
