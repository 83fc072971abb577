package commitsig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgp "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"drawbridge/internal/fault"
)

// The armour of OpenPGP.
const (
	gpgBegin  = "-----BEGIN PGP SIGNATURE-----"
	gpgEnd    = "-----END PGP SIGNATURE-----"
	gpgKeyEnd = "-----END PGP PUBLIC KEY BLOCK-----"
)

// maxBlock bounds an armoured public key, in bytes; maxEntities the keys in one block.
const (
	maxBlock    = 512 << 10
	maxEntities = 100
)

// skew is how far a signer's clock may be ahead of ours.
const skew = 5 * time.Minute

// gpgKey is a certificate of a signer: a primary key with its subkeys.
type gpgKey struct {
	signer int    // index
	path   string // in the policy
	entity *openpgp.Entity
}

// fingerprint is that of the primary key, as gpg prints it.
func (k gpgKey) fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// parseGPG reads one armoured block of public keys; each of its keys must be readable.
func parseGPG(path, block string) ([]*openpgp.Entity, error) {
	const form = "write what gpg --armor --export KEY prints"
	if len(block) > maxBlock {
		return nil, invalid(path, "the key has %d bytes; at most %d are read", len(block), maxBlock).WithHint("export it without the signatures of others: gpg --export-options export-minimal")
	}
	b, err := armor.Decode(strings.NewReader(block))
	switch {
	case err != nil:
		return nil, invalid(path, "it is no armoured GPG key").WithHint(form)
	case b.Type == openpgp.PrivateKeyType:
		return nil, invalid(path, "this is a private key, which nobody else may see").WithHint("revoke it, make a new one, and " + form)
	case b.Type != openpgp.PublicKeyType || !strings.HasSuffix(strings.TrimSpace(block), gpgKeyEnd):
		return nil, invalid(path, "it is no armoured GPG public key").WithHint(form)
	case strings.Count(block, gpgKeyEnd) != 1:
		return nil, invalid(path, "it holds more than one block").WithHint("make each block an element of the list")
	}
	var out []*openpgp.Entity
	packets := packet.NewReader(b.Body)
	for {
		e, err := openpgp.ReadEntity(packets)
		switch {
		case errors.Is(err, io.EOF) && len(out) > 0:
			return out, nil
		case err != nil:
			return nil, invalid(path, "the GPG key cannot be read: %.120s", err.Error()).WithHint(form)
		case e.PrivateKey != nil:
			return nil, invalid(path, "this is a private key, which nobody else may see").WithHint("revoke it, make a new one, and " + form)
		case len(out) == maxEntities:
			return nil, invalid(path, "it holds more than %d keys", maxEntities)
		}
		out = append(out, e)
	}
}

// usable checks, apart from time, that a certificate has a key that may sign.
func usable(k gpgKey) error {
	config := &packet.Config{Time: func() time.Time { return time.Time{} }}
	if k.entity.Revoked(time.Time{}) {
		return invalid(k.path, "key %s is revoked", k.fingerprint())
	}
	if _, err := k.entity.VerifyPrimaryKey(time.Time{}, config); err != nil {
		return invalid(k.path, "key %s cannot be used: %.120s", k.fingerprint(), err.Error())
	}
	if _, ok := k.entity.SigningKey(time.Time{}, config); !ok {
		return invalid(k.path, "key %s has no part that may sign", k.fingerprint()).WithHint("it needs a key or subkey for signing: RSA of 2048 bits or more, ECDSA or EdDSA")
	}
	return nil
}

// readGPG reads the armour, which must hold one signature of data and nothing else.
func readGPG(armour string) (*packet.Signature, []byte, error) {
	if text := strings.TrimSuffix(armour, "\n"); !strings.HasSuffix(text, "\n"+gpgEnd) || strings.Count(text, "-----BEGIN") != 1 {
		return nil, nil, unreadable("it does not end where it should")
	}
	block, err := armor.Decode(strings.NewReader(armour))
	if err != nil || block.Type != openpgp.SignatureType {
		return nil, nil, unreadable("it is no GPG signature")
	}
	content, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, nil, unreadable("it is no base64")
	}
	rest := bytes.NewReader(content)
	p, err := packet.Read(rest)
	sig, ok := p.(*packet.Signature)
	if err != nil || !ok {
		return nil, nil, unreadable("it is no GPG signature")
	}
	if rest.Len() > 0 {
		return nil, nil, unreadable("it holds more than one signature")
	}
	switch {
	case sig.Version != 4 && sig.Version != 6:
		return nil, nil, unreadable("its version is neither 4 nor 6")
	case sig.IssuerKeyId == nil || *sig.IssuerKeyId == 0:
		return nil, nil, unreadable("it does not name its key")
	case sig.SigType != packet.SigTypeBinary && sig.SigType != packet.SigTypeText:
		return nil, nil, refused("the signature is not one of data")
	}
	return sig, content, nil
}

// verifyGPG finds the certificates that have the key which the signature names, and checks it
// with each: the name of a key is 64 bits of its fingerprint, which two keys could share.
func (r keyring) verifyGPG(c commit, now time.Time) (Signature, int, error) {
	sig, content, err := readGPG(c.signature)
	if err != nil {
		return Signature{}, 0, err
	}
	if sig.SigType == packet.SigTypeText && bytes.ContainsRune(c.payload, '\r') {
		// A signature of text does not tell the ends of lines apart.
		return Signature{}, 0, refused("the signature is one of text, and the commit has carriage returns")
	}
	created := sig.CreationTime.UTC()
	if created.After(now.Add(skew)) {
		return Signature{}, 0, refused("the signature is from the future (%s)", stamp(created)).WithHint("set the clock of the machine that signs")
	}
	if created.After(now) {
		now = created
	}
	err = stranger(named(sig))
	for _, k := range r.gpg {
		list := openpgp.EntityList{k.entity}
		if len(list.KeysById(*sig.IssuerKeyId)) == 0 {
			continue
		}
		if err = k.verify(c.payload, content, sig, now); err == nil {
			return Signature{Key: k.fingerprint(), At: created}, k.signer, nil
		}
	}
	return Signature{}, 0, err
}

// verify checks the signature with one certificate: that the key was good when it was made, and
// still is, and that it fits.
func (k gpgKey) verify(payload, content []byte, sig *packet.Signature, now time.Time) error {
	config := &packet.Config{Time: func() time.Time { return now }}
	for _, moment := range []time.Time{now, sig.CreationTime} {
		if _, err := k.entity.VerifyPrimaryKey(moment, config); errors.Is(err, pgp.ErrKeyExpired) || errors.Is(err, pgp.ErrKeyRevoked) {
			return k.explain(err)
		}
		if _, ok := k.entity.SigningKeyById(moment, *sig.IssuerKeyId, config); !ok {
			return refused("key %s, or the part of it that signed, was not good for signing at %s", k.fingerprint(), stamp(moment))
		}
	}
	_, _, err := openpgp.VerifyDetachedSignature(openpgp.EntityList{k.entity}, bytes.NewReader(payload), bytes.NewReader(content), config)
	if err != nil {
		return k.explain(err)
	}
	return nil
}

// explain says what the OpenPGP library found.
func (k gpgKey) explain(err error) *fault.Error {
	switch {
	case errors.Is(err, pgp.ErrKeyExpired):
		return refused("key %s has expired", k.fingerprint()).WithHint("an admin replaces it in the policy")
	case errors.Is(err, pgp.ErrKeyRevoked):
		return refused("key %s is revoked", k.fingerprint()).WithHint("an admin replaces it in the policy")
	case errors.Is(err, pgp.ErrSignatureExpired):
		return refused("the signature has expired")
	}
	if found, ok := errors.AsType[pgp.SignatureError](err); ok && strings.HasPrefix(string(found), "insecure") {
		return refused("the signature is too weak: %.80s", string(found))
	}
	return mismatch()
}

// named is the key that a signature names, as far as it does.
func named(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	}
	return fmt.Sprintf("%016X", *sig.IssuerKeyId)
}
