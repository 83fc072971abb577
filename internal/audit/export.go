package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"drawbridge/internal/fault"
)

// maxLine bounds a line of an export: a body in which every byte is escaped, and its key.
const maxLine = 1 << 20

// line is one line of an export: a head, then entries and checkpoints in the order of their
// Seq and Size, then an end, without which the file was cut.
type line struct {
	Log        string `json:"log,omitempty"`        // head: the origin
	Key        string `json:"key,omitempty"`        // head: the verifier key
	Seq        int64  `json:"seq,omitempty"`        // entry
	Body       string `json:"body,omitempty"`       // entry: its exact bytes
	Size       int64  `json:"size,omitempty"`       // checkpoint
	Checkpoint string `json:"checkpoint,omitempty"` // checkpoint: the signed note
	End        bool   `json:"end,omitempty"`        // end
}

// Export writes the log in src as JSON lines that OpenExport reads: the public key, every
// entry, every checkpoint. It checks nothing.
func Export(ctx context.Context, w io.Writer, src Source, verifierKey string) error {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line{Log: verifier.Name(), Key: verifierKey}); err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	next, stop := iter.Pull2(src.Checkpoints(ctx))
	defer stop()
	c, err, more := next()
	checkpoints := func(size int64) error { // writes those that cover at most size entries
		for ; more && err == nil && c.Size <= size; c, err, more = next() {
			if e := enc.Encode(line{Size: c.Size, Checkpoint: string(c.Note)}); e != nil {
				return e
			}
		}
		return err
	}
	for row, err := range src.Entries(ctx) {
		if err != nil {
			return fmt.Errorf("exporting the audit log: %w", err)
		}
		if err := checkpoints(row.Seq - 1); err != nil {
			return fmt.Errorf("exporting the audit log: %w", err)
		}
		if err := enc.Encode(line{Seq: row.Seq, Body: string(row.Body)}); err != nil {
			return fmt.Errorf("exporting the audit log: %w", err)
		}
	}
	if err := checkpoints(1<<63 - 1); err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	return enc.Encode(line{End: true})
}

// File is a log that was exported to a file: a Source that needs no server.
type File struct {
	name string
	r    io.ReaderAt
	size int64
	head line
}

// OpenExport reads the head of an export of size bytes; name is for error messages. The
// file is read through r whenever the Source is, and must not change. A fault of kind
// Invalid, with the line, when it is no export or was cut.
func OpenExport(name string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, r: r, size: size}
	for l, err := range f.lines() {
		if err != nil {
			return nil, err
		}
		f.head = l
		break
	}
	if f.head.Log == "" || f.head.Key == "" {
		return nil, fault.At(name, 1, 0, "this is no export of an audit log").WithHint("make one with drawbridge audit export")
	}
	return f, nil
}

// Origin is the log's name as the file says.
func (f *File) Origin() string { return f.head.Log }

// VerifierKey is the public key that the file carries. Whoever altered the file could put
// another there: believe it only after comparing it with one from elsewhere.
func (f *File) VerifierKey() string { return f.head.Key }

// Entries yields the file's entries.
func (f *File) Entries(ctx context.Context) iter.Seq2[Row, error] {
	return only(ctx, f, func(l line) (Row, bool) { return Row{Seq: l.Seq, Body: []byte(l.Body)}, l.Seq != 0 })
}

// Nodes is nil: hashes follow from the entries.
func (f *File) Nodes(context.Context) iter.Seq2[Node, error] { return nil }

// Checkpoints yields the file's checkpoints.
func (f *File) Checkpoints(ctx context.Context) iter.Seq2[Checkpoint, error] {
	return only(ctx, f, func(l line) (Checkpoint, bool) {
		return Checkpoint{Size: l.Size, Note: []byte(l.Checkpoint)}, l.Checkpoint != ""
	})
}

func only[T any](ctx context.Context, f *File, pick func(line) (T, bool)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		for l, err := range f.lines() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(zero, err)
				return
			}
			if v, ok := pick(l); ok && !yield(v, nil) {
				return
			}
		}
	}
}

// lines yields every line up to the end, which must be the last.
func (f *File) lines() iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		s := bufio.NewScanner(io.NewSectionReader(f.r, 0, f.size))
		s.Buffer(nil, maxLine)
		n, ended := 0, false
		for s.Scan() {
			n++
			var l line
			if err := json.Unmarshal(s.Bytes(), &l); err != nil || ended {
				yield(line{}, fault.At(f.name, n, 0, "this is no line of an export of an audit log"))
				return
			}
			if ended = l.End; !ended && !yield(l, nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(line{}, fault.At(f.name, n+1, 0, "the line cannot be read: %v", err))
			return
		}
		if !ended {
			yield(line{}, fault.At(f.name, n+1, 0, "the export was cut: its end is missing").WithHint("export again"))
		}
	}
}
