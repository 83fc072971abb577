package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// pause is between two looks at something that comes about by itself.
func pause() {
	timer := time.NewTimer(30 * time.Millisecond)
	<-timer.C
}

// until looks again and again, until it holds.
func (w *world) until(ts *testscript.TestScript, what string, look func() (ok bool, seen string, err error)) {
	for deadline := time.Now().Add(patience); ; pause() {
		ok, seen, err := look()
		if err != nil {
			ts.Fatalf("%s: %v\n%s", what, err, w.tail())
		}
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not come about: %s\n%s", what, seen, w.tail())
		}
	}
}

// list reads a page of things as the admin.
func list[T any](w *world, ts *testscript.TestScript, path string) ([]T, error) {
	var page api.List[T]
	err := w.api(ts).Get(context.Background(), path, &page)
	return page.Items, err
}

func (w *world) api(ts *testscript.TestScript) *client.Client {
	c, err := client.New(client.Config{Server: ts.Getenv("DRAWBRIDGE_SERVER"), Token: w.tokens["admin"]})
	ts.Check(err)
	return c
}

func cmdWaitRun(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-run NAME STATE")
	w := worldOf(ts)
	if err := w.git(ts, "-", "-C", filepath.Join(w.dir, args[0]), "rev-parse", "HEAD"); err != nil {
		ts.Fatalf("git rev-parse: %v", err)
	}
	commit := strings.TrimSpace(ts.ReadFile("stdout"))
	w.until(ts, "a run of "+commit+" that "+args[1], func() (bool, string, error) {
		runs, err := list[api.Run](w, ts, "/api/v1/runs?limit=20&repository="+args[0])
		for _, r := range runs {
			if r.Commit != commit {
				continue
			}
			seen := fmt.Sprintf("run %d is %s: %s", r.ID, r.State, r.Reason)
			if string(r.State) == args[1] {
				ts.Setenv("RUN", strconv.FormatInt(r.ID, 10))
				ts.Setenv("REASON", r.Reason)
				return true, "", nil
			}
			if r.Ended != nil {
				return false, "", fmt.Errorf("%s\n%s", seen, w.runLog(ts, r.ID))
			}
			return false, seen, nil
		}
		return false, "there is none", err
	})
}

// runLog is what a run wrote, for a story that expected another end.
func (w *world) runLog(ts *testscript.TestScript, run int64) string {
	w.become(ts, "admin")
	_ = ts.Exec("drawbridge", "run", "logs", strconv.FormatInt(run, 10))
	return ts.ReadFile("stdout")
}

func cmdWaitHandoff(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-handoff TAG STATE")
	w := worldOf(ts)
	w.until(ts, "a handoff of "+args[0], func() (bool, string, error) {
		handoffs, err := list[api.Handoff](w, ts, "/api/v1/handoffs?limit=50")
		for _, h := range handoffs {
			if !strings.Contains(h.Image, ":"+args[0]+"@") {
				continue
			}
			if string(h.State) != args[1] {
				return false, "", fmt.Errorf("handoff %d is %s: %s", h.ID, h.State, h.Reason)
			}
			ts.Setenv("HANDOFF", strconv.FormatInt(h.ID, 10))
			ts.Setenv("REASON", h.Reason)
			return true, "", nil
		}
		return false, "there is none", err
	})
}

func cmdWaitPromotion(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "wait-promotion VERSION ENVIRONMENT STATE[/SIGNAL]")
	w := worldOf(ts)
	state, signal, _ := strings.Cut(args[2], "/")
	w.until(ts, "a promotion of "+args[0]+" to "+args[1]+" that is "+args[2], func() (bool, string, error) {
		promotions, err := list[api.Promotion](w, ts, "/api/v1/promotions?limit=50&application=shop&environment="+args[1])
		for _, p := range promotions {
			if p.Version != args[0] {
				continue
			}
			seen := fmt.Sprintf("promotion %d is %s %s: %s", p.ID, p.State, p.Signal, p.Reason)
			if string(p.State) == state && (signal == "" || string(p.Signal) == signal) {
				ts.Setenv("PROMOTION", strconv.FormatInt(p.ID, 10))
				ts.Setenv("PLAN", p.Plan.String())
				ts.Setenv("REASON", p.Reason)
				return true, "", nil
			}
			if p.State.Ended() {
				return false, "", fmt.Errorf("%s", seen)
			}
			return false, seen, nil
		}
		return false, "there is none", err
	})
}

func cmdWaitLive(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-live ENVIRONMENT VERSION")
	w := worldOf(ts)
	w.until(ts, args[0]+" with "+args[1], func() (bool, string, error) {
		environments, err := list[cd.Status](w, ts, "/api/v1/status")
		for _, st := range environments {
			if st.Environment != args[0] {
				continue
			}
			if st.Version == args[1] && st.Coming == "" && serving(st) {
				ts.Setenv("ADDRESS", st.Address)
				return true, "", nil
			}
			return false, fmt.Sprintf("it runs %q, %q is %s: %s", st.Version, st.Coming, st.State, st.Reason), err
		}
		return false, "there is no such environment", err
	})
}

// serving reports whether one version has all the traffic, and is healthy.
func serving(st cd.Status) bool {
	return len(st.Traffic) == 1 && st.Traffic[0].Weight == 100 && st.Traffic[0].Healthy && st.Traffic[0].Version == st.Version
}

func cmdWaitLog(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-log RUN TEXT")
	w := worldOf(ts)
	run, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	w.until(ts, "the text in the log", func() (bool, string, error) {
		log := w.runLog(ts, run)
		return strings.Contains(log, args[1]), log, nil
	})
}

func cmdWaitWhy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-why ENVIRONMENT TEXT")
	w := worldOf(ts)
	w.until(ts, "the text in why "+args[0], func() (bool, string, error) {
		answers, err := list[api.Answer](w, ts, "/api/v1/why?about="+args[0])
		seen := fmt.Sprint(answers)
		return strings.Contains(seen, args[1]), seen, err
	})
}

func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "wait-file FILE TEXT")
	file := ts.MkAbs(args[0])
	worldOf(ts).until(ts, "the text in "+args[0], func() (bool, string, error) {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			return false, "there is no such file", nil
		}
		return strings.Contains(string(text), args[1]), string(text), err
	})
}
