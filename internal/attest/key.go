package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"drawbridge/internal/fault"
)

const minRSABits = 2048

// GenerateKey makes a new signing key, ECDSA on P-256.
func GenerateKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// MarshalPrivate writes key as PEM (PKCS #8, not encrypted): whoever keeps it keeps it 0600.
func MarshalPrivate(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParsePrivate reads what MarshalPrivate wrote. Anything else is a fault of kind Invalid
// that does not repeat the text.
func ParsePrivate(text []byte) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, fault.New(fault.Invalid, "the signing key is not one PEM block PRIVATE KEY").WithHint("write an ECDSA P-256 key as PKCS #8")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the signing key is no PKCS #8 key").WithHint("write an ECDSA P-256 key as PKCS #8")
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fault.New(fault.Invalid, "the signing key is no ECDSA P-256 key").WithHint("make a new one")
	}
	return key, nil
}

// MarshalPublic writes the public half of a key as PEM (PKIX), as cosign writes it.
func MarshalPublic(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic reads one or more PEM blocks PUBLIC KEY: ECDSA (P-256, P-384, P-521), Ed25519
// or RSA of at least 2048 bits. Anything else is a fault of kind Invalid.
func ParsePublic(text []byte) ([]crypto.PublicKey, error) {
	const hint = "write PEM blocks -----BEGIN PUBLIC KEY-----"
	var keys []crypto.PublicKey
	for rest := text; strings.TrimSpace(string(rest)) != ""; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, fault.New(fault.Invalid, "public key %d is no PEM block", len(keys)+1).WithHint(hint)
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fault.New(fault.Invalid, "PEM block %d is a %s, not a PUBLIC KEY", len(keys)+1, clip(block.Type)).WithHint(hint)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fault.New(fault.Invalid, "public key %d cannot be read", len(keys)+1).WithHint(hint)
		}
		if !usable(key) {
			return nil, fault.New(fault.Invalid, "public key %d is of a kind that is not accepted", len(keys)+1).
				WithHint("use ECDSA P-256, P-384 or P-521, Ed25519, or RSA of at least %d bits", minRSABits)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fault.New(fault.Invalid, "there is no public key").WithHint(hint)
	}
	return keys, nil
}

func usable(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits
	}
	return false
}

// keyHint names a key inside a bundle as cosign does: base64 of the SHA-256 of its PKIX form.
func keyHint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("marshal public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
