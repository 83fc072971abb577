package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
)

// cmdWaitOutcome waits for a handoff of a trigger, the oldest that fits of those whose end
// the story has not waited for yet.
func cmdWaitOutcome(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-outcome APPLICATION/TRIGGER STATE [TEXT]")
	w := worldOf(ts)
	application, trigger, _ := strings.Cut(args[0], "/")
	text := strings.Join(args[2:], " ")
	w.until(ts, fmt.Sprintf("a handoff of %s that is %s: %q", args[0], args[1], text), func() (bool, string, error) {
		seen := "there is none"
		handoffs, err := list[api.Handoff](w, ts, "/api/v1/handoffs?limit=20&application="+application+"&trigger="+trigger)
		for _, h := range slices.Backward(handoffs) {
			if w.outcomes[h.ID] {
				continue
			}
			seen = fmt.Sprintf("handoff %d of event %d is %s: %s", h.ID, h.Event, h.State, h.Reason)
			if string(h.State) != args[1] || !strings.Contains(h.Reason, text) {
				continue
			}
			w.outcomes[h.ID] = h.State != bridge.Waiting
			ts.Setenv("HANDOFF", strconv.FormatInt(h.ID, 10))
			ts.Setenv("EVENT", strconv.FormatInt(h.Event, 10))
			ts.Setenv("REASON", h.Reason)
			return true, "", nil
		}
		return false, seen, err
	})
}

// cmdWaitEvent waits for an event of a receiver, the newest that fits.
func cmdWaitEvent(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-event RECEIVER STATE [TEXT]")
	w := worldOf(ts)
	text := strings.Join(args[2:], " ")
	w.until(ts, fmt.Sprintf("an event of %s that is %s: %q", args[0], args[1], text), func() (bool, string, error) {
		seen := "there is none"
		events, err := list[api.Event](w, ts, "/api/v1/events?limit=20&receiver="+args[0])
		for _, e := range events {
			about := fmt.Sprintf("event %d is %s after %d tries: %s %s %s", e.ID, e.State, e.Attempts, e.Subject, e.Artifact, e.Reason)
			if string(e.State) == args[1] && strings.Contains(about, text) {
				ts.Setenv("EVENT", strconv.FormatInt(e.ID, 10))
				return true, "", nil
			}
			seen = about
		}
		return false, seen, err
	})
}

// cmdWaitPoll waits until a clock of a trigger says something.
func cmdWaitPoll(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-poll APPLICATION/TRIGGER TEXT")
	w := worldOf(ts)
	w.until(ts, "the clock of "+args[0]+" that says "+args[1], func() (bool, string, error) {
		var t api.Trigger
		err := w.api(ts).Get(context.Background(), "/api/v1/triggers/"+args[0], &t)
		said := slices.ContainsFunc(t.Polls, func(p api.Poll) bool { return strings.Contains(p.Reason, args[1]) })
		return said, fmt.Sprintf("%+v", t.Polls), err
	})
}

// cmdCount counts what an address of the API lists, and compares.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "count PATH N")
	items, err := list[json.RawMessage](worldOf(ts), ts, args[0])
	ts.Check(err)
	if strconv.Itoa(len(items)) != args[1] {
		ts.Fatalf("%s lists %d things, want %s: %s", args[0], len(items), args[1], items)
	}
}

// cmdWaitDrift waits until an environment has drifted, or has not.
func cmdWaitDrift(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-drift ENVIRONMENT STATED [none]")
	w := worldOf(ts)
	drifted := len(args) == 2
	w.until(ts, "the drift of "+args[0], func() (bool, string, error) {
		environments, err := list[api.Status](w, ts, "/api/v1/status")
		i := slices.IndexFunc(environments, func(st api.Status) bool { return st.Environment == args[0] })
		if i < 0 || environments[i].Expected == nil {
			return false, "nothing is stated", err
		}
		e := environments[i].Expected
		return e.Drifted == drifted && e.Version == args[1], fmt.Sprintf("%s is stated; drifted: %v", e.Version, e.Drifted), err
	})
}

// cmdStays looks at an environment that must not have moved.
func cmdStays(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "stays ENVIRONMENT VERSION|-")
	environments, err := list[cd.Status](worldOf(ts), ts, "/api/v1/status")
	ts.Check(err)
	for _, st := range environments {
		if st.Environment == args[0] && st.Coming == "" && (st.Version == args[1] || st.Version == "" && args[1] == "-") {
			return
		}
	}
	ts.Fatalf("%s does not stay at %s: %+v", args[0], args[1], environments)
}

// cmdNeed ends the story where a program is missing: as a failure in CI.
func cmdNeed(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "need PROGRAM...")
	for _, program := range args {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			ts.Fatalf("%s is needed", program)
		}
		worldOf(ts).script.Skip(program + " is needed")
	}
}

// cmdSaid looks for texts in what the server has logged since it started.
func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] said TEXT...")
	}
	w := worldOf(ts)
	for _, text := range args {
		if text == "" || strings.Contains(w.server.said(), text) == neg {
			ts.Fatalf("the log holds %q: %v\n%s", text, !neg, w.tail())
		}
	}
}

// cmdKeeps looks for texts in every file of the data directory, whatever its format.
//
// What is on disk is looked at while the server runs.
func cmdKeeps(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] keeps DIR TEXT...")
	}
	var holds []string
	root := ts.MkAbs(args[0])
	ts.Check(eachFile(root, func(path string, content string) {
		for _, text := range args[1:] {
			for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.RawStdEncoding.EncodeToString([]byte(text))} {
				if text == "" || strings.Contains(content, form) {
					holds = append(holds, path+": "+form)
				}
			}
		}
	}))
	if (len(holds) > 0) == neg {
		ts.Fatalf("files of %s that hold the texts: %q", args[0], holds)
	}
}

// eachFile reads the regular files below root. A database may be in use.
func eachFile(root string, look func(path, content string)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // it was a passing one
		}
		look(path, string(content))
		return err
	})
}
