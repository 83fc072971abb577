package targettest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// Run holds a target to the contract of cd.Target. fresh makes a harness for one test and
// registers its own clean-up.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	tests := map[string]func(*testing.T, Harness){
		"never applied":                    neverApplied,
		"deploy":                           deploy,
		"shift by exact weights":           shift,
		"figures":                          countFigures,
		"a repetition changes nothing":     repeat,
		"an unhealthy candidate":           unhealthyCandidate,
		"a crashing candidate":             crashingCandidate,
		"replace and stop":                 replaceAndStop,
		"a refused desire changes nothing": refuses,
		"restart":                          restart,
		"restart with a broken candidate":  restartBroken,
		"calls for one environment wait":   serialised,
		"cancel":                           cancelled,
		"environments do not mix":          separate,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

const anyPort = "127.0.0.1:0"

func neverApplied(t *testing.T, h Harness) {
	a, err := h.Target.Observe(t.Context(), Environment())
	if err != nil || a.Address != "" || a.Versions != nil {
		t.Errorf("Observe of an environment never applied = %+v, %v; want the zero Actual", a, err)
	}
}

func deploy(t *testing.T, h Harness) {
	version := h.Version("1.0.0", Good, 100)
	version.Inputs = map[string]string{"INPUT_REGION": "eu", "VERSION": "not an input's"}
	a := Apply(t, h.Target, 1, Desired(anyPort, version))
	status, body := Get(t, a.Address, "/")
	if status != 200 || body != "1.0.0 production\n" {
		t.Errorf("the environment answers %d %q, want 200 and version and environment", status, body)
	}
	if len(a.Versions) != 1 || !a.Versions[0].Healthy || a.Versions[0].Weight != 100 || a.Versions[0].Release != "release-1.0.0" {
		t.Errorf("Apply = %+v, want one healthy version of weight 100", a)
	}
	_, env := Get(t, a.Address, "/env")
	for _, line := range []string{"VERSION=1.0.0", "ENVIRONMENT=production", "DIGEST=" + a.Versions[0].Digest.String(), "EXTRA=from the delivery", "IMAGE=1.0.0", "INPUT_REGION=eu"} {
		if !strings.Contains("\n"+env+"\n", "\n"+line+"\n") {
			t.Errorf("the version's environment lacks %q:\n%s", line, env)
		}
	}
}

func shift(t *testing.T, h Harness) {
	one, two := h.Version("1.0.0", Good, 100), h.Version("1.1.0", Good, 0)
	a := Apply(t, h.Target, 1, Desired(anyPort, one))
	a = Apply(t, h.Target, 2, Desired(a.Address, one, two))
	if got := Count(t, a.Address, 50); got["1.0.0"] != 50 {
		t.Errorf("a version of weight 0 got traffic: %v", got)
	}
	for step, weight := range []int{10, 50, 100, 33, 0} {
		one.Weight, two.Weight = 100-weight, weight
		a = Apply(t, h.Target, 3+step, Desired(a.Address, one, two))
		if got := Count(t, a.Address, 200); got["1.1.0"] != 2*weight || got["1.0.0"] != 2*(100-weight) {
			t.Errorf("of 200 requests at weight %d the versions got %v", weight, got)
		}
	}
}

func countFigures(t *testing.T, h Harness) {
	one, two := h.Version("1.0.0", Good, 90), h.Version("1.1.0", Failing, 10)
	a := Apply(t, h.Target, 1, Desired(anyPort, one, two))
	for range 100 {
		Get(t, a.Address, "/")
	}
	got := observe(t, h, Environment())
	if f := got[one.Release].Figures; f.Requests != 90 || f.Errors != 0 {
		t.Errorf("the base has %d requests and %d errors, want 90 and 0", f.Requests, f.Errors)
	}
	f := got[two.Release].Figures
	if f.Requests != 10 || f.Errors != 10 || f.ErrorShare() != 1 {
		t.Errorf("the candidate has %d requests and %d errors, want 10 and 10: health checks do not count", f.Requests, f.Errors)
	}
	if !got[two.Release].Healthy {
		t.Errorf("the candidate is not healthy (%s), though its health check is fine", got[two.Release].Reason)
	}
	before := int64(0)
	for _, b := range f.Latency {
		if b.Count < before || b.Count > f.Requests {
			t.Errorf("the latency is not cumulative: %v", f.Latency)
		}
		before = b.Count
	}
}

func observe(t *testing.T, h Harness, e cd.EnvironmentRef) map[string]cd.ActualVersion {
	t.Helper()
	a, err := h.Target.Observe(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]cd.ActualVersion{}
	for i, v := range a.Versions {
		if i > 0 && a.Versions[i-1].Digest.String() > v.Digest.String() {
			t.Errorf("the versions are not sorted by digest: %+v", a.Versions)
		}
		out[v.Release] = v
	}
	return out
}

func repeat(t *testing.T, h Harness) {
	d := Desired(anyPort, h.Version("1.0.0", Good, 90), h.Version("1.1.0", Good, 10))
	first := Apply(t, h.Target, 1, d)
	Get(t, first.Address, "/")
	for range 3 {
		again := Apply(t, h.Target, 1, d)
		if again.Address != first.Address {
			t.Errorf("the address went from %s to %s", first.Address, again.Address)
		}
	}
	if n := h.Live(); n != 2 {
		t.Errorf("%d instances run, want 2", n)
	}
	if n := observe(t, h, Environment())["release-1.0.0"].Figures.Requests; n != 1 {
		t.Errorf("the base has %d requests, want 1: a repetition started it again", n)
	}
}

func unhealthyCandidate(t *testing.T, h Harness) {
	candidateFails(t, h, Sick, "500")
}

func crashingCandidate(t *testing.T, h Harness) {
	candidateFails(t, h, Crashes, "no configuration found")
}

func candidateFails(t *testing.T, h Harness, b Behaviour, why string) {
	one := h.Version("1.0.0", Good, 100)
	a := Apply(t, h.Target, 1, Desired(anyPort, one))
	half := one
	half.Weight = 50
	_, err := h.Target.Apply(t.Context(), Key(2), Desired(a.Address, half, h.Version("1.1.0", b, 50)))
	if !fault.Is(err, fault.Blocked) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "1.1.0") {
		t.Errorf("Apply gave the error %v, want one of kind blocked that names 1.1.0 and %q", err, why)
	}
	if n := h.Live(); n != 1 {
		t.Errorf("%d instances run, want the base alone", n)
	}
	got := observe(t, h, Environment())
	if len(got) != 1 || got[one.Release].Weight != 100 || !got[one.Release].Healthy {
		t.Errorf("the environment is %+v, want the base with the weight that it had", got)
	}
	if got := Count(t, a.Address, 20); got["1.0.0"] != 20 {
		t.Errorf("the base does not serve alone: %v", got)
	}
}

func replaceAndStop(t *testing.T, h Harness) {
	a := Apply(t, h.Target, 1, Desired(anyPort, h.Version("1.0.0", Good, 100)))
	a = Apply(t, h.Target, 2, Desired(a.Address, h.Version("1.1.0", Good, 100)))
	if got := Count(t, a.Address, 10); got["1.1.0"] != 10 || h.Live() != 1 {
		t.Errorf("after the replacement %v answer and %d instances run", got, h.Live())
	}
	stopped := Apply(t, h.Target, 3, Desired(a.Address))
	if len(stopped.Versions) != 0 || stopped.Address != a.Address || h.Live() != 0 {
		t.Errorf("after the stop there is %+v and %d instances run", stopped, h.Live())
	}
	status, body := Get(t, a.Address, "/")
	if status != 503 || !strings.Contains(body, "shop/production") {
		t.Errorf("an environment without versions answers %d %q, want 503 and its name", status, body)
	}
}

func refuses(t *testing.T, h Harness) {
	good := h.Version("1.0.0", Good, 100)
	a := Apply(t, h.Target, 1, Desired(anyPort, good))
	with := func(change func(*cd.Version)) cd.Version { v := good; change(&v); return v }
	rows := map[string]cd.Desired{
		"weights above 100":  Desired(a.Address, good, h.Version("1.1.0", Good, 1)),
		"weights below 100":  Desired(a.Address, with(func(v *cd.Version) { v.Weight = 99 })),
		"a negative weight":  Desired(a.Address, with(func(v *cd.Version) { v.Weight = -1 }), h.Version("1.1.0", Good, 101)),
		"the same one twice": Desired(a.Address, with(func(v *cd.Version) { v.Weight = 50 }), with(func(v *cd.Version) { v.Weight = 50 })),
		"three versions":     Desired(a.Address, good, h.Version("1.1.0", Good, 0), h.Version("1.2.0", Good, 0)),
		"no digest":          Desired(a.Address, with(func(v *cd.Version) { v.Image = v.Image.WithTag("latest") })),
		"no spec":            Desired(a.Address, with(func(v *cd.Version) { v.Spec = cd.TargetSpec{} })),
		"no environment":     {Listen: a.Address},
	}
	for name, d := range rows {
		if _, err := h.Target.Apply(t.Context(), Key(2), d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: Apply gave the error %v, want one of kind invalid", name, err)
		}
	}
	if got := observe(t, h, Environment()); len(got) != 1 || got[good.Release].Weight != 100 {
		t.Errorf("the environment is %+v, want it as it was", got)
	}
}

func restart(t *testing.T, h Harness) {
	d := Desired(anyPort, h.Version("1.0.0", Good, 90), h.Version("1.1.0", Good, 10))
	a := Apply(t, h.Target, 1, d)
	d.Listen = a.Address // as the environment's row has it
	h.Target = h.Restart()
	if n := h.Live(); n != 0 {
		t.Errorf("%d instances outlived the target", n)
	}
	again := Apply(t, h.Target, 1, d)
	if again.Address != a.Address {
		t.Errorf("the address went from %s to %s", a.Address, again.Address)
	}
	if got := Count(t, a.Address, 100); got["1.1.0"] != 10 {
		t.Errorf("after the restart the versions got %v of 100, want 90 and 10", got)
	}
}

func restartBroken(t *testing.T, h Harness) {
	a := Apply(t, h.Target, 1, Desired(anyPort, h.Version("1.0.0", Good, 100)))
	h.Target = h.Restart()
	base := h.Version("1.0.0", Good, 90)
	_, err := h.Target.Apply(t.Context(), Key(2), Desired(a.Address, base, h.Version("1.1.0", Crashes, 10)))
	if !fault.Is(err, fault.Blocked) {
		t.Errorf("Apply gave the error %v, want one of kind blocked", err)
	}
	if got := Count(t, a.Address, 20); got["1.0.0"] != 20 {
		t.Errorf("the base must serve although the candidate does not start; got %v", got)
	}
	base.Weight = 100
	Apply(t, h.Target, 3, Desired(a.Address, base))
	if n := h.Live(); n != 1 {
		t.Errorf("%d instances run, want 1", n)
	}
}

func serialised(t *testing.T, h Harness) {
	one, two := h.Version("1.0.0", Good, 100), h.Version("1.1.0", Good, 0)
	a := Apply(t, h.Target, 1, Desired(anyPort, one, two))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			x, y := one, two
			x.Weight, y.Weight = 100-i*5, i*5
			if i%5 == 4 {
				x.Weight = 100
				if _, err := h.Target.Apply(t.Context(), Key(i), Desired(a.Address, x)); err != nil {
					t.Errorf("Apply gave the error %v", err)
				}
				return
			}
			if _, err := h.Target.Apply(t.Context(), Key(i), Desired(a.Address, x, y)); err != nil {
				t.Errorf("Apply gave the error %v", err)
			}
		})
	}
	wg.Wait()
	a = Apply(t, h.Target, 99, Desired(a.Address, one, two))
	if got := Count(t, a.Address, 20); got["1.0.0"] != 20 || h.Live() != 2 {
		t.Errorf("after concurrent calls %v answer and %d instances run", got, h.Live())
	}
}

func cancelled(t *testing.T, h Harness) {
	one := h.Version("1.0.0", Good, 100)
	a := Apply(t, h.Target, 1, Desired(anyPort, one))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := h.Target.Apply(ctx, Key(2), Desired(a.Address, one, h.Version("1.1.0", Sick, 0)))
		done <- err
	}()
	Eventually(t, "the candidate is being started", func() bool { return h.Live() == 2 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Apply gave the error %v, want the context's", err)
	}
	if n := h.Live(); n != 1 {
		t.Errorf("%d instances run, want the base alone", n)
	}
	if got := Count(t, a.Address, 10); got["1.0.0"] != 10 {
		t.Errorf("the base does not serve: %v", got)
	}
}

func separate(t *testing.T, h Harness) {
	v := h.Version("1.0.0", Good, 100)
	production := Apply(t, h.Target, 1, Desired(anyPort, v))
	d := Desired(anyPort, v)
	d.Environment.Name = "dev"
	dev := Apply(t, h.Target, 1, d)
	if dev.Address == production.Address {
		t.Fatalf("both environments answer at %s", dev.Address)
	}
	if _, body := Get(t, dev.Address, "/"); body != "1.0.0 dev\n" {
		t.Errorf("dev answers %q", body)
	}
	if n := observe(t, h, Environment())[v.Release].Figures.Requests; n != 0 {
		t.Errorf("production counted %d requests that dev answered", n)
	}
	d.Versions = nil
	Apply(t, h.Target, 2, d)
	if _, body := Get(t, production.Address, "/"); body != "1.0.0 production\n" {
		t.Errorf("production answers %q after dev was stopped", body)
	}
}
