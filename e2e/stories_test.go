package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories runs every script of testdata/stories against one build of the program.
func TestStories(t *testing.T) {
	requireSandbox(t)
	programs := buildPrograms(t)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/stories",
		RequireUniqueNames: true,
		Setup:              func(env *testscript.Env) error { return setUp(t, env, programs) },
		Cmds:               commands,
	})
}

// commands is what a script may say.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"server":         cmdServer,        // server start [FLAG...] | stop | kill
	"token":          cmdToken,         // token NAME ROLE [FLAG...]: a person gets a token
	"ci-token":       cmdCIToken,       // ci-token: the name ci stands for CI's own token
	"as":             cmdAs,            // as NAME COMMAND...: drawbridge, and it must succeed
	"refuse":         cmdRefuse,        // refuse CODE NAME COMMAND...: drawbridge, and it must end with the exit code and one line
	"git":            cmdGit,           // [!] git NAME ARGUMENT...: plain git in the current directory
	"sample":         cmdSample,        // sample NAME: a work tree of the sample application in $WORK/NAME
	"release":        cmdRelease,       // release VERSION [MODE]: alice commits the shop as that version and pushes main
	"wait-run":       cmdWaitRun,       // wait-run NAME STATE: of the commit in $WORK/NAME; sets RUN
	"wait-handoff":   cmdWaitHandoff,   // wait-handoff TAG STATE; sets HANDOFF and REASON
	"wait-promotion": cmdWaitPromotion, // wait-promotion VERSION ENVIRONMENT STATE[/SIGNAL]; sets PROMOTION, PLAN and REASON
	"wait-live":      cmdWaitLive,      // wait-live ENVIRONMENT VERSION: and nothing moves; sets ADDRESS
	"wait-log":       cmdWaitLog,       // wait-log RUN TEXT: the run's log holds it
	"wait-why":       cmdWaitWhy,       // wait-why ENVIRONMENT TEXT: the answer holds it
	"wait-file":      cmdWaitFile,      // wait-file FILE TEXT
	"http":           cmdHTTP,          // http NAME METHOD PATH|HOST:PORT/PATH STATUS [BODYFILE [MEDIA]]
	"traffic":        cmdTraffic,       // traffic ADDRESS: visitors until the script ends
	"image":          cmdImage,         // [!] image NAME IMAGE TAG TEXT: pushes an image with one file by hand
	"sqlite":         cmdSQLite,        // sqlite FILE STATEMENT
	"fill":           cmdFill,          // fill: posts events until the server is full; sets ACCEPTED
	"seed-cache":     cmdSeedCache,     // seed-cache: SEED is a Go build cache for the demo
	"more-pages":     cmdMorePages,     // more-pages N: PAGES is N more than VALUE
	"token-id":       cmdTokenID,       // token-id NAME; sets TOKEN_ID
	"follow":         cmdFollow,        // follow NAME RUN FILE: logs -f in the background
	"followed":       cmdFollowed,      // followed: logs -f has ended by itself
	"kept":           cmdKept,          // kept: every event that was accepted is there, and was worked on
	"registry":       cmdRegistry,      // registry start | away | missed | back: a foreign registry; sets REGISTRY
	"signer":         cmdSigner,        // signer NAME [unknown]: a foreign CI's key, believed unless it is unknown
	"build":          cmdBuild,         // build IMAGE TAG SIGNER|- [COMMIT]: a foreign CI builds and pushes; sets DIGEST and COMMIT
	"receiver":       cmdReceiver,      // receiver NAME TYPE APPLICATION [FLAG...]; sets SECRET_NAME and HOOK_NAME
	"new-secret":     cmdNewSecret,     // new-secret NAME FILE: of a receiver; sets SECRET_NAME
	"fixture":        cmdFixture,       // fixture SENDER/NAME FILE [OLD NEW]...: the body of a recorded delivery, changed
	"expand":         cmdExpand,        // expand FILE...: writes $NAME out
	"hook":           cmdHook,          // hook ADDRESS|RECEIVER SCHEME:SECRETOF STATUS FILE [HEADER=VALUE]...: a sender posts
	"wait-outcome":   cmdWaitOutcome,   // wait-outcome APPLICATION/TRIGGER STATE [TEXT]: the next such handoff; sets HANDOFF, EVENT and REASON
	"wait-event":     cmdWaitEvent,     // wait-event RECEIVER STATE [TEXT]; sets EVENT
	"wait-poll":      cmdWaitPoll,      // wait-poll APPLICATION/TRIGGER TEXT: its clock says so
	"wait-drift":     cmdWaitDrift,     // wait-drift ENVIRONMENT STATED [none]
	"stays":          cmdStays,         // stays ENVIRONMENT VERSION|-: it runs that, and nothing is on its way
	"count":          cmdCount,         // count PATH N: the API lists so many there
	"issuer":         cmdIssuer,        // issuer: of another CI's identity tokens; sets ISSUER
	"id-token":       cmdIDToken,       // id-token FILE SUBJECT AUDIENCE [CLAIM=VALUE]...
	"exchange":       cmdExchange,      // exchange NAME FILE APPLICATION: NAME has the token that the identity token in FILE gives
	"git-host":       cmdGitHost,       // git-host: everybody reads the repositories in $WORK/hosted; sets GIT_HOST
	"commit":         cmdCommit,        // commit NAME DIRECTORY MESSAGE [KEYFILE]: all that changed, signed with the key; sets COMMIT
	"need":           cmdNeed,          // need PROGRAM...
	"said":           cmdSaid,          // [!] said TEXT...: the server's log holds each
	"keeps":          cmdKeeps,         // [!] keeps DIR TEXT...: some file below it holds one of them
}

// programs are what the stories run.
type programs struct {
	drawbridge string
	service    string // testdata/service
}

// buildPrograms builds the program as it is shipped; with the race detector when the
// tests have it and there is a C compiler.
func buildPrograms(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	p := programs{drawbridge: filepath.Join(dir, "drawbridge"), service: filepath.Join(dir, "service")}
	cgo, flags := "CGO_ENABLED=0", []string{}
	if _, err := exec.LookPath("gcc"); raceDetector && err == nil {
		cgo, flags = "CGO_ENABLED=1", []string{"-race"}
	}
	build(t, cgo, append(flags, "-o", p.drawbridge, "drawbridge/cmd/drawbridge")...)
	build(t, "CGO_ENABLED=0", "-trimpath", "-ldflags=-s -w", "-o", p.service, "./testdata/service")
	return p
}

func build(t *testing.T, cgo string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-buildvcs=false"}, args...)...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %v: %v\n%s", args, err, out)
	}
}

// setUp gives a script its world.
func setUp(t *testing.T, env *testscript.Env, p programs) error {
	w := &world{t: t, script: env.T(), programs: p, dir: env.WorkDir, tokens: map[string]string{}, secrets: map[string]string{}, outcomes: map[int64]bool{}}
	env.Values[worldKey{}] = w
	env.Defer(w.end)
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make a home: %w", err)
	}
	for _, v := range [][2]string{
		{"HOME", home},
		{"XDG_STATE_HOME", filepath.Join(home, "state")},
		{"XDG_CACHE_HOME", filepath.Join(home, "cache")},
		{"DATA", w.data()},
		{"LC_ALL", "C"},
		{"PATH", filepath.Dir(p.drawbridge) + string(os.PathListSeparator) + os.Getenv("PATH")},
	} {
		env.Setenv(v[0], v[1])
	}
	return nil
}

// requireSandbox fails in CI, and skips elsewhere, where user namespaces are forbidden.
func requireSandbox(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--pid", "--fork", "true")
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("user namespaces are needed: %v: %s", err, out)
	default:
		t.Skipf("user namespaces are needed: %v: %s", err, out)
	}
}
