package e2e_test

import (
	"encoding/pem"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdGitHost serves the bare repositories in $WORK/hosted by Git's own server, over HTTPS. A
// server that is started afterwards believes its certificate.
func cmdGitHost(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "git-host")
	w := worldOf(ts)
	out, err := exec.Command("git", "--exec-path").Output()
	ts.Check(err)
	root := ts.MkAbs("hosted")
	ts.Check(os.MkdirAll(root, 0o700))
	host := httptest.NewTLSServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	})
	w.visitors = append(w.visitors, host.Close)
	ts.Setenv("GIT_HOST", host.URL)
	ts.Check(os.WriteFile(ts.MkAbs("git-host.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: host.Certificate().Raw}), 0o600))
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("git-host.pem"))
}

// cmdCommit commits all that changed in a work tree, and sets COMMIT.
func cmdCommit(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "commit NAME DIRECTORY MESSAGE [KEYFILE]")
	dir := []string{"-C", ts.MkAbs(args[1])}
	cmdGit(ts, false, append(append([]string{args[0]}, dir...), "add", "-A"))
	commit := append(append([]string{args[0]}, dir...), "commit", "-q", "--allow-empty", "-m", args[2])
	if len(args) > 3 {
		signing := []string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + ts.MkAbs(args[3])}
		commit = append(append(append([]string{args[0]}, dir...), signing...), "commit", "-q", "--allow-empty", "-S", "-m", args[2])
	}
	cmdGit(ts, false, commit)
	cmdGit(ts, false, append(append([]string{args[0]}, dir...), "rev-parse", "HEAD"))
	ts.Setenv("COMMIT", strings.TrimSpace(ts.ReadFile("stdout")))
}
