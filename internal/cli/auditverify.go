package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/client"
)

const auditVerifyLong = `Verify the audit logs of the server on this machine: every entry against the
Merkle tree, its signed checkpoints, and the last checkpoint that you saw, which is kept for
each server and plane in ${XDG_STATE_HOME:-~/.local/state}/drawbridge. With --file an
export is verified, without a server: it proves that the file is whole by its own key.`

type auditVerify struct {
	remote
	file string
}

// verified is what was found out about one log.
type verified struct {
	Log        string `json:"log"`                  // "drawbridge/cd"
	OK         bool   `json:"ok"`                   // the log holds
	Entries    int64  `json:"entries"`              // that were proven
	Broken     int64  `json:"broken,omitempty"`     // first entry that was altered, removed or inserted
	Root       string `json:"root,omitempty"`       // base64 of the tree's root
	Problem    string `json:"problem,omitempty"`    // what is wrong
	Remembered bool   `json:"remembered"`           // compared with a checkpoint seen before
	Key        string `json:"key"`                  // public key of the log
	Checkpoint string `json:"checkpoint,omitempty"` // newest that holds

	wrong error
}

func newAuditVerify(c *console) *cobra.Command {
	o := auditVerify{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "verify", Short: "Prove that no entry was altered or removed", Long: auditVerifyLong, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.file, "file", "", "verify this `EXPORT` instead of a server")
	return cmd
}

func (o *auditVerify) run(ctx context.Context) error {
	list := []verified{}
	if o.file != "" {
		v, err := verifyExport(ctx, o.file, nil)
		if err != nil {
			return err
		}
		list = append(list, v)
		return o.report(list)
	}
	at, err := o.console.find(o.connection)
	if err != nil {
		return err
	}
	server, err := o.console.dial(at)
	if err != nil {
		return err
	}
	err = eachPlane("", func(plane string) error {
		v, err := o.plane(ctx, server, at.server, plane)
		if err == nil {
			list = append(list, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	return o.report(list)
}

// plane downloads and verifies one plane's log, and remembers its newest checkpoint.
func (o *auditVerify) plane(ctx context.Context, server *client.Client, address, plane string) (verified, error) {
	memory, err := o.console.remember(address, plane)
	if err != nil {
		return verified{}, err
	}
	seen, err := memory.load()
	if err != nil {
		return verified{}, err
	}
	f, err := os.CreateTemp("", "drawbridge-audit-*.jsonl")
	if err != nil {
		return verified{}, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	if err := errors.Join(export(ctx, server, plane, f), f.Close()); err != nil {
		return verified{}, err
	}
	v, err := verifyExport(ctx, f.Name(), &expected{origin: audit.Origin(plane), seen: seen, memory: memory.path})
	if err != nil || !v.OK {
		return v, err
	}
	return v, memory.save(v)
}

// expected is what a log must be, beside whole in itself.
type expected struct {
	origin string // its name
	seen   seen   // what was seen before
	memory string // file in which that is kept
}

// verifyExport verifies an export in a file; with want nil by its own key alone. A log that
// does not hold is no error but a verified that says so.
func verifyExport(ctx context.Context, path string, want *expected) (verified, error) {
	f, err := os.Open(path) //nolint:gosec // the user names it, or we made it
	if err != nil {
		return verified{}, unreadable(path, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return verified{}, unreadable(path, err)
	}
	log, err := audit.OpenExport(path, f, info.Size())
	if err != nil {
		return verified{}, err
	}
	v := verified{Log: log.Origin(), Key: log.VerifierKey()}
	var remembered []byte
	if want != nil {
		if v.wrong = want.compare(log); v.wrong != nil {
			v.Problem = v.wrong.Error()
			return v, nil
		}
		remembered = []byte(want.seen.Checkpoint)
		v.Remembered = len(remembered) > 0
	}
	if !v.Remembered {
		remembered = nil
	}
	r, err := audit.Verify(ctx, log, log.VerifierKey(), remembered)
	if err != nil && !fault.Is(err, fault.Refused) {
		return v, err
	}
	v.OK, v.Entries, v.Broken, v.Root, v.Checkpoint, v.wrong = err == nil, r.Size, r.Broken, r.Root, string(r.Checkpoint), err
	if err != nil {
		v.Problem = fault.As(err).Message
	}
	return v, nil
}

// compare says whether log is the one that is expected.
func (e *expected) compare(log *audit.File) error {
	if log.Origin() != e.origin {
		return fault.New(fault.Refused, "the server sent the log %.80q in the place of %s", log.Origin(), e.origin).
			WithHint("check --server, and the proxies on the way")
	}
	if e.seen.Key != "" && e.seen.Key != log.VerifierKey() {
		return fault.New(fault.Refused, "audit log %s is signed with another key than when you looked before", e.origin).
			WithHint("somebody put another log in its place; if you made the server anew yourself, remove %s", e.memory)
	}
	return nil
}

// report prints what was found, and is the first thing that is wrong.
func (o *auditVerify) report(list []verified) error {
	var wrong []error
	for _, v := range list {
		if v.wrong != nil {
			wrong = append(wrong, v.wrong)
		}
	}
	err := o.console.show(o.format, list, func() {
		for _, v := range list {
			o.console.print("%s", sentence(v))
		}
	})
	return errors.Join(append(wrong, err)...)
}

// sentence says in one line how a log stands.
func sentence(v verified) string {
	switch {
	case !v.OK && v.Broken > 0:
		return fmt.Sprintf("%s: does NOT hold from entry %d on", v.Log, v.Broken)
	case !v.OK:
		return v.Log + ": does NOT hold"
	case v.Remembered:
		return fmt.Sprintf("%s: %d entries hold, and go on from what you saw before (root %s)", v.Log, v.Entries, v.Root)
	}
	return fmt.Sprintf("%s: %d entries hold (root %s)", v.Log, v.Entries, v.Root)
}
