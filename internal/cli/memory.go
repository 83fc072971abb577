package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"drawbridge/internal/fault"
)

// seen is what is remembered of one log: enough to notice that it was cut or replaced.
type seen struct {
	Server     string `json:"server"`
	Log        string `json:"log"`
	Key        string `json:"key"`        // public key of the log
	Checkpoint string `json:"checkpoint"` // the last that held; empty for an empty log
}

// memory is the file in which one server's log of one plane is remembered.
type memory struct{ server, path string }

// remember returns the memory of a plane's log at a server.
func (c *console) remember(server, plane string) (memory, error) {
	dir := c.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home := c.Getenv("HOME")
		if home == "" {
			return memory{}, fault.New(fault.Invalid, "there is no place to remember checkpoints in").WithField("XDG_STATE_HOME").
				WithHint("set XDG_STATE_HOME or HOME to a directory that you may write")
		}
		dir = filepath.Join(home, ".local", "state")
	}
	sum := sha256.Sum256([]byte(server))
	name := fmt.Sprintf("audit-%s-%s.json", hex.EncodeToString(sum[:8]), plane)
	return memory{server, filepath.Join(dir, "drawbridge", name)}, nil
}

// load reads what is remembered: nothing, when the log was never verified before.
func (m memory) load() (seen, error) {
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return seen{}, nil
	}
	if err != nil {
		return seen{}, unreadable(m.path, err)
	}
	var s seen
	if err := json.Unmarshal(b, &s); err != nil || s.Server != m.server {
		f := fault.New(fault.Invalid, "this is no checkpoint that was remembered of %s", m.server).
			WithHint("remove the file if you can do without it; what was changed before now stays unnoticed then")
		f.File = m.path
		return seen{}, f
	}
	return s, nil
}

// save remembers v. The rename leaves the old memory or the new one, never half of it.
func (m memory) save(v verified) error {
	b, err := json.MarshalIndent(seen{Server: m.server, Log: v.Log, Key: v.Key, Checkpoint: v.Checkpoint}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return unreadable(m.path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(m.path), "audit-*.tmp")
	if err != nil {
		return unreadable(m.path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone once it is renamed
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return unreadable(m.path, err)
	}
	if err := os.Rename(f.Name(), m.path); err != nil {
		return unreadable(m.path, err)
	}
	return nil
}
