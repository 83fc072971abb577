package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/web/api"
)

func parse(image string) (artifact.Reference, error) { return artifact.ParseReference(image) }

// build is the third step: the run of the first push.
func (s *story) build(ctx context.Context) (string, error) {
	r, err := s.run(ctx, "shop", 0)
	if err != nil {
		return "", err
	}
	if r.State != ci.RunSucceeded || len(r.Published) != 1 {
		return "", fmt.Errorf("run %d %s: %s\n%s", r.ID, r.State, r.Reason, s.logs(ctx, r.ID))
	}
	var detail strings.Builder
	_, _ = fmt.Fprintf(&detail, "run %d of %s by %s:", r.ID, r.Ref, r.Pusher)
	for _, j := range r.Jobs {
		for _, st := range j.Steps {
			_, _ = fmt.Fprintf(&detail, "\n  %-6s %-22s exit %d  %5d ms", j.Key, st.Name, st.Exit, st.Millis)
		}
	}
	p := r.Published[0]
	return detail.String() + fmt.Sprintf("\npublished %s@%s as %s", p.Image, short(p.Digest), strings.Join(p.Tags, ", ")), nil
}

// logs is the end of a run's log, for a step that failed.
func (s *story) logs(ctx context.Context, run int64) string {
	out, err := s.command(ctx, "ops", "run", "logs", strconv.FormatInt(run, 10))
	if err != nil {
		return err.Error()
	}
	return out[max(0, len(out)-2000):]
}

// handoff is the fourth step.
func (s *story) handoff(ctx context.Context) (string, error) {
	h, err := s.outcome(ctx, "1.0.0")
	if err != nil {
		return "", err
	}
	if h.State != bridge.Accepted {
		return "", fmt.Errorf("handoff %d is %s: %s", h.ID, h.State, h.Reason)
	}
	out, err := s.command(ctx, "ops", "release", "verify", "shop@1.0.0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("handoff %d accepted: %s\n$ drawbridge release verify shop@1.0.0\n%s", h.ID, h.Reason, out), nil
}

// dev is the fifth step.
func (s *story) dev(ctx context.Context) (string, error) {
	st, err := s.live(ctx, "dev", "1.0.0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$ curl http://%s/  → version 1.0.0", st.Address), must(ctx, st.Address, "1.0.0")
}

// production is the sixth step: who may approve, and a first release in production.
func (s *story) production(ctx context.Context) (string, error) {
	if _, err := s.live(ctx, "staging", "1.0.0"); err != nil {
		return "", err
	}
	p, err := s.promotion(ctx, "1.0.0", "waiting for approval", waitsForApproval)
	if err != nil {
		return "", err
	}
	id := strconv.FormatInt(p.ID, 10)
	asDeveloper, err := s.mustRefuse(ctx, fault.Forbidden.ExitCode(), "alice", "approve", id, "-m", "my own work")
	if err != nil {
		return "", err
	}
	secret, err := s.command(ctx, "ops", "token", "create", "alice", "--role", "approver")
	if err != nil {
		return "", err
	}
	s.tokens["alice, as approver"] = strings.TrimSpace(secret)
	asApprover, err := s.mustRefuse(ctx, fault.Forbidden.ExitCode(), "alice, as approver", "approve", id, "-m", "my own work")
	if err != nil {
		return "", err
	}
	token, err := os.ReadFile(filepath.Join(s.data(), "ci", "bridge.token"))
	if err != nil {
		return "", err
	}
	s.tokens["ci"] = strings.TrimSpace(string(token))
	byCI, err := s.mustRefuse(ctx, fault.Forbidden.ExitCode(), "ci", "approve", id, "--plan", p.Plan.String(), "-m", "ship it")
	if err != nil {
		return "", err
	}
	st, err := s.approve(ctx, p, "1.0.0")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("alice: %s\nalice, with an approver's token: %s\nci: %s\nbob: approved promotion %d\nproduction answers at http://%s/ with 1.0.0", asDeveloper, asApprover, byCI, p.ID, st.Address),
		must(ctx, st.Address, "1.0.0")
}

// approve has bob approve a promotion and waits, under traffic, until production has it.
func (s *story) approve(ctx context.Context, p api.Promotion, version string) (cd.Status, error) {
	if err := s.agree(ctx, p); err != nil {
		return cd.Status{}, err
	}
	if err := s.visitors(ctx); err != nil {
		return cd.Status{}, err
	}
	return s.live(ctx, "production", version)
}

func (s *story) agree(ctx context.Context, p api.Promotion) error {
	_, err := s.command(ctx, "bob", "approve", strconv.FormatInt(p.ID, 10), "-m", "looked at the plan")
	return err
}

// visitors starts the traffic once production has an address.
func (s *story) visitors(ctx context.Context) error {
	if s.traffic.address() != "" {
		return nil
	}
	st, err := until(ctx, "production's address", func() (cd.Status, bool, string, error) {
		st, err := s.status(ctx, "production")
		return st, st.Address != "", st.Reason, err
	})
	if err == nil {
		s.traffic.start(st.Address)
	}
	return err
}

// failingTest is the seventh step's first half: nothing crosses.
func (s *story) failingTest(ctx context.Context) (string, error) {
	last, err := s.lastRun(ctx)
	if err != nil {
		return "", err
	}
	if err := s.edit("price/price.go", "discountPercent = 5", "discountPercent = 50"); err != nil {
		return "", err
	}
	if err := s.release(ctx, "1.0.1", "price: a bolder discount"); err != nil {
		return "", err
	}
	r, err := s.run(ctx, "shop", last)
	if err != nil {
		return "", err
	}
	if r.State != ci.RunFailed {
		return "", fmt.Errorf("run %d %s, but its tests fail", r.ID, r.State)
	}
	if err := s.edit("price/price.go", "discountPercent = 50", "discountPercent = 5"); err != nil {
		return "", err
	}
	return fmt.Sprintf("run %d failed: %s\nnothing was signed, tagged or told to the bridge", r.ID, r.Reason), s.nothingCrossed(ctx, "1.0.1")
}

// nothingCrossed is an error when a tag, an event or a handoff names a version.
func (s *story) nothingCrossed(ctx context.Context, version string) error {
	var events api.List[api.Event]
	if err := s.api.Get(ctx, "/api/v1/events?limit=50", &events); err != nil {
		return err
	}
	for _, e := range events.Items {
		if hasTag(e.Artifact, version) {
			return fmt.Errorf("event %d names %s", e.ID, e.Artifact)
		}
	}
	return nil
}

// undo is its second half: healthy everywhere, but for its answers in production.
func (s *story) undo(ctx context.Context) (string, error) {
	const handler = `	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
`
	const broken = handler + `		if environment == "production" {
			http.Error(w, "no prices", http.StatusInternalServerError)
			return
		}
`
	if err := s.edit("shop.go", handler, broken); err != nil {
		return "", err
	}
	if err := s.release(ctx, "1.1.0", "shop: prices from the new service"); err != nil {
		return "", err
	}
	p, err := s.promotion(ctx, "1.1.0", "waiting for approval", waitsForApproval)
	if err != nil {
		return "", err
	}
	s.traffic.counts()
	if err := s.agree(ctx, p); err != nil {
		return "", err
	}
	p, err = s.promotion(ctx, "1.1.0", "undone", func(p api.Promotion) bool { return p.State == cd.Undone || p.State == cd.Done })
	if err != nil {
		return "", err
	}
	if p.State != cd.Undone {
		return "", fmt.Errorf("promotion %d is %s: %s", p.ID, p.State, p.Reason)
	}
	st, err := s.live(ctx, "production", "1.0.0")
	if err != nil {
		return "", err
	}
	sent, lost := s.traffic.counts()
	if err := s.edit("shop.go", broken, handler); err != nil {
		return "", err
	}
	return fmt.Sprintf("promotion %d: %s\nundone without a person; of %d requests in that time %d failed\nproduction answers with 1.0.0 again", p.ID, p.Reason, sent, lost),
		must(ctx, st.Address, "1.0.0")
}

// refused is the eighth step.
func (s *story) refused(ctx context.Context) (string, error) {
	archive, err := handmade()
	if err != nil {
		return "", err
	}
	images, err := registry.NewClient(registry.ClientConfig{Local: s.url, Temp: s.dir, Auth: func(string) (string, string) { return "ops", s.tokens["ops"] }})
	if err != nil {
		return "", err
	}
	byHand := artifact.Reference{Repository: "shop/web"}
	digest, err := images.Push(ctx, byHand, bytes.NewReader(archive), registry.ImageConfig{Entrypoint: []string{"./web"}}, registry.Limits{})
	if err != nil {
		return "", err
	}
	if err := images.Tag(ctx, byHand.WithDigest(digest), "9.9.9"); err != nil {
		return "", err
	}
	h, err := s.outcome(ctx, "9.9.9")
	if err != nil {
		return "", err
	}
	if h.State != bridge.Refused {
		return "", fmt.Errorf("handoff %d of an unsigned image is %s: %s", h.ID, h.State, h.Reason)
	}
	if err := s.stranger(ctx); err != nil {
		return "", err
	}
	r, err := s.run(ctx, "evil", 0)
	if err != nil {
		return "", err
	}
	if r.State != ci.RunFailed || !strings.Contains(r.Reason, "evil") {
		return "", fmt.Errorf("run %d of the stranger %s: %s", r.ID, r.State, r.Reason)
	}
	return fmt.Sprintf("pushed by hand: handoff %d refused: %s\nby a stranger: run %d failed: %s", h.ID, h.Reason, r.ID, r.Reason), s.nothingCrossed(ctx, "2.0.0")
}

// handmade is an image's content as somebody without a CI would make it.
func handmade() ([]byte, error) {
	const script = "#!/bin/sh\necho trust me\n"
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(script))}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, script); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

// audit is the ninth step.
func (s *story) audit(ctx context.Context) (string, error) {
	var detail strings.Builder
	for _, args := range [][]string{{"audit", "verify"}, {"status"}, {"why"}} {
		out, err := s.command(ctx, "ops", args...)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(&detail, "$ drawbridge %s\n%s", strings.Join(args, " "), out)
	}
	return detail.String(), nil
}

// crash is the tenth step: SIGKILL at 10 %, and the promotion comes to its end.
func (s *story) crash(ctx context.Context) (string, error) {
	if err := s.release(ctx, "1.2.0", "shop: the prices that we had"); err != nil {
		return "", err
	}
	p, err := s.promotion(ctx, "1.2.0", "waiting for approval", waitsForApproval)
	if err != nil {
		return "", err
	}
	if err := s.agree(ctx, p); err != nil {
		return "", err
	}
	if _, err := s.promotion(ctx, "1.2.0", "at 10 %", shared); err != nil {
		return "", err
	}
	address := strings.TrimPrefix(s.url, "http://")
	s.kill()
	if err := s.serve(ctx, address); err != nil {
		return "", err
	}
	p, err = s.promotion(ctx, "1.2.0", "done", func(p api.Promotion) bool { return p.State.Ended() })
	if err != nil {
		return "", err
	}
	if p.State != cd.Done {
		return "", fmt.Errorf("promotion %d is %s: %s", p.ID, p.State, p.Reason)
	}
	st, err := s.live(ctx, "production", "1.2.0")
	if err != nil {
		return "", err
	}
	if _, err := s.command(ctx, "ops", "audit", "verify"); err != nil {
		return "", errors.Join(errors.New("after the crash"), err)
	}
	return fmt.Sprintf("SIGKILL at 10 %%, started again; promotion %d went on and is done\nproduction answers with 1.2.0; both logs still prove themselves", p.ID),
		must(ctx, st.Address, "1.2.0")
}

func short(digest string) string { return digest[:min(len(digest), 19)] }
