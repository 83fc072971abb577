package app

import (
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drawbridge/internal/attest"
	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

// secretFile returns the content of DIR/name, which only the server reads; it is made by
// fresh on the first start. The rename makes a crash leave all of it or nothing.
func secretFile(dir, name string, fresh func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	body, err := os.ReadFile(path) //nolint:gosec // a file of the server's own data directory
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return body, err
	}
	if body, err = fresh(); err != nil {
		return nil, err
	}
	return body, writeFile(path, body, 0o600)
}

// writeFile replaces a file as a whole.
func writeFile(path string, body []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, body, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// auditKey is the key of a plane's audit log.
func auditKey(dir, plane string) (audit.Key, error) {
	text, err := secretFile(dir, plane+"/audit.key", func() ([]byte, error) {
		k, err := audit.GenerateKey(rand.Reader, plane)
		return []byte(k + "\n"), err
	})
	if err != nil {
		return audit.Key{}, fmt.Errorf("key of the %s audit log: %w", plane, err)
	}
	return audit.ParseKey(strings.TrimSpace(string(text)))
}

// signerKey is the key of the CI service, with its public half beside it for admins of
// other servers.
func signerKey(dir string) (*ecdsa.PrivateKey, error) {
	text, err := secretFile(dir, "ci/signer.key", func() ([]byte, error) {
		k, err := attest.GenerateKey()
		if err != nil {
			return nil, err
		}
		return attest.MarshalPrivate(k)
	})
	if err != nil {
		return nil, fmt.Errorf("key of signer ci: %w", err)
	}
	key, err := attest.ParsePrivate(text)
	if err != nil {
		return nil, err
	}
	pub, err := attest.MarshalPublic(key.Public())
	if err != nil {
		return nil, err
	}
	return key, writeFile(filepath.Join(dir, "ci", "signer.pub"), pub, 0o644)
}

// impliedSigner is signer ci as the bridge believes it without a document.
func impliedSigner(key *ecdsa.PrivateKey) (*attest.Signer, error) {
	pub, err := attest.MarshalPublic(key.Public())
	if err != nil {
		return nil, err
	}
	return &attest.Signer{Name: "ci", Key: string(pub), Predicates: []string{"signature", "provenance", "sbom", "tests", "coverage", "findings"}}, nil
}

// sessionKey seals the cookies of the pages.
func sessionKey(dir string) ([]byte, error) {
	return secretFile(dir, "session.key", func() ([]byte, error) {
		k := make([]byte, 32)
		_, err := rand.Read(k)
		return k, err
	})
}

// tokenFile reads a token that an operator put into a file.
func tokenFile(flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	body, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "%v", err).WithField(flag).WithHint("write the token into the file, readable by the server alone")
	}
	return strings.TrimSpace(string(body)), nil
}
