package ci

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine is how much of a line is held back until its end is seen, in bytes. A longer
// line is written in pieces of about this size.
const maxLine = 64 << 10

// logStamp is the time before each line: UTC, whole milliseconds.
const logStamp = "2006-01-02T15:04:05.000Z "

// jobLog writes one job's log: each line with its time, masked, up to a limit. A job can
// neither fail nor block by writing too much. It is used by one goroutine at a time.
type jobLog struct {
	ctx   context.Context
	w     LogWriter
	job   int64
	now   func() time.Time
	left  int64 // bytes that may still be written
	limit int64
	full  bool
	masks []string // longest first
	err   error    // of the first write that failed
	out   []byte   // lines that are ready to be written
}

func newJobLog(ctx context.Context, w LogWriter, job int64, now func() time.Time, limit int64) *jobLog {
	return &jobLog{ctx: ctx, w: w, job: job, now: now, limit: limit, left: limit}
}

// mask hides every line of secret from now on. Lines shorter than four bytes would
// garble the log; they are left, and the log says so.
func (l *jobLog) mask(secret string) {
	for line := range strings.Lines(secret) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "" || slices.Contains(l.masks, line):
		case len(line) < 4:
			l.notice("warning", "a mask of fewer than 4 bytes is not applied")
		default:
			l.masks = append(l.masks, line)
		}
	}
	slices.SortFunc(l.masks, func(a, b string) int { return len(b) - len(a) })
}

// notice writes a line of the service's own.
func (l *jobLog) notice(level, format string, args ...any) {
	l.line(fmt.Appendf(nil, "##["+level+"]"+format, args...))
	l.flush()
}

// line queues one line, without its end.
func (l *jobLog) line(p []byte) { l.emit(l.hide(p)) }

// hide replaces the masks in p.
func (l *jobLog) hide(p []byte) []byte {
	for _, m := range l.masks {
		if bytes.Contains(p, []byte(m)) {
			p = bytes.ReplaceAll(p, []byte(m), []byte("***"))
		}
	}
	return p
}

// emit queues one line that is masked already.
func (l *jobLog) emit(p []byte) {
	if l.full {
		return
	}
	start := len(l.out)
	l.out = l.now().UTC().AppendFormat(l.out, logStamp)
	// One line stays one line, whatever a name or a message holds.
	p = bytes.ReplaceAll(p, []byte("\n"), []byte(" "))
	if utf8.Valid(p) {
		l.out = append(l.out, p...)
	} else {
		l.out = append(l.out, bytes.ToValidUTF8(p, []byte("\uFFFD"))...)
	}
	l.out = append(l.out, '\n')
	if n := int64(len(l.out) - start); n > l.left {
		l.full = true
		l.out = l.now().UTC().AppendFormat(l.out[:start], logStamp)
		l.out = fmt.Appendf(l.out, "##[warning]the log is cut here: it has reached its limit of %d bytes; the job goes on\n", l.limit)
	} else {
		l.left -= n
	}
	if len(l.out) >= maxLine {
		l.flush()
	}
}

// flush writes what is queued. Losing log lines does not fail a job; the first error is
// kept for whoever ends the job.
func (l *jobLog) flush() {
	if len(l.out) == 0 {
		return
	}
	if err := l.w.Append(l.ctx, l.job, l.out); err != nil && l.err == nil {
		l.err = fmt.Errorf("append to the log of job %d: %w", l.job, err)
	}
	l.out = l.out[:0]
}

// lineBuffer cuts a stream into lines. A mask is found although writes split it, and
// although a line is longer than maxLine.
type lineBuffer struct {
	log   *jobLog
	buf   []byte
	long  bool                          // the pieces before are of the same line
	parse func(line string) (show bool) // sees each line that is not too long
}

func (b *lineBuffer) write(p []byte) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		b.buf = append(b.buf, p[:i]...)
		p = p[i+1:]
		b.end()
	}
	b.buf = append(b.buf, p...)
	if len(b.buf) > maxLine {
		b.piece()
	}
}

// end ends the line.
func (b *lineBuffer) end() {
	line := bytes.TrimSuffix(b.buf, []byte("\r"))
	if b.long || b.parse(string(line)) {
		b.log.line(line)
	}
	b.buf, b.long = b.buf[:0], false
}

// piece writes the front of a line that is too long and keeps as much as a mask that has
// only begun may cover.
func (b *lineBuffer) piece() {
	masked := b.log.hide(b.buf)
	keep := 0
	if len(b.log.masks) > 0 {
		keep = len(b.log.masks[0]) - 1
	}
	cut := max(len(masked)-keep, 0)
	b.log.emit(masked[:cut])
	rest := append([]byte(nil), masked[cut:]...)
	b.buf, b.long = append(b.buf[:0], rest...), true
}

// close writes a last line that has no end.
func (b *lineBuffer) close() {
	if len(b.buf) > 0 {
		b.end()
	}
}
