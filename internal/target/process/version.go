package process

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// tries is how often a version may end before it is ready until it counts as broken. The
// port of a try may have been taken by another program, so one is not enough.
const tries = 3

// calm is how long a process must have run for the next crash to count as the first.
const calm = 10 * time.Second

// version is one version that runs, or that is being started again.
type version struct {
	target *Target
	env    cd.EnvironmentRef
	want   cd.Version
	launch LaunchSpec // without ID, PORT and writers

	figures  figures
	inflight inflight
	backend  atomic.Pointer[backend] // nil while nothing is ready to answer

	cancel context.CancelFunc
	done   chan struct{} // closed when no process is left

	mu      sync.Mutex // guards what follows
	state   health
	changed chan struct{} // closed and replaced when state changes
}

// health is what is known of a version's health.
type health struct {
	healthy bool
	reason  string // why not, one line
	hint    string // what to do about it; may be empty
	exits   int    // how often it ended since it was ready last
}

func newVersion(t *Target, env cd.EnvironmentRef, want cd.Version, img *image) (*version, error) {
	command, dir, err := img.command(want.Spec.Process.Command)
	if err != nil {
		return nil, err
	}
	return &version{
		target: t, env: env, want: want,
		launch:  LaunchSpec{Root: img.Root, Command: command, Dir: dir, Env: environ(img.Env, env, want)},
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		state:   health{reason: "starting"},
	}, nil
}

// environ is the environment of a version without PORT: the image's, then the delivery's,
// then a person's inputs and what the server says, which nothing overrides. Sorted by name.
func environ(image []string, env cd.EnvironmentRef, want cd.Version) []string {
	all := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, line := range image {
		if name, value, ok := strings.Cut(line, "="); ok && name != "" {
			all[name] = value
		}
	}
	maps.Copy(all, want.Spec.Process.Env)
	maps.Copy(all, want.Inputs)
	all["VERSION"] = want.Name
	all["DIGEST"] = want.Image.Digest.String()
	all["ENVIRONMENT"] = env.Name
	delete(all, "PORT")
	out := make([]string, 0, len(all)+1)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, name+"="+all[name])
	}
	return out
}

// start begins to run the version. Whoever calls it calls stop in the end.
func (v *version) start() {
	ctx, cancel := context.WithCancel(context.Background()) // outlives the Apply that starts it
	v.cancel = cancel
	go v.supervise(ctx)
}

// stop ends the version's process and returns once it has ended.
func (v *version) stop() {
	v.cancel()
	<-v.done
}

// drain waits until the version answers no request, at most the drain timeout.
func (v *version) drain() {
	limit := time.NewTimer(v.target.config.DrainTimeout)
	defer limit.Stop()
	select {
	case <-v.inflight.none():
	case <-limit.C:
	}
}

// supervise runs the version until ctx ends, again after every crash.
func (v *version) supervise(ctx context.Context) {
	defer close(v.done)
	for n := 0; ; n++ {
		began := v.target.config.Now()
		v.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if v.target.config.Now().Sub(began) >= calm {
			n = 0
		}
		select {
		case <-time.After(backoff(n)):
		case <-ctx.Done():
			return
		}
	}
}

// runOnce runs one process until it ends or ctx does.
func (v *version) runOnce(ctx context.Context) {
	port, err := v.target.ports.take(ctx)
	if err != nil {
		v.ended("", err)
		return
	}
	defer v.target.ports.giveBack(port)
	errs := new(tail)
	instance, err := v.target.config.Launcher.Start(ctx, v.spec(port, errs))
	if err != nil {
		v.ended("", err)
		return
	}
	b := newBackend(v, port)
	watching, stopWatching := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { v.watch(watching, b, errs) })
	select {
	case <-instance.Done():
	case <-ctx.Done():
		v.stopInstance(instance)
	}
	v.backend.Store(nil)
	stopWatching()
	watcher.Wait()
	v.backend.Store(nil) // the watcher may have stored it in between
	b.transport.CloseIdleConnections()
	if ctx.Err() == nil {
		v.ended(exitReason(instance.Exit(), errs.String()), nil)
	}
}

func (v *version) spec(port int, errs *tail) LaunchSpec {
	s := v.launch
	s.ID = v.target.newID(v.env, v.want.Image.Digest)
	s.Env = append(slices.Clone(s.Env), "PORT="+strconv.Itoa(port))
	s.Stdout, s.Stderr = new(tail), errs
	return s
}

// stopInstance stops a process. It does not end with the caller's context: a process that
// nobody waits for would hold its port.
func (v *version) stopInstance(i Instance) {
	grace := v.target.config.StopGrace
	ctx, cancel := context.WithTimeout(context.Background(), grace+30*time.Second)
	defer cancel()
	if err := i.Stop(ctx, grace); err != nil {
		v.target.config.Log.Error("instance not stopped",
			slog.String("environment", v.env.String()), slog.String("version", v.want.Name), slog.Any("error", err))
	}
}

// ended notes that the version's process ended by itself, or could not be started.
func (v *version) ended(reason string, err error) {
	hint := ""
	if err != nil {
		reason = "cannot be started: " + err.Error()
		if f := fault.As(err); f != nil {
			hint = f.Hint
		}
	}
	v.set(func(h *health) {
		h.healthy, h.reason, h.hint = false, reason, hint
		h.exits++
	})
	v.target.config.Log.Warn("instance ended",
		slog.String("environment", v.env.String()), slog.String("version", v.want.Name), slog.String("reason", reason))
}

func exitReason(exit, output string) string {
	if output == "" {
		return fmt.Sprintf("it ended by itself (%s) and wrote nothing to stderr", exit)
	}
	return fmt.Sprintf("it ended by itself (%s); last output: %s", exit, output)
}

func (v *version) health() health {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// set changes the state and wakes who waits for a change.
func (v *version) set(change func(*health)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.state
	change(&v.state)
	if v.state != before {
		close(v.changed)
		v.changed = make(chan struct{})
	}
}

// awaitHealthy waits until the version is healthy. It gives a fault of kind Blocked when
// that takes longer than the start timeout or the version ended too often.
func (v *version) awaitHealthy(ctx context.Context) error {
	limit := time.NewTimer(v.target.config.StartTimeout)
	defer limit.Stop()
	for {
		v.mu.Lock()
		h, changed := v.state, v.changed
		v.mu.Unlock()
		if h.healthy {
			return nil
		}
		if h.exits >= tries {
			return v.blocked(h, h.reason)
		}
		select {
		case <-changed:
		case <-limit.C:
			h = v.health()
			return v.blocked(h, fmt.Sprintf("after %s: %s", v.target.config.StartTimeout, h.reason))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *version) blocked(h health, why string) error {
	hint := h.hint
	if hint == "" {
		hint = "a version must listen on 127.0.0.1 at the port in PORT and answer its health check; correct it and promote a new release"
	}
	return fault.New(fault.Blocked, "version %s (%s) did not become healthy in %s: %s", v.want.Name, v.want.Image.Digest.Short(), v.env, why).
		WithHint("%s", hint)
}
