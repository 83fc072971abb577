package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/fault"
)

var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// Checkpoint is a signed statement about the log's first Size entries.
type Checkpoint struct {
	Size int64  // entries that it covers
	Note []byte // C2SP tlog-checkpoint: a signed note of origin, size and root
}

// Key signs the checkpoints of one plane's log. The zero Key signs nothing.
type Key struct {
	signer   note.Signer
	verifier string
}

// Origin is the name of a plane's log: the first line of its checkpoints and the name of
// its key. Plane is "ci" or "cd".
func Origin(plane string) string { return "drawbridge/" + plane }

// GenerateKey makes the private key of a plane's log, in the encoding of ParseKey. It is a
// secret: the caller stores it readable by the server alone.
func GenerateKey(random io.Reader, plane string) (string, error) {
	private, _, err := note.GenerateKey(random, Origin(plane))
	if err != nil {
		return "", fmt.Errorf("making the audit key: %w", err)
	}
	return private, nil
}

// ParseKey reads a private key: "PRIVATE+KEY+NAME+HASH+KEY", as golang.org/x/mod/sumdb/note writes it.
func ParseKey(private string) (Key, error) {
	private = strings.TrimSpace(private)
	bad := fault.New(fault.Invalid, "the audit key is malformed").WithHint("restore the key file from a backup; a new key makes a new log")
	signer, err := note.NewSigner(private)
	if err != nil {
		return Key{}, bad // the cause would quote the key
	}
	parts := strings.SplitN(private, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return Key{}, bad
	}
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Key{}, bad
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return Key{}, bad
	}
	return Key{signer: signer, verifier: verifier}, nil
}

// Verifier is the public half in note's encoding, "NAME+HASH+KEY": it may be shown to anybody.
func (k Key) Verifier() string { return k.verifier }

// Origin is the name of the log that k signs; "" for the zero Key.
func (k Key) Origin() string {
	if k.signer == nil {
		return ""
	}
	return k.signer.Name()
}

func (k Key) sign(size int64, root tlog.Hash) (Checkpoint, error) {
	if k.signer == nil {
		return Checkpoint{}, fmt.Errorf("signing a checkpoint: no key")
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", k.signer.Name(), size, root)
	signed, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return Checkpoint{Size: size, Note: signed}, nil
}

// opened is what a checkpoint says, once its signature has been checked.
type opened struct {
	size int64
	root tlog.Hash
}

// open checks the signature of a checkpoint and reads it. Further signatures by others
// (witnesses) are allowed, a missing one by verifier is not.
func open(signed []byte, verifier note.Verifier) (opened, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return opened{}, fmt.Errorf("it is not signed by %s", verifier.Name())
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return opened{}, fmt.Errorf("it is no checkpoint")
	}
	if lines[0] != verifier.Name() {
		return opened{}, fmt.Errorf("it is of the log %q, not of %s", lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return opened{}, fmt.Errorf("its size is malformed")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return opened{}, fmt.Errorf("its root is malformed")
	}
	return opened{size: size, root: root}, nil
}
