package commitsig_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/commitsig"
)

// gitRepo is a repository that the real git and its signing tools write.
type gitRepo struct {
	t    *testing.T
	home string
	dir  string
}

// newGit makes a repository whose git knows nothing of this machine's settings and keys.
func newGit(t *testing.T, format string, tools ...string) gitRepo {
	t.Helper()
	for _, tool := range append(tools, "git") {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: it makes the commits of this test", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
	home := t.TempDir()
	g := gitRepo{t: t, home: home, dir: filepath.Join(home, "repo")}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g.run("git", "init", "-q", "-b", "main", "--object-format="+format)
	g.run("git", "config", "user.name", "Alice")
	g.run("git", "config", "user.email", "alice@example.com")
	return g
}

// run runs a tool in the repository and gives what it prints.
func (g gitRepo) run(tool string, args ...string) []byte {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), tool, args...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "GNUPGHOME=" + g.home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// sshKey makes a key, lets git sign with it, and returns its public line.
func (g gitRepo) sshKey(file string, options ...string) string {
	g.t.Helper()
	path := filepath.Join(g.home, file)
	g.run("ssh-keygen", append([]string{"-q", "-N", "", "-C", "alice@example.com", "-f", path}, options...)...)
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		g.t.Fatal(err)
	}
	g.run("git", "config", "gpg.format", "ssh")
	g.run("git", "config", "user.signingkey", path)
	return string(public)
}

// commit commits a change and returns the object and its id.
func (g gitRepo) commit(content string, options ...string) (raw []byte, id string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "staging.yaml"), []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.run("git", "add", "-A")
	g.run("git", append([]string{"commit", "-q", "-m", "staging: " + content}, options...)...)
	return g.head()
}

func (g gitRepo) head() (raw []byte, id string) {
	g.t.Helper()
	return g.run("git", "cat-file", "commit", "HEAD"), strings.TrimSpace(string(g.run("git", "rev-parse", "HEAD")))
}

// later is a time after what the tools have just done, by the clock that they read.
func (g gitRepo) later() time.Time {
	g.t.Helper()
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(g.run("git", "log", "-1", "--format=%ct"))), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return time.Unix(seconds, 0).Add(time.Minute)
}

func TestGitSSH(t *testing.T) {
	for name, c := range map[string]struct {
		format  string
		options []string
	}{
		"ed25519":            {"sha1", []string{"-t", "ed25519"}},
		"rsa":                {"sha1", []string{"-t", "rsa", "-b", "3072"}},
		"ecdsa":              {"sha1", []string{"-t", "ecdsa", "-b", "384"}},
		"SHA-256 repository": {"sha256", []string{"-t", "ed25519"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGit(t, c.format, "ssh-keygen")
			public := g.sshKey("key", c.options...)
			policy := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "alice", SSH: []string{public}}}}
			if err := policy.Check(); err != nil {
				t.Fatal(err)
			}
			raw, id := g.commit("shop 1", "-S")
			s, err := policy.Verify(raw, id, g.later())
			if err != nil || s.Identity != "alice" || s.Kind != commitsig.SSH {
				t.Fatalf("Verify = %+v, %v of\n%s", s, err, raw)
			}
			if printed := string(g.run("ssh-keygen", "-l", "-f", filepath.Join(g.home, "key.pub"))); !strings.Contains(printed, s.Key) {
				t.Errorf("key %s, want that of %s", s.Key, printed)
			}
			raw, id = g.commit("shop 2")
			s, err = policy.Verify(raw, id, g.later())
			wantRefused(t, s, err, "the commit is not signed")
			g.sshKey("other", "-t", "ed25519")
			raw, id = g.commit("shop 3", "-S")
			s, err = policy.Verify(raw, id, g.later())
			wantRefused(t, s, err, "signed by a key that no signer has (SHA256:")
		})
	}
}

// A merge of a signed tag carries the tag's signature too; a file that is signed by hand carries
// the same kind of armour.
func TestGitMergeAndFile(t *testing.T) {
	g := newGit(t, "sha1", "ssh-keygen")
	mallory := g.sshKey("mallory", "-t", "ed25519")
	g.commit("shop 1")
	g.run("git", "checkout", "-q", "-b", "side")
	g.commit("shop 2")
	g.run("git", "tag", "-s", "v2", "-m", "v2")
	g.run("git", "checkout", "-q", "main")
	alice := g.sshKey("alice", "-t", "ed25519")
	g.run("git", "merge", "-q", "--no-ff", "-S", "-m", "merge v2", "v2")
	raw, id := g.head()
	if !strings.Contains(string(raw), "\nmergetag object ") || strings.Count(string(raw), "-----BEGIN SSH SIGNATURE-----") != 2 {
		t.Fatalf("git made another merge than this test needs:\n%s", raw)
	}
	byAlice := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "alice", SSH: []string{alice}}}}
	byMallory := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "mallory", SSH: []string{mallory}}}}
	if s, err := byAlice.Verify(raw, id, g.later()); err != nil || s.Identity != "alice" {
		t.Errorf("Verify = %+v, %v of\n%s", s, err, raw)
	}
	s, err := byMallory.Verify(raw, id, g.later())
	wantRefused(t, s, err, "signed by a key that no signer has")
	g.run("git", "reset", "-q", "--hard", "HEAD^")
	g.run("git", "merge", "-q", "--no-ff", "-m", "merge v2", "v2")
	raw, id = g.head()
	s, err = byMallory.Verify(raw, id, g.later())
	wantRefused(t, s, err, "the commit is not signed")

	// What alice signed as a file does not sign a commit of the same bytes.
	raw, _ = g.commit("shop 3")
	file := filepath.Join(g.home, "payload")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for namespace, reason := range map[string]string{"file": "not for git", "git": ""} {
		g.run("ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", filepath.Join(g.home, "alice"), file)
		armour, err := os.ReadFile(file + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file + ".sig"); err != nil {
			t.Fatal(err)
		}
		signed := []byte(strings.Replace(string(raw), "\n\n", "\n"+fold(string(armour))+"\n", 1))
		s, err := byAlice.Verify(signed, name(signed), g.later())
		if reason == "" {
			if err != nil || s.Identity != "alice" {
				t.Errorf("in namespace git: %+v, %v", s, err)
			}
			continue
		}
		wantRefused(t, s, err, reason)
	}
}

func TestGitGPG(t *testing.T) {
	g := newGit(t, "sha1", "gpg", "gpgconf")
	t.Cleanup(func() { // the agent that gpg starts for this home
		cmd := exec.Command("gpgconf", "--homedir", g.home, "--kill", "all")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("stopping the agent: %v: %s", err, out)
		}
	})
	gpg := func(args ...string) []byte {
		return g.run("gpg", append([]string{"--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
	}
	add := func(user, algorithm string) string {
		gpg("--quick-generate-key", user, algorithm, "sign", "1y")
		return string(gpg("--armor", "--export", user))
	}
	alice, bob := add("alice@example.com", "ed25519"), add("bob@example.com", "rsa2048")
	policy := commitsig.Policy{Signers: []commitsig.Signer{{Identity: "alice", GPG: []string{alice}}, {Identity: "bob", GPG: []string{bob}}}}
	if err := policy.Check(); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"alice", "bob"} {
		raw, id := g.commit("shop of "+who, "-S"+who+"@example.com")
		s, err := policy.Verify(raw, id, g.later())
		if err != nil || s.Identity != who || s.Kind != commitsig.GPG {
			t.Fatalf("Verify = %+v, %v of\n%s", s, err, raw)
		}
		if listed := string(gpg("--with-colons", "--fingerprint", who+"@example.com")); !strings.Contains(listed, ":"+s.Key+":") {
			t.Errorf("key %s, want that of %s", s.Key, listed)
		}
		s, err = policy.Verify(raw, id, g.later().Add(2*365*24*time.Hour))
		wantRefused(t, s, err, "has expired")
	}
	// A weak hash, and a key that leaves the policy.
	payload := filepath.Join(g.home, "payload")
	if err := os.WriteFile(payload, []byte(headers+message), 0o600); err != nil {
		t.Fatal(err)
	}
	weak := commit(string(gpg("--local-user", "bob@example.com", "--digest-algo", "SHA1", "--allow-weak-digest-algos", "--armor", "--detach-sign", "--output", "-", payload)))
	s, err := policy.Verify(weak, name(weak), g.later())
	wantRefused(t, s, err, "the signature is too weak")
	raw, id := g.commit("shop again", "-Sbob@example.com")
	policy.Signers = policy.Signers[:1]
	s, err = policy.Verify(raw, id, g.later())
	wantRefused(t, s, err, "signed by a key that no signer has (")
}
