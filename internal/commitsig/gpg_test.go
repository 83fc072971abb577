package commitsig_test

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

// born is when the keys of these tests are made.
var born = now.Add(-30 * 24 * time.Hour)

// on is a configuration whose clock stands.
func on(at time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return at }}
}

func pgpKey(t testing.TB, config *packet.Config) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Alice", "", "alice@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armoured(t testing.TB, kind string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func exported(t testing.TB, e *openpgp.Entity) string {
	t.Helper()
	return armoured(t, openpgp.PublicKeyType, e.Serialize)
}

func believe(t testing.TB, keys ...*openpgp.Entity) commitsig.Policy {
	t.Helper()
	s := commitsig.Signer{Identity: "alice"}
	for _, e := range keys {
		s.GPG = append(s.GPG, exported(t, e))
	}
	return commitsig.Policy{Signers: []commitsig.Signer{s}}
}

// signGPG makes an armoured signature of the usual commit.
func signGPG(t testing.TB, e *openpgp.Entity, params *openpgp.SignParams) string {
	t.Helper()
	return signGPGOf(t, headers+message, e, params)
}

func signGPGOf(t testing.TB, payload string, e *openpgp.Entity, params *openpgp.SignParams) string {
	t.Helper()
	return armoured(t, openpgp.SignatureType, func(w io.Writer) error {
		return openpgp.DetachSignWithParams(w, []*openpgp.Entity{e}, strings.NewReader(payload), params)
	})
}

func at(moment time.Time) *openpgp.SignParams { return &openpgp.SignParams{Config: on(moment)} }

func TestGPGKinds(t *testing.T) {
	yesterday := now.Add(-24 * time.Hour)
	subkey := pgpKey(t, on(born))
	if err := subkey.AddSigningSubkey(on(born)); err != nil {
		t.Fatal(err)
	}
	ed, v6 := on(born), on(born)
	ed.Algorithm = packet.PubKeyAlgoEd25519
	v6.Algorithm, v6.V6Keys = packet.PubKeyAlgoEd25519, true
	for name, c := range map[string]struct {
		key    *openpgp.Entity
		params *openpgp.SignParams
	}{
		"eddsa":          {pgpKey(t, on(born)), at(yesterday)},
		"rsa":            {pgpKey(t, &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048, Time: on(born).Time}), at(yesterday)},
		"ecdsa":          {pgpKey(t, &packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256, Time: on(born).Time}), at(yesterday)},
		"ed25519":        {pgpKey(t, ed), at(yesterday)},
		"version 6":      {pgpKey(t, v6), at(yesterday)},
		"subkey":         {subkey, at(yesterday)},
		"text":           {pgpKey(t, on(born)), &openpgp.SignParams{TextSig: true, Config: on(yesterday)}},
		"at birth":       {pgpKey(t, on(born)), at(born)},
		"clock is ahead": {pgpKey(t, on(born)), at(now.Add(4 * time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			p := believe(t, pgpKey(t, on(born)), c.key)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			s := accepts(t, p, commit(signGPG(t, c.key, c.params)), "alice", commitsig.GPG)
			if !s.At.Equal(c.params.Config.Now()) {
				t.Errorf("at %s, want when it was signed, %s", s.At, c.params.Config.Now())
			}
			if len(s.Key) < 40 || s.Key != strings.ToUpper(s.Key) {
				t.Errorf("key %q is no fingerprint", s.Key)
			}
		})
	}
}

func TestGPGRefuses(t *testing.T) {
	yesterday := now.Add(-24 * time.Hour)
	alice, mallory := pgpKey(t, on(born)), pgpKey(t, on(born))
	policy := believe(t, alice)
	good := signGPG(t, alice, at(yesterday))
	accepts(t, policy, commit(good), "alice", commitsig.GPG)
	raw := func(write func(io.Writer) error) string { return armoured(t, openpgp.SignatureType, write) }
	double := func(w io.Writer) error {
		for range 2 {
			if err := openpgp.DetachSign(w, []*openpgp.Entity{alice}, strings.NewReader(headers+message), on(yesterday)); err != nil {
				return err
			}
		}
		return nil
	}
	id, print := binary.BigEndian.AppendUint64(nil, alice.PrimaryKey.KeyId), string(alice.PrimaryKey.Fingerprint)
	patch := func(armour string, pairs ...string) string {
		content := unarmoured(t, armour)
		changed := strings.NewReplacer(pairs...).Replace(content)
		if changed == content {
			t.Fatal("nothing was changed in the signature")
		}
		return raw(func(w io.Writer) error { _, err := io.WriteString(w, changed); return err })
	}
	foreign := patch(signGPG(t, mallory, at(yesterday)), string(mallory.PrimaryKey.Fingerprint), print,
		string(binary.BigEndian.AppendUint64(nil, mallory.PrimaryKey.KeyId)), string(id))
	// Subpackets 16 and 33 name the key; 101 and 102 are anybody's.
	nameless := patch(good, "\x09\x10"+string(id), "\x09\x65"+string(id), "\x09\x90"+string(id), "\x09\x65"+string(id),
		"\x16\x21\x04"+print, "\x16\x66\x04"+print, "\x16\xa1\x04"+print, "\x16\x66\x04"+print)
	zero := patch(good, "\x10"+string(id), "\x10"+strings.Repeat("\x00", 8), "\x90"+string(id), "\x10"+strings.Repeat("\x00", 8), "\x21\x04"+print, "\x66\x04"+print, "\xa1\x04"+print, "\x66\x04"+print)
	for name, c := range map[string]struct{ armour, reason string }{
		"stranger":             {signGPG(t, mallory, at(yesterday)), "signed by a key that no signer has ("},
		"alice's key named":    {foreign, "the signature does not match the commit"},
		"another commit":       {signGPGOf(t, headers+message+"x", alice, at(yesterday)), "the signature does not match the commit"},
		"with line ends":       {signGPGOf(t, strings.ReplaceAll(headers+message, "\n", "\r\n"), alice, at(yesterday)), "the signature does not match the commit"},
		"from the future":      {signGPG(t, alice, at(now.Add(6*time.Minute))), "the signature is from the future (2026-03-02T12:06:00Z)"},
		"older than the key":   {handmade(t, alice, func(s *packet.Signature) { s.CreationTime = born.Add(-time.Hour) }), "was not good for signing at 2026-01-31T11:00:00Z"},
		"itself expired":       {handmade(t, alice, func(s *packet.Signature) { second := uint32(1); s.SigLifetimeSecs = &second }), "the signature has expired"},
		"certifies a name":     {handmade(t, alice, func(s *packet.Signature) { s.SigType = packet.SigTypePositiveCert }), "the signature is not one of data"},
		"binds a subkey":       {handmade(t, alice, func(s *packet.Signature) { s.SigType = packet.SigTypeSubkeyBinding }), "the signature is not one of data"},
		"two":                  {raw(double), "it holds more than one signature"},
		"two blocks":           {good + good, "it does not end where it should"},
		"key instead":          {strings.ReplaceAll(exported(t, alice), "PUBLIC KEY BLOCK", "SIGNATURE"), "it is no GPG signature"},
		"whole message":        {"-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n", "neither of SSH nor of GPG"},
		"empty":                {raw(func(io.Writer) error { return nil }), "it is no GPG signature"},
		"cut":                  {strings.Replace(good, good[len(good)-90:len(good)-60], "", 1), "cannot be read"},
		"no end":               {strings.Replace(good, "-----END PGP SIGNATURE-----", "", 1), "it does not end where it should"},
		"text behind":          {good + "x\n", "it does not end where it should"},
		"no name of its key":   {nameless, "it does not name its key"},
		"zero name of a key":   {zero, "it does not name its key"},
		"SSH armour around it": {strings.ReplaceAll(good, " PGP ", " SSH "), "it is no base64"},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, policy, commit(c.armour), now, c.reason) })
	}
	t.Run("text with carriage returns", func(t *testing.T) {
		payload := headers + "\nlines\r\nend\r\n"
		sig := signGPGOf(t, payload, alice, &openpgp.SignParams{TextSig: true, Config: on(yesterday)})
		refuses(t, policy, []byte(headers+fold(sig)+"\nlines\r\nend\r\n"), now, "is one of text")
		refuses(t, policy, []byte(headers+fold(sig)+"\nlines\nend\r\n"), now, "is one of text")
	})
	t.Run("the policy changed", func(t *testing.T) {
		refuses(t, believe(t, mallory), commit(good), now, "signed by a key that no signer has")
		refuses(t, only("alice", edKey(t)), commit(good), now, "signed by a key that no signer has")
	})
}

func unarmoured(t *testing.T, armour string) string {
	t.Helper()
	block, err := armor.Decode(strings.NewReader(armour))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(block.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// handmade is a signature of the usual commit with what no tool would write.
func handmade(t *testing.T, e *openpgp.Entity, change func(*packet.Signature)) string {
	t.Helper()
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA512,
		CreationTime: now.Add(-24 * time.Hour), IssuerKeyId: &e.PrimaryKey.KeyId, IssuerKeyVersion: 4, IssuerFingerprint: e.PrimaryKey.Fingerprint,
	}
	change(sig)
	h := sig.Hash.New()
	if _, err := io.WriteString(h, headers+message); err != nil {
		t.Fatal(err)
	}
	if err := sig.Sign(h, e.PrivateKey, on(now)); err != nil {
		t.Fatal(err)
	}
	return armoured(t, openpgp.SignatureType, sig.Serialize)
}

// A key that has expired or was revoked signs nothing, and a date in the past does not help.
func TestGPGKeyLife(t *testing.T) {
	day := uint32(24 * 60 * 60)
	short := on(born)
	short.KeyLifetimeSecs = 10 * day
	expiring := pgpKey(t, short)
	early := signGPG(t, expiring, at(born.Add(time.Hour)))
	revoke := func(reason packet.ReasonForRevocation) (key *openpgp.Entity, signed string) {
		key = pgpKey(t, on(born))
		signed = signGPG(t, key, at(born.Add(time.Hour)))
		if err := key.Revoke(reason, "gone", on(now.Add(-time.Hour))); err != nil {
			t.Fatal(err)
		}
		return key, signed
	}
	compromised, byThief := revoke(packet.KeyCompromised)
	retired, byOld := revoke(packet.KeyRetired)
	partly := pgpKey(t, on(born))
	if err := partly.AddSigningSubkey(on(born)); err != nil {
		t.Fatal(err)
	}
	byPart := signGPG(t, partly, at(born.Add(time.Hour)))
	if err := partly.Subkeys[len(partly.Subkeys)-1].Revoke(packet.KeyRetired, "gone", on(now.Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    *openpgp.Entity
		armour string
		reason string
	}{
		"expired":                   {expiring, early, "has expired"},
		"compromised, signed early": {compromised, byThief, "is revoked"},
		"retired, signed early":     {retired, byOld, "is revoked"},
		"subkey retired":            {partly, byPart, "was not good for signing at 2026-03-02T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, believe(t, c.key), commit(c.armour), now, c.reason) })
	}
	for when, c := range map[string]struct {
		key    *openpgp.Entity
		armour string
		when   time.Time
	}{
		"before it expires":    {expiring, early, born.Add(2 * time.Hour)},
		"before it is retired": {retired, byOld, born.Add(2 * time.Hour)},
		"before its subkey is": {partly, byPart, born.Add(2 * time.Hour)},
	} {
		raw := commit(c.armour)
		if s, err := believe(t, c.key).Verify(raw, name(raw), c.when); err != nil || s.Identity != "alice" {
			t.Errorf("%s: %+v, %v", when, s, err)
		}
	}
	// Bob's certificate claims alice's signing key as its own subkey, without her agreement.
	t.Run("adopted subkey", func(t *testing.T) {
		alice, bob := pgpKey(t, on(born)), pgpKey(t, on(born))
		public := *alice.PrimaryKey
		public.IsSubkey = true
		flags := &packet.Signature{
			Version: 4, SigType: packet.SigTypeSubkeyBinding, PubKeyAlgo: bob.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA512,
			CreationTime: born, IssuerKeyId: &bob.PrimaryKey.KeyId, FlagsValid: true, FlagSign: true,
		}
		if err := flags.SignKey(&public, bob.PrivateKey, on(born)); err != nil {
			t.Fatal(err)
		}
		bob.Subkeys = append(bob.Subkeys, openpgp.Subkey{Primary: bob, PublicKey: &public, Bindings: []*packet.VerifiableSignature{packet.NewVerifiableSig(flags)}})
		p := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "bob", GPG: []string{exported(t, bob)}}}}
		raw := commit(signGPG(t, alice, at(now.Add(-time.Hour))))
		refuses(t, p, raw, now, "was not good for signing")
		p.Signers = append(p.Signers, commitsig.Signer{Identity: "alice", GPG: []string{exported(t, alice)}})
		accepts(t, p, raw, "alice", commitsig.GPG)
	})
}

func TestGPGCheck(t *testing.T) {
	alice := pgpKey(t, on(born))
	revoked := pgpKey(t, on(born))
	if err := revoked.Revoke(packet.KeyCompromised, "", on(now)); err != nil {
		t.Fatal(err)
	}
	weak := pgpKey(t, &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 1024, Time: on(born).Time})
	mute := pgpKey(t, on(born))
	for _, id := range mute.Identities {
		for _, s := range id.SelfCertifications {
			s.Packet.FlagSign = false
			if err := s.Packet.SignUserId(id.Name, mute.PrimaryKey, mute.PrivateKey, on(born)); err != nil {
				t.Fatal(err)
			}
		}
	}
	private := armoured(t, openpgp.PrivateKeyType, func(w io.Writer) error { return alice.SerializePrivateWithoutSigning(w, nil) })
	ring := armoured(t, openpgp.PublicKeyType, func(w io.Writer) error {
		if err := alice.Serialize(w); err != nil {
			return err
		}
		return pgpKey(t, on(born)).Serialize(w)
	})
	if err := (commitsig.Policy{Signers: []commitsig.Signer{{Identity: "alice", GPG: []string{ring}}}}).Check(); err != nil {
		t.Errorf("a block with two keys: %v", err)
	}
	good := exported(t, alice)
	for name, c := range map[string]struct{ block, want string }{
		"empty":           {"", "signers[0].gpg[0]: it is no armoured GPG key"},
		"text":            {"alice", "signers[0].gpg[0]: it is no armoured GPG key"},
		"private":         {private, "signers[0].gpg[0]: this is a private key"},
		"private renamed": {strings.ReplaceAll(private, "PRIVATE", "PUBLIC"), "signers[0].gpg[0]: this is a private key"},
		"a signature":     {signGPG(t, alice, at(now)), "signers[0].gpg[0]: it is no armoured GPG public key"},
		"two blocks":      {good + good, "signers[0].gpg[0]: it holds more than one block"},
		"cut":             {good[:len(good)/2], "signers[0].gpg[0]: it is no armoured GPG public key"},
		"damaged":         {good[:200] + good[260:], "signers[0].gpg[0]: the GPG key cannot be read"},
		"revoked":         {exported(t, revoked), "signers[0].gpg[0]: key "},
		"weak":            {exported(t, weak), "signers[0].gpg[0]: key "},
		"may not sign":    {exported(t, mute), "signers[0].gpg[0]: key "},
		"too large":       {strings.Repeat("x", 600<<10), "signers[0].gpg[0]: the key has 614400 bytes"},
	} {
		err := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "alice", GPG: []string{c.block}}}}.Check()
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
