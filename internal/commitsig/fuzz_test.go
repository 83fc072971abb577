package commitsig_test

import (
	"strings"
	"testing"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

// Whatever bytes a commit has: the answer is a refusal in one line, or the signature of somebody
// who signed exactly what the commit says.
func FuzzVerify(f *testing.F) {
	alice, bob := edKey(f), pgpKey(f, on(born))
	policy := commitsig.Policy{Signers: []commitsig.Signer{
		{Identity: "alice", SSH: []string{line(alice)}},
		{Identity: "bob", GPG: []string{exported(f, bob)}},
	}}
	bySSH, byGPG := commit(signSSH(f, alice, "", parts())), commit(signGPG(f, bob, at(born)))
	for _, seed := range [][]byte{
		bySSH, byGPG,
		[]byte(headers + message),
		{},
		[]byte("tree \n\n"),
		[]byte(strings.ReplaceAll(string(bySSH), "\n", "\r\n")),
		[]byte(headers + "mergetag x\n gpgsig y\ngpgsig\n\n"),
		commit("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----"),
		commit("-----BEGIN PGP SIGNATURE-----\n\nwsB\n=AAAA\n-----END PGP SIGNATURE-----"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, id := range []string{name(raw), name256(raw)} {
			s, err := policy.Verify(raw, id, now)
			if err == nil {
				if !strings.HasPrefix(string(raw), headers) || !strings.HasSuffix(string(raw), message) {
					t.Errorf("%s did not sign %q", s.Identity, raw)
				}
				continue
			}
			if e := fault.As(err); e == nil || (e.Kind != fault.Refused && e.Kind != fault.TooLarge) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v is no refusal in one line", err)
			}
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add(line(edKey(f)), exported(f, pgpKey(f, on(born))))
	f.Add("cert-authority ssh-rsa AAAA", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----")
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "")
	f.Fuzz(func(t *testing.T, key, block string) {
		for _, s := range []commitsig.Signer{{Identity: "a", SSH: []string{key}}, {Identity: "a", GPG: []string{block}}} {
			if err := (commitsig.Policy{Signers: []commitsig.Signer{s}}).Check(); err != nil && (!fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v is no mistake of the policy in one line", err)
			}
		}
	})
}
