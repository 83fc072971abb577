package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// attack is one thing that no deployed application may do. try returns what it took.
type attack struct {
	name string
	try  func() (string, error)
}

// attacks lists what is tried against the server with the data directory and the pid.
func attacks(data, pid string) []attack {
	return append(harmless(data, pid), []attack{
		{"open /etc/passwd for writing", open("/etc/passwd")},
		{"open its own program for writing", open("web")},
		{"make a file beside its program", write("owned")},
		{"leave something in /tmp for another", leave},
		{"mount", mount},
		{"make a device", device},
		{"find a shell's history", read("/root/.bash_history")},
	}...)
}

// harmless lists those that a test may let succeed, outside of any sandbox, to see that
// they would.
func harmless(data, pid string) []attack {
	return []attack{
		{"read admin.token", read(filepath.Join(data, "admin.token"))},
		{"read cd.db", read(filepath.Join(data, "cd.db"))},
		{"read the signer's key", read(filepath.Join(data, "ci", "signer.key"))},
		{"list the data directory", list(data)},
		{"list other applications", list(filepath.Join(data, "target"))},
		{"read the server's environment", read(filepath.Join("/proc", pid, "environ"))},
		{"enter the server's root", list(filepath.Join("/proc", pid, "root", data))},
		{"see the server's process", seeServer},
		{"signal the server", signal(pid)},
		{"write beside the data", write(filepath.Join(filepath.Dir(data), "owned"))},
	}
}

func read(path string) func() (string, error) {
	return func() (string, error) {
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%d bytes", len(b)), err
	}
}

func list(dir string) func() (string, error) {
	return func() (string, error) {
		entries, err := os.ReadDir(dir)
		return fmt.Sprintf("%d entries", len(entries)), err
	}
}

func write(path string) func() (string, error) {
	return func() (string, error) { return path, os.WriteFile(path, []byte("owned"), 0o600) }
}

// open opens a file for writing, and writes nothing.
func open(path string) func() (string, error) {
	return func() (string, error) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return "", err
		}
		return path, f.Close()
	}
}

// seeServer looks for any process that is a server.
func seeServer() (string, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return "", err
	}
	for _, p := range processes {
		words, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(words), "server\x00--data") {
			return p, nil
		}
	}
	return "", fmt.Errorf("%d processes, no server", len(processes))
}

// signal sends no signal, but would be allowed to.
func signal(pid string) func() (string, error) {
	return func() (string, error) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			return "", err
		}
		if words, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); err == nil && !strings.Contains(string(words), "server\x00--data") {
			return "", errors.New("another process has its number here")
		}
		return pid, syscall.Kill(n, 0)
	}
}

// leave fails when nothing was left in /tmp; it leaves something itself.
func leave() (string, error) {
	const mark = "/tmp/drawbridge-story-mark"
	_, err := os.Stat(mark)
	if err != nil {
		_ = os.WriteFile(mark, nil, 0o600)
	}
	return mark, err
}

// mount mounts over a directory of its own, and undoes it: the attacks are also tried where
// nothing holds them, on somebody's machine.
func mount() (string, error) {
	dir, err := os.MkdirTemp("", "drawbridge-story-mount-")
	if err != nil {
		return "", err
	}
	defer os.Remove(dir) //nolint:errcheck // empty, and of no consequence
	if err := syscall.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		return dir, err
	}
	return dir, syscall.Unmount(dir, 0)
}

func device() (string, error) {
	const path = "/tmp/drawbridge-story-device"
	err := syscall.Mknod(path, syscall.S_IFBLK|0o600, 0)
	_ = os.Remove(path)
	return path, err
}
