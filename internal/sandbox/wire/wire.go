// Package wire is the protocol between the server and PID 1 of a sandbox: JSON messages
// over a socket pair, each with a length in front and with file descriptors beside it.
// What a step writes and what a tar stream holds does not pass through it: that goes
// through pipes whose ends are sent along.
//
// The server sends Setup once and gets a Reply. Then it sends Requests. Run, Put and Get are
// done one after the other and each is answered; Get is answered twice, when the stream begins
// and when it has ended. Term and Kill act on the running step at once and have no answer.
// A server that dies closes its end, and PID 1 exits at that, which ends every process.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// limit is the size of the largest message in bytes: an environment may be large.
const limit = 8 << 20

// maxFiles is how many descriptors one message may carry; the kernel takes 253.
const maxFiles = 250

// Setup says what the sandbox looks like from inside.
type Setup struct {
	Hostname  string
	HostTools bool   // lend the host's tools; to an image only if it has no /usr
	Network   bool   // the network is the host's: leave it alone and lend its resolver's configuration
	Image     *Bind  // becomes /, read-only; nil for a job
	Binds     []Bind // in the order in which they are mounted
	PIDs      int64  // processes and threads
	TmpSize   int64  // bytes of a /tmp in memory; 0 when a bind brings /tmp
}

// Bind is one directory of the host that is seen in the sandbox.
type Bind struct {
	Source   string // path on the host, used when File is -1
	File     int    // index of a descriptor of a detached mount among the files sent along, or -1
	Target   string // absolute path in the sandbox
	Writable bool
}

// Op names what a Request asks for.
type Op string

// The operations.
const (
	Run  Op = "run"  // run Command; files: its stdout and stderr in one, or each
	Put  Op = "put"  // unpack a tar stream at Path; files: the stream
	Get  Op = "get"  // write a tar stream of Path; files: the stream
	Term Op = "term" // TERM to the running step's tree
	Kill Op = "kill" // KILL to it
)

// Request asks PID 1 for something.
type Request struct {
	Op      Op
	Command []string `json:",omitempty"`
	Env     []string `json:",omitempty"` // "NAME=value"
	Dir     string   `json:",omitempty"` // absolute
	Path    string   `json:",omitempty"` // relative to the workspace, or beneath /tmp or /cache
}

// Reply answers Setup and Requests.
type Reply struct {
	Failure *Failure `json:",omitempty"`
	Exit    *Exit    `json:",omitempty"`
}

// Failure says why something could not be done.
type Failure struct {
	Kind    string // a fault.Kind; empty when no user can act on it
	Message string
	Hint    string `json:",omitempty"`
}

// Exit is how a step ended.
type Exit struct {
	Code   int
	Signal string
	CPU    time.Duration
	MaxRSS int64
}

// Conn is one end of the socket pair. Send and Receive may be called by one goroutine each.
type Conn struct {
	sock *net.UnixConn
	send sync.Mutex
}

// Pair makes a connection: this side's end, and the file to hand to the process that is the other.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "sandbox")
	ours, err := FromFile(os.NewFile(uintptr(fds[0]), "sandbox"))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// FromFile makes a connection of f, which is one end of a socket pair, and closes f.
func FromFile(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("the control socket is no unix socket"), c.Close())
	}
	return &Conn{sock: sock}, nil
}

// Close closes this end; a Receive that waits ends.
func (c *Conn) Close() error { return c.sock.Close() }

// Send sends v and duplicates of files, which stay the caller's.
func (c *Conn) Send(v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	if len(body) > limit || len(files) > maxFiles {
		return fmt.Errorf("a message of %d bytes and %d files is too large for the sandbox", len(body), len(files))
	}
	buf := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...) //nolint:gosec // at most limit
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	c.send.Lock()
	defer c.send.Unlock()
	n, _, err := c.sock.WriteMsgUnix(buf, rights, nil)
	if err == nil && n < len(buf) {
		_, err = c.sock.Write(buf[n:])
	}
	if err != nil {
		return fmt.Errorf("sending to the sandbox: %w", err)
	}
	return nil
}

// Receive reads the next message into v and returns the files that came with it, which are the
// caller's to close. It returns io.EOF when the other side has closed.
func (c *Conn) Receive(v any) (files []*os.File, err error) {
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	n, oobn, _, _, err := c.sock.ReadMsgUnix(head[:], oob)
	if err != nil {
		return nil, fmt.Errorf("receiving from the sandbox: %w", err)
	}
	if n == 0 {
		return nil, io.EOF
	}
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	if files, err = parseRights(oob[:oobn]); err != nil {
		return files, err
	}
	if _, err = io.ReadFull(c.sock, head[n:]); err != nil {
		return files, fmt.Errorf("receiving from the sandbox: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > limit {
		return files, fmt.Errorf("a message of %d bytes is too large", size)
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(c.sock, body); err != nil {
		return files, fmt.Errorf("receiving from the sandbox: %w", err)
	}
	if err = json.Unmarshal(body, v); err != nil {
		return files, fmt.Errorf("decoding a message: %w", err)
	}
	return files, nil
}

func parseRights(oob []byte) ([]*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parsing control messages: %w", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return files, fmt.Errorf("parsing descriptors: %w", err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written through it
	}
}
