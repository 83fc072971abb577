package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"drawbridge/internal/fault"
)

// The bundle as it is written. Reading goes through sigstore-go, which knows all versions.
type bundleOut struct {
	MediaType string `json:"mediaType"`
	Material  struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
	Envelope envelopeOut `json:"dsseEnvelope"`
}

type envelopeOut struct {
	Payload     []byte         `json:"payload"`
	PayloadType string         `json:"payloadType"`
	Signatures  []signatureOut `json:"signatures"`
}

type signatureOut struct {
	Sig []byte `json:"sig"`
}

type statementOut struct {
	Type          string       `json:"_type"`
	Subject       []subjectOut `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     any          `json:"predicate"`
}

type subjectOut struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// Sign states p of s and returns the Sigstore bundle, JSON. The key is ECDSA P-256. A key
// in memory gives the same bytes for the same statement every time (RFC 6979), so that a
// run sealed again after a crash attaches nothing new; a signer elsewhere (KMS, HSM) may
// not. A statement that Verify would not read back is a fault of kind Invalid.
func Sign(key crypto.Signer, s Subject, p Predicate) ([]byte, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fault.New(fault.Invalid, "the signing key is no ECDSA P-256 key")
	}
	if s.Digest.IsZero() {
		return nil, fault.New(fault.Invalid, "a statement needs a subject with a digest")
	}
	payload, err := json.Marshal(statementOut{
		Type:          statementType,
		Subject:       []subjectOut{{Name: s.Name, Digest: map[string]string{"sha256": s.Digest.Hex()}}},
		PredicateType: p.Type(),
		Predicate:     wireOf(p),
	})
	if err != nil {
		return nil, fmt.Errorf("marshal predicate %s: %w", p.Type(), err)
	}
	if err := readable(payload); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "predicate %s cannot be signed: %v", display(p.Type()), err)
	}
	sig, err := signPayload(key, payload)
	if err != nil {
		return nil, err
	}
	out := bundleOut{MediaType: BundleMediaType}
	if out.Material.PublicKey.Hint, err = keyHint(pub); err != nil {
		return nil, err
	}
	out.Envelope = envelopeOut{Payload: payload, PayloadType: PayloadMediaType, Signatures: []signatureOut{{sig}}}
	bundle, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("marshal bundle: %w", err)
	}
	if len(bundle) > MaxBundle {
		return nil, fault.New(fault.TooLarge, "a bundle has at most %d bytes, this %s has %d", MaxBundle, display(p.Type()), len(bundle))
	}
	return bundle, nil
}

// readable checks that a statement reads back, predicate included.
func readable(payload []byte) error {
	st, err := parseStatement(payload)
	if err != nil {
		return err
	}
	_, err = ParsePredicate(st.predicateType, st.predicate)
	return err
}

func signPayload(key crypto.Signer, payload []byte) ([]byte, error) {
	digest := sha256.Sum256(preAuth(PayloadMediaType, payload))
	random := rand.Reader
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		random = io.Reader(nil) // asks for the deterministic signature
	}
	sig, err := key.Sign(random, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	return sig, nil
}

// preAuth is DSSE's pre-authentication encoding: what is signed, so that no payload of one
// type can pass for another. Format: https://github.com/secure-systems-lab/dsse, protocol.md.
func preAuth(payloadType string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}
