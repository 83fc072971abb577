package commitsig_test

import (
	"crypto/dsa" //nolint:staticcheck // a key that must be refused
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"drawbridge/internal/commitsig"
	"drawbridge/internal/fault"
)

func TestCheck(t *testing.T) {
	alice := edKey(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	var old dsa.PrivateKey
	if err := dsa.GenerateParameters(&old.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&old, rand.Reader); err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{Key: alice.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, edKey(t)); err != nil {
		t.Fatal(err)
	}
	good := commitsig.Signer{Identity: "bob@example.com", SSH: []string{line(edKey(t)), line(rsaKey(t)) + "\n"}, GPG: []string{exported(t, pgpKey(t, on(born)))}}
	keys := func(lines ...string) commitsig.Signer { return commitsig.Signer{Identity: "alice", SSH: lines} }
	for name, c := range map[string]struct {
		signer commitsig.Signer
		want   string
	}{
		"no identity":     {commitsig.Signer{SSH: keys(line(alice)).SSH}, `signers[1].identity: "" is no identity`},
		"lines in it":     {commitsig.Signer{Identity: "a\nb", SSH: keys(line(alice)).SSH}, `signers[1].identity: "a\nb" is no identity`},
		"long identity":   {commitsig.Signer{Identity: strings.Repeat("a", 129), SSH: keys(line(alice)).SSH}, "signers[1].identity: "},
		"no key":          {commitsig.Signer{Identity: "alice"}, "signers[1]: signer alice has no key"},
		"empty line":      {keys(line(alice), ""), "signers[1].ssh[1]: it is no SSH public key"},
		"comment":         {keys("# " + line(alice)), "signers[1].ssh[0]: it is no SSH public key"},
		"two lines":       {keys(line(alice) + "\n" + line(edKey(t))), "signers[1].ssh[0]: it is no SSH public key"},
		"no base64":       {keys("ssh-ed25519 nothing"), "signers[1].ssh[0]: it is no SSH public key"},
		"other type":      {keys(strings.Replace(line(alice), "ssh-ed25519", "ssh-rsa", 1)), "signers[1].ssh[0]: "},
		"cut":             {keys(line(alice)[:50]), "signers[1].ssh[0]: it is no SSH public key"},
		"options":         {keys(`from="10.0.0.1" ` + line(alice)), "signers[1].ssh[0]: options before the key"},
		"authority":       {keys("cert-authority " + line(alice)), "signers[1].ssh[0]: options before the key"},
		"allowed signer":  {keys("alice " + line(alice)), "signers[1].ssh[0]: options before the key"},
		"certificate":     {keys(string(ssh.MarshalAuthorizedKey(certificate))), `signers[1].ssh[0]: a key of type "ssh-ed25519-cert-v01@openssh.com" may not sign`},
		"DSA":             {keys(line(sshKey(t, &old))), `signers[1].ssh[0]: a key of type "ssh-dss" may not sign`},
		"RSA of 1024":     {keys(line(sshKey(t, small))), "signers[1].ssh[0]: an RSA key has 2048 to 16384 bits, not 1024"},
		"private":         {keys("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"), "signers[1].ssh[0]: this is a private key"},
		"too long":        {keys(line(alice) + strings.Repeat(" x", 10<<10)), "signers[1].ssh[0]: the key has"},
		"twice":           {keys(line(alice), line(alice)+" again"), "signers[1].ssh[1]: this key is also signers[1].ssh[0]"},
		"somebody else's": {keys(good.SSH[0]), "signers[1].ssh[0]: this key is also signers[0].ssh[0]"},
		"GPG of another":  {commitsig.Signer{Identity: "alice", GPG: good.GPG}, "signers[1].gpg[0]: this key is also signers[0].gpg[0]"},
		"until is first":  {commitsig.Signer{Identity: "alice", SSH: keys(line(alice)).SSH, From: now, Until: now}, "signers[1].until: until is not after from"},
	} {
		err := commitsig.Policy{Signers: []commitsig.Signer{good, c.signer}}.Check()
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if err := (commitsig.Policy{Signers: []commitsig.Signer{good, keys(line(alice))}}).Check(); err != nil {
		t.Errorf("a good policy: %v", err)
	}
	many := commitsig.Policy{Signers: make([]commitsig.Signer, 1001)}
	if err := many.Check(); fault.As(err) == nil || fault.As(err).Field != "signers" {
		t.Errorf("too many signers: %v", err)
	}
}

func TestPolicyJSON(t *testing.T) {
	src := `{"signers":[{"identity":"alice","ssh":["ssh-ed25519 AAAA"],"until":"2026-03-02T12:00:00Z"}]}`
	var p commitsig.Policy
	if err := json.Unmarshal([]byte(src), &p); err != nil {
		t.Fatal(err)
	}
	if !p.Signers[0].Until.Equal(now) || !p.Signers[0].From.Equal(time.Time{}) {
		t.Errorf("read %+v", p)
	}
	if b, err := json.Marshal(p); err != nil || string(b) != src {
		t.Errorf("wrote %s, %v, want %s", b, err, src)
	}
}
