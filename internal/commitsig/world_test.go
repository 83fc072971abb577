package commitsig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

// now is when the tests verify; the commits are of the day before.
var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const message = "\nstaging: shop 1.4.2\n\ngpgsig -----BEGIN SSH SIGNATURE-----\n of a message is text\n"

// headers are those of an unsigned commit, which begins with them.
var headers = fmt.Sprintf("tree %040d\nparent %040d\nauthor Alice <alice@example.com> 1772359000 +0100\ncommitter Alice <alice@example.com> %d +0100\n",
	7, 8, now.Add(-24*time.Hour).Unix())

// name is the id of a commit object in a SHA-1 repository.
func name(raw []byte) string {
	h := sha1.Sum(fmt.Appendf(nil, "commit %d\x00%s", len(raw), raw))
	return hex.EncodeToString(h[:])
}

func name256(raw []byte) string {
	h := sha256.Sum256(fmt.Appendf(nil, "commit %d\x00%s", len(raw), raw))
	return hex.EncodeToString(h[:])
}

// fold writes an armour as the header of a signature.
func fold(armour string) string {
	return "gpgsig " + strings.ReplaceAll(strings.TrimSuffix(armour, "\n"), "\n", "\n ") + "\n"
}

// commit is a commit with a signature header behind the others.
func commit(armour string) []byte { return []byte(headers + fold(armour) + message) }

// sshParts is what goes into an SSH signature, for tests to change.
type sshParts struct {
	magic, namespace, reserved, hash string
	version                          uint32
	payload                          string
}

func parts() sshParts {
	return sshParts{magic: "SSHSIG", namespace: "git", hash: "sha512", version: 1, payload: headers + message}
}

func lengthened(s string) string { return string(ssh.Marshal(struct{ S string }{s})) }

// signSSH makes an armoured SSH signature; algorithm is "" for the key's own.
func signSSH(t testing.TB, key ssh.Signer, algorithm string, p sshParts) string {
	t.Helper()
	var sum []byte
	switch p.hash {
	case "sha256":
		h := sha256.Sum256([]byte(p.payload))
		sum = h[:]
	case "sha1":
		h := sha1.Sum([]byte(p.payload))
		sum = h[:]
	default:
		h := sha512.Sum512([]byte(p.payload))
		sum = h[:]
	}
	signed := []byte(p.magic + lengthened(p.namespace) + lengthened(p.reserved) + lengthened(p.hash) + lengthened(string(sum)))
	var sig *ssh.Signature
	var err error
	if algorithm == "" {
		sig, err = key.Sign(rand.Reader, signed)
	} else if a, ok := key.(ssh.AlgorithmSigner); ok {
		sig, err = a.SignWithAlgorithm(rand.Reader, signed, algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	blob := fmt.Appendf(nil, "%s%s%s%s%s%s%s", p.magic, ssh.Marshal(struct{ V uint32 }{p.version}), lengthened(string(key.PublicKey().Marshal())),
		lengthened(p.namespace), lengthened(p.reserved), lengthened(p.hash), lengthened(string(ssh.Marshal(sig))))
	return sshArmour(blob)
}

func sshArmour(blob []byte) string {
	text := base64.StdEncoding.EncodeToString(blob)
	var out strings.Builder
	out.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 70 {
		out.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	return out.String() + text + "\n-----END SSH SIGNATURE-----\n"
}

func sshKey(t testing.TB, private any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func edKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshKey(t, private)
}

func ecKey(t testing.TB, curve elliptic.Curve) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshKey(t, private)
}

func rsaKey(t testing.TB) ssh.Signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return sshKey(t, private)
}

// token is a security key made of software: it signs what the hardware would.
type token struct {
	private ed25519.PrivateKey
	flags   byte // 1: touched
}

func newToken(t testing.TB) token {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token{private, 1}
}

func (k token) PublicKey() ssh.PublicKey {
	public, ok := k.private.Public().(ed25519.PublicKey)
	if !ok {
		panic("no ed25519 key")
	}
	key, err := ssh.ParsePublicKey([]byte(lengthened(ssh.KeyAlgoSKED25519) + lengthened(string(public)) + lengthened("ssh:")))
	if err != nil {
		panic(err)
	}
	return key
}

func (k token) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	app, body := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	tail := []byte{k.flags, 0, 0, 0, 9}
	sig, err := k.private.Sign(rand.Reader, bytes.Join([][]byte{app[:], tail, body[:]}, nil), crypto.Hash(0))
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: sig, Rest: tail}, err
}

// line is the public key as an authorized_keys file has it.
func line(key ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + " somebody@example.com"
}

func only(identity string, keys ...ssh.Signer) commitsig.Policy {
	s := commitsig.Signer{Identity: identity}
	for _, k := range keys {
		s.SSH = append(s.SSH, line(k))
	}
	return commitsig.Policy{Signers: []commitsig.Signer{s}}
}

// refuses checks that a commit is refused with the reason, in one line.
func refuses(t *testing.T, p commitsig.Policy, raw []byte, at time.Time, reason string) {
	t.Helper()
	s, err := p.Verify(raw, name(raw), at)
	wantRefused(t, s, err, reason)
}

func wantRefused(t *testing.T, s commitsig.Signature, err error, reason string) {
	t.Helper()
	if s != (commitsig.Signature{}) || !fault.Is(err, fault.Refused) {
		t.Fatalf("Verify = %+v, %v, want it refused", s, err)
	}
	if !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "\n") || fault.As(err).Field != "" {
		t.Errorf("refused with %q, want %q in one line", err, reason)
	}
}

// accepts checks that a commit is that of somebody.
func accepts(t *testing.T, p commitsig.Policy, raw []byte, identity string, kind commitsig.Kind) commitsig.Signature {
	t.Helper()
	s, err := p.Verify(raw, name(raw), now)
	if err != nil || s.Identity != identity || s.Kind != kind || s.Key == "" || s.At.Location() != time.UTC {
		t.Errorf("Verify = %+v, %v, want the signature of %s", s, err, identity)
	}
	return s
}
