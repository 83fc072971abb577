package commitsig_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

func TestSSHKinds(t *testing.T) {
	r := rsaKey(t)
	for name, c := range map[string]struct {
		key       ssh.Signer
		algorithm string
		hash      string
	}{
		"ed25519":         {edKey(t), "", "sha512"},
		"ed25519 sha256":  {edKey(t), "", "sha256"},
		"ecdsa 256":       {ecKey(t, elliptic.P256()), "", "sha512"},
		"ecdsa 384":       {ecKey(t, elliptic.P384()), "", "sha512"},
		"ecdsa 521":       {ecKey(t, elliptic.P521()), "", "sha256"},
		"rsa sha256":      {r, ssh.KeyAlgoRSASHA256, "sha512"},
		"rsa sha512":      {r, ssh.KeyAlgoRSASHA512, "sha512"},
		"security key":    {newToken(t), "", "sha512"},
		"reserved is set": {edKey(t), "", "sha512"},
	} {
		t.Run(name, func(t *testing.T) {
			p := parts()
			p.hash = c.hash
			if name == "reserved is set" {
				p.reserved = "for later"
			}
			s := accepts(t, only("alice", edKey(t), c.key), commit(signSSH(t, c.key, c.algorithm, p)), "alice", commitsig.SSH)
			if want := ssh.FingerprintSHA256(c.key.PublicKey()); s.Key != want {
				t.Errorf("key %s, want %s", s.Key, want)
			}
			if want := now.Add(-24 * time.Hour); !s.At.Equal(want) {
				t.Errorf("at %s, want %s", s.At, want)
			}
		})
	}
}

func TestSSHRefuses(t *testing.T) {
	alice, mallory, touch, weak := edKey(t), edKey(t), newToken(t), rsaKey(t)
	policy := only("alice", alice, touch, weak)
	with := func(change func(*sshParts)) string {
		p := parts()
		change(&p)
		return signSSH(t, alice, "", p)
	}
	untouched := touch
	untouched.flags = 0
	good := with(func(*sshParts) {})
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Split(strings.TrimSpace(good), "\n")[1:strings.Count(good, "\n")-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	// The last letter of base64 has two bits that decode to nothing.
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	pad := strings.Index(good, "=\n")
	if pad < 1 {
		t.Fatalf("the signature needs no padding: %s", good)
	}
	loose := good[:pad-1] + letters[strings.IndexByte(letters, good[pad-1])+1:][:1] + good[pad:]
	// Mallory's signature under alice's public key.
	stolen := []byte(strings.Replace(mustBlob(t, signSSH(t, mallory, "", parts())), string(mallory.PublicKey().Marshal()), string(alice.PublicKey().Marshal()), 1))
	for name, c := range map[string]struct{ armour, reason string }{
		"stranger":              {signSSH(t, mallory, "", parts()), "signed by a key that no signer has (" + ssh.FingerprintSHA256(mallory.PublicKey()) + ")"},
		"alice's key named":     {sshArmour(stolen), "the signature does not match the commit"},
		"namespace file":        {with(func(p *sshParts) { p.namespace = "file" }), `the signature was made for "file" and not for git`},
		"namespace empty":       {with(func(p *sshParts) { p.namespace = "" }), `the signature was made for "" and not for git`},
		"namespace git+":        {with(func(p *sshParts) { p.namespace = "git\x00" }), "and not for git"},
		"another commit":        {with(func(p *sshParts) { p.payload = strings.Replace(p.payload, "tree 0", "tree 1", 1) }), "the signature does not match the commit"},
		"a tag's payload":       {with(func(p *sshParts) { p.payload = "object 00\ntype commit\n" }), "the signature does not match the commit"},
		"hash sha1":             {with(func(p *sshParts) { p.hash = "sha1" }), `the hash "sha1", which is not believed`},
		"hash unknown":          {with(func(p *sshParts) { p.hash = "md5\n" }), `the hash "md5\n", which is not believed`},
		"version 2":             {with(func(p *sshParts) { p.version = 2 }), "its version is not 1"},
		"magic":                 {with(func(p *sshParts) { p.magic = "SSHSIX" }), "it is no SSH signature"},
		"rsa with SHA-1":        {signSSH(t, weak, ssh.KeyAlgoRSA, parts()), `the signature uses "ssh-rsa", which is not believed`},
		"not touched":           {signSSH(t, untouched, "", parts()), "the signature does not match the commit"},
		"cut":                   {sshArmour(blob[:len(blob)-1]), "it is no SSH signature"},
		"lengthened":            {sshArmour(append(slices.Clip(blob), 0)), "it is no SSH signature"},
		"empty blob":            {sshArmour(nil), "it is no"},
		"magic alone":           {sshArmour([]byte("SSHSIG")), "it is no SSH signature"},
		"huge length":           {sshArmour([]byte("SSHSIG\x00\x00\x00\x01\xff\xff\xff\xff")), "it is no SSH signature"},
		"no base64":             {strings.Replace(good, "U1NI", "U1N*", 1), "it is no base64"},
		"bits that say nothing": {loose, "it is no base64"},
		"no end":                {strings.Replace(good, "-----END SSH SIGNATURE-----", "", 1), "it does not end where it should"},
		"two in one header":     {good + good, "it is no base64"},
		"text before":           {"x\n" + good, "the signature is neither of SSH nor of GPG"},
		"text behind":           {good + "x\n", "it does not end where it should"},
		"carriage returns":      {strings.ReplaceAll(good, "\n", "\r\n"), "the commit is malformed"},
		"X.509":                 {"-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n", "signed with an X.509 certificate"},
		"too large":             {"-----BEGIN SSH SIGNATURE-----\n" + strings.Repeat("A", 70<<10) + "\n-----END SSH SIGNATURE-----\n", "at most 65536 are read"},
		"a public key":          {line(alice), "neither of SSH nor of GPG"},
		"empty":                 {"", "the commit is not signed"},
		"GPG armour, SSH in":    {strings.ReplaceAll(good, " SSH ", " PGP "), "it is no GPG signature"},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, policy, commit(c.armour), now, c.reason) })
	}
	accepts(t, policy, commit(good), "alice", commitsig.SSH) // or all of the above says nothing
}

func mustBlob(t *testing.T, armour string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(armour), "\n")
	b, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A signature must cover every byte but its own: whatever is changed in the commit is noticed.
func TestEveryByteCounts(t *testing.T) {
	alice := edKey(t)
	policy := only("alice", alice)
	raw := commit(signSSH(t, alice, "", parts()))
	accepts(t, policy, raw, "alice", commitsig.SSH)
	for i := range raw {
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		if s, err := policy.Verify(changed, name(changed), now); err == nil {
			t.Errorf("byte %d (%q) was changed, and it is still the commit of %s", i, raw[i], s.Identity)
		}
		if _, err := policy.Verify(changed, name(raw), now); !fault.Is(err, fault.Refused) {
			t.Errorf("byte %d was changed under the old id: %v", i, err)
		}
	}
}

func TestCommitForms(t *testing.T) {
	alice, bob := edKey(t), edKey(t)
	policy := commitsig.Policy{Signers: append(only("alice", alice).Signers, only("bob", bob).Signers...)}
	sign := func(key ssh.Signer, payload string) string {
		p := parts()
		p.payload = payload
		return signSSH(t, key, "", p)
	}
	plain := headers + message
	sig := fold(sign(alice, plain))
	// A tag that was merged brings a signature of its own, in a header that is signed with the rest.
	tag := "mergetag object 00\n type commit\n tag v1\n \n v1\n gpgsig x\n" + " " + strings.ReplaceAll(strings.TrimSpace(sign(bob, "object 00\n")), "\n", "\n ") + "\n"
	merged := headers + tag + message
	for name, c := range map[string]struct{ raw, identity string }{
		"header before the message": {headers + sig + message, "alice"},
		"more headers behind":       {headers + fold(sign(alice, headers+"encoding ISO-8859-1\nchange-id abc\n"+message)) + "encoding ISO-8859-1\nchange-id abc\n" + message, "alice"},
		"merged tag":                {headers + tag + fold(sign(alice, merged)) + message, "alice"},
		"merged tag behind":         {headers + fold(sign(alice, merged)) + tag + message, "alice"},
		"no message":                {headers + fold(sign(alice, headers+"\n")) + "\n", "alice"},
		"carriage returns in it":    {headers + fold(sign(alice, headers+"\na\r\nb\r\n")) + "\na\r\nb\r\n", "alice"},
		"other hash's signature":    {headers + sig + "gpgsig-sha256 whatever\n more\n" + message, "alice"},
		"no parent":                 {noParent() + fold(sign(bob, noParent()+message)) + message, "bob"},
		"tag with carriage returns": {headers + "mergetag a\n b\r\n" + fold(sign(alice, headers+"mergetag a\n b\r\n"+message)) + message, "alice"},
	} {
		t.Run(name, func(t *testing.T) { accepts(t, policy, []byte(c.raw), c.identity, commitsig.SSH) })
	}
}

func noParent() string {
	before, after, _ := strings.Cut(headers, "parent ")
	_, after, _ = strings.Cut(after, "\n")
	return before + after
}

func TestCommitAttacks(t *testing.T) {
	alice, bob := edKey(t), edKey(t)
	policy := commitsig.Policy{Signers: append(only("alice", alice).Signers, only("bob", bob).Signers...)}
	sign := func(key ssh.Signer, payload string) string {
		p := parts()
		p.payload = payload
		return fold(signSSH(t, key, "", p))
	}
	plain := headers + message
	good := sign(alice, plain)
	other := strings.Replace(plain, "1.4.2", "6.6.6", 1)
	crlf := strings.ReplaceAll(plain, "\n", "\r\n")
	for name, c := range map[string]struct{ raw, reason string }{
		"not signed":              {plain, "the commit is not signed"},
		"grafted":                 {strings.Replace(other, "\n\n", "\n"+good+"\n", 1), "the signature does not match the commit"},
		"two, same signer":        {headers + good + good + message, "more than one signature"},
		"two signers":             {headers + good + sign(bob, plain) + message, "more than one signature"},
		"second covers the first": {headers + good + sign(bob, headers+good+message) + message, "more than one signature"},
		"two of the other hash":   {headers + good + "gpgsig-sha256 a\ngpgsig-sha256 b\n" + message, "more than one signature"},
		"header added behind":     {headers + good + "encoding UTF-16\n" + message, "the signature does not match the commit"},
		"header added before":     {headers + "encoding UTF-16\n" + good + message, "the signature does not match the commit"},
		"between the others":      {strings.Replace(headers, "author", good+"author", 1) + message, "author and committer do not follow"},
		"parent added":            {strings.Replace(headers, "author", "parent "+strings.Repeat("1", 40)+"\nauthor", 1) + good + message, "the signature does not match the commit"},
		"parent removed":          {noParent() + good + message, "the signature does not match the commit"},
		"second tree":             {headers + "tree " + strings.Repeat("1", 40) + "\n" + good + message, "header tree stands twice"},
		"parent behind":           {headers + "parent " + strings.Repeat("1", 40) + "\n" + good + message, "header parent stands twice"},
		"second author, case":     {headers + "Author M <m@x> 1 +0000\n" + good + message, "header author stands twice"},
		"in the message":          {headers + "\n" + good + message, "the commit is not signed"},
		"in a continued line":     {headers + "x y\n " + strings.ReplaceAll(good, "\n", "\n ") + "\n" + message, "the commit is not signed"},
		"in a merged tag":         {headers + "mergetag object 00\n " + strings.ReplaceAll(strings.TrimSuffix(good, "\n"), "\n ", "\n  ") + "\n" + message, "the commit is not signed"},
		"other case":              {headers + strings.Replace(good, "gpgsig", "GPGSIG", 1) + message, "no signature of Git's"},
		"longer name":             {headers + strings.Replace(good, "gpgsig", "gpgsig-sha512", 1) + message, "no signature of Git's"},
		"other hash alone":        {headers + strings.Replace(good, "gpgsig", "gpgsig-sha256", 1) + message, "the commit is not signed"},
		"lines end in CRLF":       {strings.Replace(crlf, "\r\n\r\n", "\r\n"+strings.ReplaceAll(good, "\n", "\r\n")+"\r\n", 1), "a carriage return"},
		"CRLF in the message":     {headers + good + strings.ReplaceAll(message, "\n", "\r\n"), "the commit is malformed"},
		"line end added":          {headers + good + message + "\n", "the signature does not match the commit"},
		"zero byte in a header":   {headers + "x a\x00b\n" + good + message, "zero byte"},
		"begins with a blank":     {" " + headers + good + message, "begins with a continued line"},
		"no header":               {"\n" + plain, "does not begin with its tree"},
		"a tag":                   {"object 00\ntype commit\ntag v1\ntagger A <a> 1 +0000\n" + good + message, "does not begin with its tree"},
		"no end":                  {headers + good, "its headers have no end"},
		"no value":                {"tree\n" + headers + good + message, "is no header"},
		"no committer":            {strings.Split(headers, "committer")[0] + good + message, "author and committer do not follow"},
		"committer without time":  {strings.Replace(headers, "> 17", "> x17", 2) + good + message, "its committer has no time"},
		"empty":                   {"", "its headers have no end"},
	} {
		t.Run(name, func(t *testing.T) { refuses(t, policy, []byte(c.raw), now, c.reason) })
	}
	raw := []byte(headers + good + message)
	for bad, reason := range map[string]string{
		name([]byte(plain)): "the content is not that of commit", strings.ToUpper(name(raw)): "the content is not that of commit",
		name256([]byte(plain)): "the content is not that of commit", "": "is no id", name(raw)[:39]: "is no id", "HEAD": "is no id",
	} {
		s, err := policy.Verify(raw, bad, now)
		wantRefused(t, s, err, reason)
	}
	// In a SHA-256 repository the other header counts.
	s, err := policy.Verify(raw, name256(raw), now)
	wantRefused(t, s, err, "the commit is not signed")
	raw = []byte(headers + strings.Replace(good, "gpgsig", "gpgsig-sha256", 1) + message)
	if s, err := policy.Verify(raw, name256(raw), now); err != nil || s.Identity != "alice" {
		t.Errorf("SHA-256: %+v, %v", s, err)
	}
	large := []byte(headers + good + "\n" + strings.Repeat("x", 10<<20))
	if _, err := policy.Verify(large, name(large), now); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a commit of 10 MiB: %v, want it too large", err)
	}
}

func TestWhoHolds(t *testing.T) {
	alice, next := edKey(t), edKey(t)
	turn := now.Add(-time.Hour)
	policy := commitsig.Policy{Signers: []commitsig.Signer{
		{Identity: "alice", SSH: []string{line(alice)}, Until: turn},
		{Identity: "alice", SSH: []string{line(next)}, From: turn},
	}}
	old, recent := commit(signSSH(t, alice, "", parts())), commit(signSSH(t, next, "", parts()))
	refuses(t, policy, old, now, "signer alice's key holds until 2026-03-02T11:00:00Z")
	refuses(t, policy, old, turn, "signer alice's key holds until 2026-03-02T11:00:00Z")
	refuses(t, policy, recent, turn.Add(-time.Nanosecond), "signer alice's key holds from 2026-03-02T11:00:00Z on")
	if s, err := policy.Verify(old, name(old), turn.Add(-time.Nanosecond)); err != nil || s.Identity != "alice" {
		t.Errorf("before the turn: %+v, %v", s, err)
	}
	if s, err := policy.Verify(recent, name(recent), turn); err != nil || s.Identity != "alice" {
		t.Errorf("at the turn: %+v, %v", s, err)
	}
	// A signer who left, and a policy that names nobody.
	policy.Signers = policy.Signers[:1]
	refuses(t, policy, recent, now, "signed by a key that no signer has (SHA256:")
	refuses(t, commitsig.Policy{}, recent, now, "signed by a key that no signer has (SHA256:")
	// A policy with a mistake decides nothing, whoever signed.
	policy = commitsig.Policy{Signers: append(only("alice", next).Signers, commitsig.Signer{Identity: "bob", SSH: []string{"ssh-ed25519 AAAA"}})}
	if s, err := policy.Verify(recent, name(recent), now); !fault.Is(err, fault.Invalid) || fault.As(err).Field != "signers[1].ssh[0]" {
		t.Errorf("a malformed policy decided: %+v, %v", s, err)
	}
	if got := fmt.Sprint(commitsig.Policy{}.Check()); got != "<nil>" {
		t.Errorf("the empty policy: %s", got)
	}
}
