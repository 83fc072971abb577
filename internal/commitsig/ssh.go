package commitsig

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The armour of an SSH signature, and what is fixed in it (PROTOCOL.sshsig).
const (
	sshBegin     = "-----BEGIN SSH SIGNATURE-----"
	sshEnd       = "-----END SSH SIGNATURE-----"
	sshMagic     = "SSHSIG"
	sshVersion   = 1
	sshNamespace = "git"
)

// Sizes of RSA keys that are believed, in bits.
const (
	minRSA = 2048
	maxRSA = 16384
)

// maxLine bounds a line of an authorized_keys file, in bytes.
const maxLine = 16 << 10

// sshTypes are the types of keys that may sign, each with the algorithms that it may use. DSA
// and RSA with SHA-1 are not among them.
var sshTypes = map[string][]string{
	ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
	ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
	ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
	ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
	ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
	ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
	ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
}

// sshKey is a key of a signer.
type sshKey struct {
	signer int    // index
	path   string // in the policy
	public ssh.PublicKey
}

// parseSSH reads one line of an authorized_keys file.
func parseSSH(path, line string) (ssh.PublicKey, error) {
	const form = "write one line as in an authorized_keys file: ssh-ed25519 AAAA… comment"
	line = strings.TrimSpace(line)
	switch {
	case len(line) > maxLine:
		return nil, invalid(path, "the key has %d bytes; at most %d are read", len(line), maxLine)
	case strings.Contains(line, "PRIVATE KEY"):
		return nil, invalid(path, "this is a private key, which nobody else may see").WithHint("make a new key, and write the line of its .pub file")
	case line == "" || line[0] == '#' || strings.ContainsAny(line, "\r\n"):
		return nil, invalid(path, "it is no SSH public key").WithHint(form)
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, invalid(path, "it is no SSH public key").WithHint(form)
	}
	if len(options) > 0 {
		return nil, invalid(path, "options before the key are not understood").WithHint(form)
	}
	if sshTypes[key.Type()] == nil {
		return nil, invalid(path, "a key of type %.60q may not sign", key.Type()).WithHint("use ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa or a security key, no certificate")
	}
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok && (r.N.BitLen() < minRSA || r.N.BitLen() > maxRSA) {
			return nil, invalid(path, "an RSA key has %d to %d bits, not %d", minRSA, maxRSA, r.N.BitLen()).WithHint("make one: ssh-keygen -t ed25519")
		}
	}
	return key, nil
}

// sshSignature is the content of the armour, after the magic.
type sshSignature struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte
}

// sshSigned is what the key signs, after the magic.
type sshSigned struct {
	Namespace string
	Reserved  []byte
	Hash      string
	Sum       []byte
}

// readSSH takes the armour off.
func readSSH(armour string) (sshSignature, error) {
	body, ok := strings.CutPrefix(strings.TrimSuffix(armour, "\n"), sshBegin+"\n")
	body, closed := strings.CutSuffix(body, "\n"+sshEnd)
	if !ok || !closed {
		return sshSignature{}, unreadable("it does not end where it should")
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil {
		return sshSignature{}, unreadable("it is no base64")
	}
	content, ok := bytes.CutPrefix(blob, []byte(sshMagic))
	var s sshSignature
	if !ok || ssh.Unmarshal(content, &s) != nil {
		return sshSignature{}, unreadable("it is no SSH signature")
	}
	if s.Version != sshVersion {
		return sshSignature{}, unreadable("its version is not 1")
	}
	return s, nil
}

// verifySSH finds the key and checks the signature with it. Nothing that the signature itself
// brings is believed but through the key of a signer.
func (r keyring) verifySSH(c commit, _ time.Time) (Signature, int, error) {
	s, err := readSSH(c.signature)
	if err != nil {
		return Signature{}, 0, err
	}
	if s.Namespace != sshNamespace {
		return Signature{}, 0, refused("the signature was made for %.40q and not for git", s.Namespace)
	}
	k, ok := r.ssh[string(s.PublicKey)]
	if !ok {
		return Signature{}, 0, stranger(fingerprint(s.PublicKey))
	}
	var sig ssh.Signature
	if ssh.Unmarshal(s.Signature, &sig) != nil {
		return Signature{}, 0, unreadable("it is no SSH signature")
	}
	if !slices.Contains(sshTypes[k.public.Type()], sig.Format) {
		return Signature{}, 0, refused("the signature uses %.60q, which is not believed", sig.Format)
	}
	var sum []byte
	switch s.Hash {
	case "sha256":
		h := sha256.Sum256(c.payload)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(c.payload)
		sum = h[:]
	default:
		return Signature{}, 0, refused("the signature uses the hash %.40q, which is not believed", s.Hash)
	}
	signed := append([]byte(sshMagic), ssh.Marshal(sshSigned{s.Namespace, s.Reserved, s.Hash, sum})...)
	if k.public.Verify(signed, &sig) != nil {
		return Signature{}, 0, mismatch()
	}
	return Signature{Key: fingerprint(s.PublicKey), At: c.committed}, k.signer, nil
}

// fingerprint is that of a public key on the wire, as ssh-keygen -l prints it.
func fingerprint(blob []byte) string {
	h := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(h[:])
}

func stranger(key string) error {
	return refused("signed by a key that no signer has (%s)", key).WithHint("an admin names the signers in the policy")
}
