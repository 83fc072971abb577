package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox/pid1"
	"drawbridge/internal/sandbox/wire"
)

// cell is one running sandbox: its PID 1, the connection to it and its control group.
type cell struct {
	conn    *wire.Conn
	cmd     *exec.Cmd
	group   *group
	replies chan reply    // closed when PID 1 has ended
	done    chan struct{} // closed when every process has ended
	once    sync.Once
	failed  error // of close
}

type reply struct {
	wire.Reply
	files []*os.File
}

// cellSpec says how a sandbox looks.
type cellSpec struct {
	name   string
	user   int // of the host; ignored when the server is not root
	setup  wire.Setup
	limits limits
}

// namespaces are those that every sandbox has of its own; the network is added for jobs.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// start starts a sandbox and returns when it is ready to run something. It gives a fault of
// kind Unavailable when this machine does not let it.
func (s *Sandbox) start(spec cellSpec) (*cell, error) {
	l := s.limitsOr(spec.limits)
	l.pids += pid1.Threads
	spec.setup.PIDs, spec.setup.Hostname = l.pids, "sandbox"
	group, err := s.groups.create(l)
	if err != nil {
		return nil, err
	}
	conn, theirs, err := wire.Pair()
	if err != nil {
		return nil, errors.Join(err, group.remove())
	}
	var trouble strings.Builder
	c := &cell{conn: conn, group: group, cmd: s.command(spec, theirs), replies: make(chan reply), done: make(chan struct{})}
	c.cmd.Stderr = &bounded{to: &trouble}
	err = s.forks.do(c.cmd.Start)
	if err := errors.Join(err, theirs.Close()); err != nil {
		return nil, errors.Join(unavailable(err), conn.Close(), group.remove())
	}
	go func() {
		defer close(c.done)
		if err := c.cmd.Wait(); err != nil && trouble.Len() > 0 && !strings.HasSuffix(trouble.String(), "EOF\n") {
			s.cfg.Log.Debug("a sandbox has ended", slog.String("sandbox", spec.name), slog.Any("error", err), slog.String("output", trouble.String()))
		}
	}()
	go c.receive()
	if err := c.prepare(s.users.root(), spec.setup); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// limitsOr completes limits with the defaults.
func (s *Sandbox) limitsOr(l limits) limits {
	if l.memory == 0 {
		l.memory = s.cfg.Memory
	}
	if l.pids == 0 {
		l.pids = s.cfg.PIDs
	}
	return l
}

// command is our own program as PID 1 of new namespaces. It begins with every capability
// over them, as the user that the steps will be, and without the server's environment.
func (s *Sandbox) command(spec cellSpec, socket *os.File) *exec.Cmd {
	flags := uintptr(namespaces)
	if !spec.setup.Network {
		flags |= unix.CLONE_NEWNET
	}
	user, group := spec.user, spec.user
	if !s.users.root() {
		user, group = os.Geteuid(), os.Getegid()
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: flags, Pdeathsig: syscall.SIGKILL, Setsid: true,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: pid1.UID, HostID: user, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: pid1.GID, HostID: group, Size: 1}},
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		attr.AmbientCaps = append(attr.AmbientCaps, c)
	}
	if s.users.root() { // become the mapped user, and leave root's groups
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: pid1.UID, Gid: pid1.GID}
	}
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{pid1.Marker}, Dir: "/",
		Env:        []string{"GOMAXPROCS=2"}, // few threads, however many processors there are
		ExtraFiles: []*os.File{socket}, SysProcAttr: attr,
	}
}

// prepare puts PID 1 under the limits and has it build the sandbox.
func (c *cell) prepare(root bool, setup wire.Setup) error {
	files, err := lend(root, &setup)
	defer func() {
		for _, f := range files {
			_ = f.Close() // a mount's descriptor
		}
	}()
	if err != nil {
		return err
	}
	if err := c.conn.Send(setup, files...); err != nil {
		return unavailable(err)
	}
	// The kernel takes its time for this; meanwhile PID 1 builds. Nothing else runs before the group holds.
	err = c.group.add(c.cmd.Process.Pid)
	r, ok := <-c.replies
	switch {
	case !ok:
		return unavailable(errors.New("it ended while it was being built"))
	case r.Failure != nil:
		return unavailable(errors.New(r.Failure.Message))
	}
	return err
}

// lend opens, where the server is root, what the sandbox is to see as detached mounts: its
// user cannot reach them by their paths.
func lend(root bool, setup *wire.Setup) ([]*os.File, error) {
	var files []*os.File
	binds := make([]wire.Bind, len(setup.Binds))
	copy(binds, setup.Binds)
	setup.Binds = binds
	all := make([]*wire.Bind, 0, len(binds)+1)
	for i := range binds {
		all = append(all, &binds[i])
	}
	if setup.Image != nil {
		image := *setup.Image
		setup.Image = &image
		all = append(all, &image)
	}
	for _, b := range all {
		b.File = -1
		if !root {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return files, unavailable(fmt.Errorf("opening %s: %w", b.Source, err))
		}
		b.File = len(files)
		files = append(files, os.NewFile(uintptr(fd), b.Source))
	}
	return files, nil
}

// receive hands replies to whoever waits for one.
func (c *cell) receive() {
	defer close(c.replies)
	for {
		var r reply
		var err error
		if r.files, err = c.conn.Receive(&r.Reply); err != nil {
			return
		}
		for _, f := range r.files {
			_ = f.Close() // PID 1 sends none
		}
		select {
		case c.replies <- r:
		case <-c.done:
			return
		}
	}
}

// ask sends a request with its files, which are closed here: PID 1 has them then.
func (c *cell) ask(r wire.Request, files ...*os.File) error {
	err := c.conn.Send(r, files...)
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return c.gone(err)
	}
	return nil
}

// answer waits for a reply; what the sandbox could not do is an error.
func (c *cell) answer() error {
	r, ok := <-c.replies
	if !ok {
		return c.gone(errors.New("its first process has ended"))
	}
	return refusal(r.Failure)
}

func (c *cell) gone(why error) error { return fmt.Errorf("%w: %w", ci.ErrGone, why) }

// refusal makes an error of what PID 1 says.
func refusal(f *wire.Failure) error {
	switch {
	case f == nil:
		return nil
	case f.Kind == "":
		return fmt.Errorf("in the sandbox: %s", f.Message)
	}
	e := fault.New(fault.Kind(f.Kind), "%s", f.Message)
	e.Hint = f.Hint
	return e
}

// close ends every process of the sandbox, waits until they are gone and removes the
// control group. It is idempotent.
func (c *cell) close() error {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill() // the kernel ends the others with it; it may be gone
		<-c.done
		c.failed = errors.Join(c.conn.Close(), c.group.remove())
	})
	return c.failed
}

// unavailable is the fault of a machine on which sandboxes cannot be made.
func unavailable(err error) error {
	if fault.As(err) != nil {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "the sandbox cannot start: %v", err).WithHint("%s", "it needs user namespaces: "+
		"see that user.max_user_namespaces is not 0, kernel.apparmor_restrict_unprivileged_userns is not 1, "+
		"and that a container around the server allows them")
}

// bounded keeps the first part of what is written to it.
type bounded struct{ to *strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if room := 4096 - b.to.Len(); room > 0 {
		b.to.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
