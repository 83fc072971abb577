package process_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/target/process"
	"drawbridge/internal/target/targettest"
)

func TestACrashedVersionIsStartedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	a := deployed(t, b, v)
	if status, _ := targettest.Get(t, a.Address, "/die"); status != 502 {
		t.Errorf("a request during which the version died got %d, want 502", status)
	}
	if f := b.figures(t, v.Release); f.Errors != 1 {
		t.Errorf("%d errors counted, want 1", f.Errors)
	}
	targettest.Eventually(t, "the version answers again", func() bool {
		status, _ := targettest.Get(t, a.Address, "/")
		return status == 200
	})
	if got := b.actual(t, v.Release); !got.Healthy || got.Reason != "" || got.Figures.Requests < 2 {
		t.Errorf("after the restart the version is %+v, want healthy with its figures kept", got)
	}
	if n := len(b.launcher.Started()); n != 2 {
		t.Errorf("%d instances were started, want 2", n)
	}
}

func TestACrashIsExplained(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	a := deployed(t, b, v)
	targettest.Eventually(t, "the reason tells the last output", func() bool {
		targettest.Get(t, a.Address, "/die")
		got := b.actual(t, v.Release)
		return !got.Healthy && strings.Contains(got.Reason, "exit code 7") && strings.Contains(got.Reason, "told to die")
	})
}

func TestHealthIsLostAndFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	a := deployed(t, b, v)
	targettest.Get(t, a.Address, "/sick")
	targettest.Eventually(t, "the version is unhealthy", func() bool {
		got := b.actual(t, v.Release)
		return !got.Healthy && strings.Contains(got.Reason, "GET /healthz answered 500")
	})
	if status, _ := targettest.Get(t, a.Address, "/"); status != 200 {
		t.Errorf("an unhealthy version that still answers got no request: %d", status)
	}
	targettest.Get(t, a.Address, "/well")
	targettest.Eventually(t, "the version is healthy", func() bool { return b.actual(t, v.Release).Healthy })
}

func TestNoTrafficMovesToAnUnhealthyVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *process.Config) { c.StartTimeout = 3 * time.Second })
	one, two := b.version(t, "1.0.0", targettest.Good, 0), b.version(t, "1.1.0", targettest.Good, 100)
	a := deployed(t, b, one, two)
	targettest.Get(t, a.Address, "/sick") // 1.1.0
	targettest.Eventually(t, "the candidate is unhealthy", func() bool { return !b.actual(t, two.Release).Healthy })

	one.Weight, two.Weight = 100, 0 // away from it: at once
	targettest.Apply(t, b.target, 2, targettest.Desired(a.Address, one, two))
	one.Weight, two.Weight = 50, 50 // back to it: never
	_, err := b.target.Apply(t.Context(), targettest.Key(3), targettest.Desired(a.Address, one, two))
	if !fault.Is(err, fault.Blocked) {
		t.Errorf("a shift to an unhealthy version gave the error %v, want one of kind blocked", err)
	}
	if got := b.actual(t, one.Release).Weight; got != 100 {
		t.Errorf("the base has weight %d, want the 100 that it had", got)
	}
	if n := b.launcher.Live(); n != 2 {
		t.Errorf("%d instances run, want both: the sick one ran before", n)
	}
}

func TestABrokenBaseDoesNotBlockItsReplacement(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.version(t, "1.0.0", targettest.Good, 100), b.version(t, "1.1.0", targettest.Good, 0)
	a := deployed(t, b, one)
	targettest.Get(t, a.Address, "/sick")
	targettest.Eventually(t, "the base is unhealthy", func() bool { return !b.actual(t, one.Release).Healthy })
	for step, weight := range []int{0, 10, 100} {
		one.Weight, two.Weight = 100-weight, weight
		targettest.Apply(t, b.target, 2+step, targettest.Desired(a.Address, one, two))
	}
}

func TestAnotherPortAfterOneThatIsTaken(t *testing.T) {
	t.Parallel()
	thief := &portThief{Launcher: &targettest.Launcher{}, thefts: 2}
	b := newBench(t, func(c *process.Config) { c.Launcher = thief })
	b.launcher = thief.Launcher
	t.Cleanup(thief.close)
	a := deployed(t, b, b.version(t, "1.0.0", targettest.Failing, 100)) // 500 to /, never the thief's silence
	if status, _ := targettest.Get(t, a.Address, "/"); status != 500 {
		t.Errorf("the environment answers %d", status)
	}
	if n := len(thief.Started()); n != 3 {
		t.Errorf("%d instances were started, want 3", n)
	}
}

// portThief listens on an instance's port before the instance does. It accepts nothing,
// so a health check without a path would be fooled: the instance's end must tell.
type portThief struct {
	*targettest.Launcher
	thefts int
	held   []net.Listener
}

func (p *portThief) Start(ctx context.Context, spec process.LaunchSpec) (process.Instance, error) {
	if p.thefts > 0 {
		p.thefts--
		for _, line := range spec.Env {
			if port, ok := strings.CutPrefix(line, "PORT="); ok {
				l, err := net.Listen("tcp", "127.0.0.1:"+port)
				if err != nil {
					return nil, err
				}
				p.held = append(p.held, l)
			}
		}
	}
	return p.Launcher.Start(ctx, spec)
}

func (p *portThief) close() {
	for _, l := range p.held {
		_ = l.Close()
	}
}

func TestHealthWithoutASpecIsAConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *process.Config) { c.StartTimeout = 3 * time.Second })
	v := b.version(t, "1.0.0", targettest.Sick, 100)
	v.Spec.Process.Health = nil
	if a := deployed(t, b, v); !a.Versions[0].Healthy {
		t.Errorf("a version that accepts connections is %+v", a.Versions[0])
	}
	silent := b.version(t, "1.1.0", targettest.Silent, 100)
	silent.Spec.Process.Health = nil
	_, err := b.target.Apply(t.Context(), targettest.Key(2), targettest.Desired("", silent))
	if !fault.Is(err, fault.Blocked) || !strings.Contains(err.Error(), "accepts no connection") || fault.As(err).Hint == "" {
		t.Errorf("Apply gave the error %v, want one of kind blocked with a hint", err)
	}
}

func TestCommandsThatCannotRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	plain := b.images.Image(t, targettest.Config{}, layer(t, file("app/run", "#!/nothing/here")))
	rows := []struct {
		name    string
		command []string
		kind    fault.Kind
		want    string
	}{
		{"no command", nil, fault.Invalid, "no entrypoint"},
		{"no such program", []string{"./nothing"}, fault.Blocked, "no such file"},
		{"no program of that name", []string{"nothing"}, fault.Blocked, "no program"},
		{"not executable", []string{"app/run"}, fault.Blocked, "permission denied"},
	}
	for _, row := range rows {
		v := cd.Version{Release: "r", Name: "1.0.0", Image: plain, Weight: 100, Spec: cd.TargetSpec{Process: &cd.ProcessSpec{Command: row.command}}}
		_, err := b.target.Apply(t.Context(), targettest.Key(1), targettest.Desired("", v))
		if !fault.Is(err, row.kind) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: Apply gave the error %v, want one of kind %s with %q", row.name, err, row.kind, row.want)
		}
	}
}

func TestWhereTheProgramIsLookedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	self := b.images.Service(t, "1.0.0", targettest.Good)
	rows := map[string]string{"service": "/service", "./service": "/service", "/service": "/service"}
	for command, want := range rows {
		v := cd.Version{Release: command, Name: "1.0.0", Image: self, Weight: 100, Spec: cd.TargetSpec{Process: &cd.ProcessSpec{
			Command: []string{command, "argument"},
			Env:     map[string]string{"PORT": "1", "VERSION": "lies", "PATH": "/bin"},
		}}}
		deployed(t, b, v)
		started := b.launcher.Started()
		got := started[len(started)-1]
		if got.Command[0] != want || got.Command[1] != "argument" || got.Dir != "/" {
			t.Errorf("%q was started as %q in %q, want %q in /", command, got.Command, got.Dir, want)
		}
		env := "\n" + strings.Join(got.Env, "\n") + "\n"
		if strings.Contains(env, "\nPORT=1\n") || strings.Contains(env, "lies") || !strings.Contains(env, "\nPATH=/bin\n") || strings.Count(env, "\nPORT=") != 1 {
			t.Errorf("the environment is%s want the server's PORT and VERSION, once", env)
		}
	}
}

func TestATakenAddressIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	taken := l.Addr().String()
	_, err = b.target.Apply(t.Context(), targettest.Key(1), targettest.Desired(taken, v))
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), taken) || fault.As(err).Hint == "" {
		t.Errorf("Apply gave the error %v, want one of kind unavailable that names %s, with a hint", err, taken)
	}
	a := deployed(t, b, v)
	if _, err := b.target.Apply(t.Context(), targettest.Key(2), targettest.Desired(taken, v)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("moving to a taken address gave the error %v, want one of kind unavailable", err)
	}
	if status, _ := targettest.Get(t, a.Address, "/"); status != 200 {
		t.Errorf("the address before answers %d, want it to serve on", status)
	}
	if _, err := b.target.Apply(t.Context(), targettest.Key(3), targettest.Desired("not an address", v)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a malformed address gave the error %v, want one of kind unavailable", err)
	}
}

func TestTheAddressMoves(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	first := deployed(t, b, v)
	second := targettest.Apply(t, b.target, 2, targettest.Desired("[::1]:0", v))
	if first.Address == second.Address {
		t.Fatalf("the address is still %s", first.Address)
	}
	if status, _ := targettest.Get(t, second.Address, "/"); status != 200 {
		t.Errorf("the new address answers %d", status)
	}
	if _, err := net.Dial("tcp", first.Address); err == nil {
		t.Error("the old address still accepts connections")
	}
	if n := len(b.launcher.Started()); n != 1 {
		t.Errorf("%d instances were started, want 1: an address is no reason to start again", n)
	}
	gone := targettest.Apply(t, b.target, 3, targettest.Desired(""))
	if gone.Address != "" || len(b.target.All()) != 0 {
		t.Errorf("an environment with neither versions nor address is %+v, %+v", gone, b.target.All())
	}
}

func TestAllIsSorted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version(t, "1.0.0", targettest.Good, 100)
	for _, name := range []string{"staging", "dev", "production"} {
		d := targettest.Desired("", v)
		d.Environment.Name = name
		targettest.Apply(t, b.target, 1, d)
	}
	var got []string
	for _, e := range b.target.All() {
		got = append(got, fmt.Sprintf("%s:%d", e.Environment, len(e.Actual.Versions)))
	}
	if want := "shop/dev:1 shop/production:1 shop/staging:1"; strings.Join(got, " ") != want {
		t.Errorf("All() = %v, want %s", got, want)
	}
}

func TestAClosedTargetSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	waiting := make(chan error, 1)
	go func() {
		_, err := b.target.Apply(t.Context(), targettest.Key(1), targettest.Desired("", b.version(t, "1.0.0", targettest.Sick, 100)))
		waiting <- err
	}()
	targettest.Eventually(t, "the version is being started", func() bool { return b.launcher.Live() == 1 })
	if err := b.target.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !fault.Is(err, fault.Unavailable) {
		t.Errorf("an Apply that Close interrupted gave the error %v, want one of kind unavailable", err)
	}
	_, err := b.target.Apply(t.Context(), targettest.Key(2), targettest.Desired("", b.version(t, "1.0.0", targettest.Good, 100)))
	if !fault.Is(err, fault.Unavailable) || b.launcher.Live() != 0 {
		t.Errorf("Apply after Close gave the error %v, and %d instances run", err, b.launcher.Live())
	}
}
