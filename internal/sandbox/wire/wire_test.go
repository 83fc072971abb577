package wire_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"drawbridge/internal/sandbox/wire"
)

func pair(t *testing.T) (ours, theirs *wire.Conn) {
	t.Helper()
	ours, f, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = wire.FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	return ours, theirs
}

func TestMessages(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	large := strings.Repeat("x", 1<<20)
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(
			ours.Send(wire.Request{Op: wire.Run, Env: []string{large}}, os.Stdin, os.Stdout),
			ours.Send(wire.Request{Op: wire.Kill}), ours.Close())
	}()
	var r wire.Request
	files, err := theirs.Receive(&r)
	if err != nil || r.Op != wire.Run || len(r.Env) != 1 || r.Env[0] != large || len(files) != 2 {
		t.Fatalf("Receive = %d files, %v, op %q", len(files), err, r.Op)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if files, err = theirs.Receive(&r); err != nil || r.Op != wire.Kill || len(files) != 0 {
		t.Errorf("Receive = %d files, %v, op %q", len(files), err, r.Op)
	}
	if _, err = theirs.Receive(&r); !errors.Is(err, io.EOF) {
		t.Errorf("Receive after Close: %v, want io.EOF", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	ours, _ := pair(t)
	if err := ours.Send(wire.Request{Env: []string{strings.Repeat("x", 9<<20)}}); err == nil {
		t.Error("Send took a message of 9 MiB")
	}
	if err := ours.Send(wire.Request{}, make([]*os.File, 251)...); err == nil {
		t.Error("Send took 251 files")
	}
}

// FuzzReceive: whatever the other side writes gives a message or an error.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 9, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add(append(binary.BigEndian.AppendUint32(nil, 12), `{"Exit":null`...))
	f.Fuzz(func(t *testing.T, text []byte) {
		ours, theirs, err := wire.Pair()
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 1<<15 {
			text = text[:1<<15] // what the socket holds without a reader
		}
		_, werr := theirs.Write(text)
		if err := errors.Join(werr, theirs.Close()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			var r wire.Reply
			if _, err := ours.Receive(&r); err != nil {
				break
			}
		}
		_ = ours.Close()
	})
}
