package commitsig

import (
	"fmt"
	"slices"
)

// maxSigners bounds how many signers a policy has.
const maxSigners = 1000

// keyring is the keys of a policy, read. It is made anew for each verification: the OpenPGP
// library notes in its keys what it has found, by the time at which it was asked.
type keyring struct {
	ssh map[string]sshKey // by the key on the wire
	gpg []gpgKey
}

// keys reads the keys of the kinds that are asked for and checks all else of the policy.
func (p Policy) keys(kinds ...Kind) (keyring, error) {
	ring := keyring{ssh: map[string]sshKey{}}
	if len(p.Signers) > maxSigners {
		return ring, invalid("signers", "%d signers are more than %d", len(p.Signers), maxSigners)
	}
	for i, s := range p.Signers {
		if err := s.check(fmt.Sprintf("signers[%d]", i)); err != nil {
			return ring, err
		}
		if slices.Contains(kinds, SSH) {
			if err := ring.addSSH(i, s.SSH); err != nil {
				return ring, err
			}
		}
		if slices.Contains(kinds, GPG) {
			if err := ring.addGPG(i, s.GPG); err != nil {
				return ring, err
			}
		}
	}
	return ring, nil
}

func (r *keyring) addSSH(signer int, lines []string) error {
	for j, line := range lines {
		path := at(signer, "ssh", j)
		key, err := parseSSH(path, line)
		if err != nil {
			return err
		}
		if k, twice := r.ssh[string(key.Marshal())]; twice {
			return repeated(path, k.path)
		}
		r.ssh[string(key.Marshal())] = sshKey{signer: signer, path: path, public: key}
	}
	return nil
}

func (r *keyring) addGPG(signer int, blocks []string) error {
	for j, block := range blocks {
		path := at(signer, "gpg", j)
		entities, err := parseGPG(path, block)
		if err != nil {
			return err
		}
		for _, e := range entities {
			k := gpgKey{signer: signer, path: path, entity: e}
			same := func(o gpgKey) bool { return o.fingerprint() == k.fingerprint() }
			if i := slices.IndexFunc(r.gpg, same); i >= 0 {
				return repeated(path, r.gpg[i].path)
			}
			r.gpg = append(r.gpg, k)
		}
	}
	return nil
}

func repeated(path, first string) error {
	return invalid(path, "this key is also %s", first).WithHint("one key stands for one signer")
}
