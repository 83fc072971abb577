package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"drawbridge/internal/sandbox/wire"
)

// newRoot is where the root is put together, on top of whatever the host has there: it
// exists everywhere, and every directory that is lent was opened before.
const newRoot = "/tmp"

// hostTools are lent read-only: the host's programs and libraries and how they find
// each other. What is a symbolic link on the host is one in the sandbox.
var hostTools = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"}

// hostFiles are lent with the tools; those that are missing are left out.
var hostFiles = []string{
	"/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/ld.so.conf",
	"/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/protocols", "/etc/services",
}

// networkFiles are lent to a sandbox that shares the host's network.
var networkFiles = []string{"/etc/resolv.conf", "/etc/hosts"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

var links = map[string]string{
	"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
}

// etc is what every sandbox has of its own, unless its image brings it.
var etc = map[string]string{ //nolint:gosec // no credential is in it
	"/etc/passwd":        "root:x:0:0:root:/:/bin/sh\njob:x:1000:1000:job:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":         "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n",
	"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

// tree is one detached mount, and where it goes.
type tree struct {
	fd       int
	target   string
	writable bool
	device   bool
}

// build makes the sandbox that spec asks for and gives up every right.
func build(spec wire.Setup, files []*os.File) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	b := &builder{spec: spec, files: files, links: make(map[string]string)}
	if err := errors.Join(b.open(), b.mount()); err != nil {
		return err
	}
	for _, f := range files {
		_ = f.Close() // a mount's descriptor
	}
	if !spec.Network {
		if err := loopback(); err != nil {
			return err
		}
	}
	return confine(spec)
}

// builder puts the root file system together.
type builder struct {
	spec  wire.Setup
	files []*os.File
	trees []tree            // in the order of mounting
	links map[string]string // symbolic links to make: path → target
}

// open opens every tree of the host while the host's root can be seen.
func (b *builder) open() error {
	if b.spec.Image == nil {
		if err := b.lend(append(hostTools, hostFiles...)); err != nil {
			return err
		}
	} else if err := b.openImage(); err != nil {
		return err
	}
	if b.spec.Network {
		if err := b.lend(networkFiles); err != nil {
			return err
		}
	}
	for _, d := range devices {
		fd, err := openTree(d)
		if err != nil {
			return err
		}
		b.trees = append(b.trees, tree{fd: fd, target: d, writable: true, device: true})
	}
	for _, bind := range b.spec.Binds {
		fd, err := b.fd(bind)
		if err != nil {
			return err
		}
		b.trees = append(b.trees, tree{fd: fd, target: bind.Target, writable: bind.Writable})
	}
	return nil
}

// fd is a detached mount of what bind names.
func (b *builder) fd(bind wire.Bind) (int, error) {
	if bind.File < 0 {
		return openTree(bind.Source)
	}
	if bind.File >= len(b.files) {
		return -1, fmt.Errorf("mounting %s: its descriptor was not sent", bind.Target)
	}
	return int(b.files[bind.File].Fd()), nil
}

// lend adds paths of the host, read-only, at the same place; one that does not exist is left out.
func (b *builder) lend(paths []string) error {
	for _, p := range paths {
		st, err := os.Lstat(p)
		if err != nil {
			continue
		}
		if st.Mode()&os.ModeSymlink != 0 {
			if to, err := os.Readlink(p); err == nil && filepath.Dir(p) == "/" {
				b.links[p] = to
				continue
			}
		}
		fd, err := openTree(p)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT) {
			continue // a link to nowhere, or nothing for the likes of us
		}
		if err != nil {
			return err
		}
		b.trees = append(b.trees, tree{fd: fd, target: p})
	}
	return nil
}

// mount mounts everything below newRoot and makes that the root.
func (b *builder) mount() error {
	if err := mountTmpfs(newRoot, "mode=0755,size=16m"); err != nil {
		return err
	}
	if err := os.Mkdir(newRoot+"/proc", 0o755); err != nil { //nolint:gosec // everybody reads it
		return fmt.Errorf("making /proc: %w", err)
	}
	if err := unix.Mount("proc", newRoot+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, t := range b.trees {
		if err := t.mount(); err != nil {
			return err
		}
	}
	if b.spec.Image != nil {
		if err := b.mountImage(); err != nil {
			return err
		}
	}
	if err := b.fill(); err != nil {
		return err
	}
	return enter()
}

// mount puts the tree in its place beneath newRoot.
func (t tree) mount() error {
	at := newRoot + t.target
	var st unix.Stat_t
	if err := unix.Fstat(t.fd, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", t.target, err)
	}
	if err := mountpoint(at, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting %s: %w", t.target, err)
	}
	_ = unix.Close(t.fd) // it stays mounted
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if !t.device {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if !t.writable {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(-1, at, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("restricting the mount of %s: %w", t.target, err)
	}
	return nil
}

// fill makes what is the sandbox's own: links, files in /etc, /tmp, /dev/shm.
func (b *builder) fill() error {
	for p, to := range b.links {
		if _, err := os.Lstat(newRoot + p); err == nil {
			continue
		}
		if err := os.Symlink(to, newRoot+p); err != nil {
			return fmt.Errorf("linking %s: %w", p, err)
		}
	}
	for p, to := range links {
		if err := os.Symlink(to, newRoot+p); err != nil {
			return fmt.Errorf("linking %s: %w", p, err)
		}
	}
	if err := os.MkdirAll(newRoot+"/etc", 0o755); err != nil { //nolint:gosec // everybody reads it
		return fmt.Errorf("making /etc: %w", err)
	}
	for p, text := range etc {
		if _, err := os.Lstat(newRoot + p); err == nil {
			continue
		}
		if err := os.WriteFile(newRoot+p, []byte(text), 0o644); err != nil { //nolint:gosec // everybody reads it
			return fmt.Errorf("writing %s: %w", p, err)
		}
	}
	own := map[string]int64{"/dev/shm": 64 << 20}
	if b.spec.TmpSize > 0 {
		own[Tmp] = b.spec.TmpSize
	}
	for p, size := range own {
		if err := mountpoint(newRoot+p, true); err != nil {
			return err
		}
		if err := mountTmpfs(newRoot+p, fmt.Sprintf("mode=1777,size=%d", size)); err != nil {
			return err
		}
	}
	return nil
}

// enter makes newRoot the root, lets go of the host's, and makes the new one read-only.
func enter() error {
	if err := os.Chdir(newRoot); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting the host's root go: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	// The limit has to be written while /proc/sys can be.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return fmt.Errorf("forbidding further user namespaces: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(-1, "/", 0, &attr); err != nil {
		return fmt.Errorf("making the root read-only: %w", err)
	}
	return nil
}

// openTree is a detached mount of the host's path and all that is mounted beneath it.
func openTree(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("opening %s: %w", path, err)
	}
	return fd, nil
}

func mountTmpfs(at, options string) error {
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return nil
}

// mountpoint makes the directory or the empty file on which something is mounted.
func mountpoint(at string, dir bool) error {
	parent := at
	if !dir {
		parent = filepath.Dir(at)
	}
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // everybody reads it
		return fmt.Errorf("making a mount point: %w", err)
	}
	if dir {
		return nil
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_RDONLY, 0o644) //nolint:gosec // everybody reads it
	if err != nil {
		return fmt.Errorf("making a mount point: %w", err)
	}
	return f.Close()
}
