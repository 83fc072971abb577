package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
)

// sealer keeps receivers' secrets unreadable in the database: AES-256-GCM under a key that
// is a file of the data directory. It implements webhook.Seal.
type sealer struct{ aead cipher.AEAD }

// newSealer reads the key, which is made on the first start. Replicas share it, as they
// share the other keys.
func newSealer(dir string) (sealer, error) {
	key, err := secretFile(dir, "cd/receiver.key", func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return sealer{}, fmt.Errorf("key of the receivers' secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("key of the receivers' secrets: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("key of the receivers' secrets: %w", err)
	}
	return sealer{aead}, nil
}

// Seal implements webhook.Seal.
func (s sealer) Seal(name string, secret []byte) []byte {
	return s.aead.Seal(nil, nil, secret, []byte(name)) //nolint:gosec // it makes a random nonce itself and takes none
}

// Open implements webhook.Seal.
func (s sealer) Open(name string, sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(name))
}
