package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// packetKind tells the special packets of the protocol from those with content.
type packetKind int

const (
	content   packetKind = iota
	flush                // "0000": the end of a message
	delimiter            // "0001": between the sections of a message
	ending               // "0002": of a response
)

// maxPacket is the longest packet with its length, by the protocol.
const maxPacket = 65520

var errProtocol = errors.New("the answer is not of Git's protocol")

// packets reads pkt-lines. The slice that next returns holds until the next call.
type packets struct {
	r   *bufio.Reader
	buf []byte
}

func newPackets(r io.Reader) *packets { return &packets{r: bufio.NewReaderSize(r, 32<<10)} }

// next reads one packet; its end in the middle, and a malformed one, is errProtocol; io.EOF
// is the end before one.
func (p *packets) next() (packetKind, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errProtocol
		}
		return content, nil, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || n > maxPacket || n == 3:
		return content, nil, errProtocol
	case n < 4:
		return packetKind(n + 1), nil, nil
	}
	if p.buf == nil {
		p.buf = make([]byte, maxPacket)
	}
	b := p.buf[:n-4]
	if _, err := io.ReadFull(p.r, b); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errProtocol
		}
		return content, nil, err
	}
	if text, ok := bytes.CutPrefix(b, []byte("ERR ")); ok {
		return content, nil, &refusal{printable(string(text))}
	}
	return content, b, nil
}

// line reads one packet as text without its newline.
func (p *packets) line() (packetKind, string, error) {
	kind, b, err := p.next()
	return kind, strings.TrimSuffix(string(b), "\n"), err
}

// refusal is what a host says instead of an answer.
type refusal struct{ message string }

// Error implements error.
func (r *refusal) Error() string { return r.message }

// message writes pkt-lines.
type message struct{ b bytes.Buffer }

func (m *message) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...) + "\n"
	fmt.Fprintf(&m.b, "%04x%s", len(text)+4, text)
}

// mark writes a packet without content.
func (m *message) mark(k packetKind) { fmt.Fprintf(&m.b, "%04x", int(k)-1) }

// sideband reads the pack out of the multiplexed packets that follow.
type sideband struct {
	packets *packets
	rest    []byte
	done    bool
}

// Read implements io.Reader.
func (s *sideband) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.done {
			return 0, io.EOF
		}
		kind, data, err := s.packets.next()
		switch {
		case errors.Is(err, io.EOF):
			return 0, errProtocol
		case err != nil:
			return 0, err
		case kind != content:
			s.done = true
		case len(data) == 0:
			return 0, errProtocol
		case data[0] == 1:
			s.rest = data[1:]
		case data[0] == 3:
			return 0, &refusal{printable(string(data[1:]))}
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
