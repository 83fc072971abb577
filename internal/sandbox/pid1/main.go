// Package pid1 is the inside of a sandbox: the first process of its namespaces.
//
// It builds the root file system out of what the server lends it, gives up every right
// that it has, and then runs steps and packs and unpacks tar streams as the server asks.
// It runs on one operating system thread that has no capability left, so that
// whatever it starts has none; a seccomp filter holds for all its threads. It cannot be
// looked into by the processes that it starts, though they run as the same user. When
// it ends, the kernel ends them all.
package pid1

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/wire"
)

// Marker is the program name that makes a process a sandbox's PID 1.
const Marker = "drawbridge-sandbox"

// SocketFD is the descriptor of the control socket in a process started with Marker.
const SocketFD = 3

// UID and GID are the user and the group that steps see themselves as.
const (
	UID = 1000
	GID = 1000
)

// The places in which a job may write.
const (
	Workspace = "/workspace"
	Tmp       = "/tmp"
	Cache     = "/cache"
)

// Main is PID 1. It never returns: the process ends when the server closes the socket or dies.
func Main() {
	runtime.LockOSThread() // rights are a thread's: whatever this one starts inherits its lack of them
	conn, err := wire.FromFile(os.NewFile(SocketFD, "control"))
	if err != nil {
		exit(err)
	}
	var spec wire.Setup
	files, err := conn.Receive(&spec)
	if err != nil {
		exit(err)
	}
	// What the server itself was started with may have come along: no step is to have it.
	if err := unix.CloseRange(SocketFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		exit(fmt.Errorf("keeping inherited files: %w", err))
	}
	if err := unhandle(); err != nil {
		exit(err)
	}
	gather()
	in := &inside{conn: conn}
	in.ended = sync.NewCond(&in.mu)
	if err := build(spec, files); err != nil {
		_ = conn.Send(wire.Reply{Failure: failure(err)})
		exit(err)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go in.reap(children)
	if err := conn.Send(wire.Reply{}); err != nil {
		exit(err)
	}
	requests := make(chan order)
	go in.receive(requests)
	for o := range requests {
		in.do(o)
	}
}

// Threads is how many threads PID 1 has at most, beside the processes that a sandbox may have.
const Threads = 16

// gather makes the runtime start threads, which it keeps, for later: a step that takes all
// the processes that a sandbox may have must not keep PID 1 from ending it.
func gather() {
	var all, here sync.WaitGroup
	const spare = 8
	here.Add(spare)
	for range spare {
		all.Go(func() {
			runtime.LockOSThread() // a thread for each, as long as all are here
			defer runtime.UnlockOSThread()
			here.Done()
			here.Wait()
		})
	}
	all.Wait()
}

// unhandle takes the Go runtime's handlers away, but those that it cannot do without. A signal
// without a handler that comes from within the sandbox does nothing to its PID 1: with
// the runtime's, TERM would end it. The kernel's own, at a fault, still do.
func unhandle() error {
	var none [4]uint64 // struct sigaction: SIG_DFL, no flags, nothing masked
	kept := []syscall.Signal{syscall.SIGURG, syscall.SIGCHLD, syscall.SIGKILL, syscall.SIGSTOP}
	for sig := uintptr(1); sig <= 64; sig++ {
		if slices.Contains(kept, syscall.Signal(sig)) {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0) //nolint:gosec // the kernel reads it during the call
		if errno != 0 {
			return fmt.Errorf("resetting signal %d: %w", sig, errno)
		}
	}
	return nil
}

// inside is the state of PID 1.
type inside struct {
	conn  *wire.Conn
	mu    sync.Mutex
	ended *sync.Cond // a child was reaped, or the step was told to end
	step  *step      // the one that runs, or nil
}

// order is a request with its files.
type order struct {
	wire.Request
	files []*os.File
}

// receive hands requests over one at a time, and acts on Term and Kill at once.
func (in *inside) receive(requests chan<- order) {
	for {
		var o order
		var err error
		if o.files, err = in.conn.Receive(&o.Request); err != nil {
			exit(err) // the server has closed or died: every process here ends with this one
		}
		switch o.Op {
		case wire.Term:
			in.stop(syscall.SIGTERM)
		case wire.Kill:
			in.stop(syscall.SIGKILL)
		case wire.Run, wire.Put, wire.Get:
			requests <- o
		}
	}
}

// do does one request and answers it.
func (in *inside) do(o order) {
	var reply wire.Reply
	var err error
	switch o.Op {
	case wire.Run:
		reply.Exit, err = in.run(o)
	case wire.Put:
		err = unpack(o.Path, o.files)
	case wire.Get:
		err = in.pack(o)
	case wire.Term, wire.Kill: // done in receive
	}
	for _, f := range o.files {
		_ = f.Close() // a pipe's end: nothing can be lost
	}
	reply.Failure = failure(err)
	if err := in.conn.Send(reply); err != nil {
		exit(err)
	}
}

func failure(err error) *wire.Failure {
	if err == nil {
		return nil
	}
	f := &wire.Failure{Message: err.Error()}
	if e := fault.As(err); e != nil {
		f.Kind, f.Hint = string(e.Kind), e.Hint
	}
	return f
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
