package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/store/storetest"
	"drawbridge/internal/web/api"
)

// TestCrash kills the server with SIGKILL at random moments while people push, post events
// and approve. In the end everything has come to its end, nothing that was acknowledged is
// lost, and nothing took place twice.
func TestCrash(t *testing.T) {
	if testing.Short() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI leaves nothing out: run without -short")
		}
		t.Skip("kills servers for a minute")
	}
	requireSandbox(t)
	p := buildPrograms(t)
	t.Run("sqlite", func(t *testing.T) { crash(t, newRig(t, p, "sqlite"), p.service, 30) })
	t.Run("postgres", func(t *testing.T) {
		r := newRig(t, p, "postgres")
		r.flags = []string{"--ci-database", storetest.Postgres(t), "--cd-database", storetest.Postgres(t)}
		crash(t, r, p.service, 8)
	})
}

// chaos is what people do meanwhile, and what they were told.
type chaos struct {
	*rig
	random *rand.Rand
	life   time.Duration // at most this long a server lives: somewhat longer than a push needs

	mu       sync.Mutex
	pushed   map[string]string // commit → version, of each push that was answered ok
	posted   map[string]int64  // event id → the number that the server gave it
	approved map[int64]bool    // promotions that bob was told he approved
}

func crash(t *testing.T, r *rig, service string, kills int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &chaos{
		rig: r, random: rand.New(rand.NewPCG(seed, 1)),
		pushed: map[string]string{}, posted: map[string]int64{}, approved: map[int64]bool{},
	}
	n := c.start()
	c.staff(map[string]identity.Role{"alice": identity.Developer, "bob": identity.Approver, "robot": identity.Events})
	c.tree(service)
	ctx := t.Context()
	if err := c.api("admin").Send(ctx, http.MethodPost, "/api/v1/repositories", api.NewRepository{Name: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.api("admin").Upload(ctx, http.MethodPut, "/api/v1/deliveries", api.YAMLType, []byte(c.delivery()), nil); err != nil {
		t.Fatal(err)
	}
	c.life = c.undisturbed()
	busy, enough := context.WithCancel(ctx)
	defer enough()
	deciding, decided := context.WithCancel(ctx)
	defer decided()
	var people, deciders sync.WaitGroup
	people.Go(func() { c.pusher(busy) })
	people.Go(func() { c.poster(busy) })
	deciders.Go(func() { c.approver(deciding) })
	deciders.Go(func() { c.visitor(deciding) })
	began := time.Now()
	for i := range kills {
		if i >= 8 && time.Since(began) > 2*time.Minute {
			t.Logf("a slow machine: %d kills of %d", i, kills)
			break
		}
		n = c.strike(n)
	}
	enough()
	people.Wait()
	c.settle()
	decided()
	deciders.Wait()
	c.check()
	c.stop(n)
}

// undisturbed pushes the first version and waits until it is built, to learn how fast this
// machine is: on a slow one servers must live longer, or nothing would ever move.
func (c *chaos) undisturbed() time.Duration {
	c.t.Helper()
	began := time.Now()
	commit, err := c.commit(c.t.Context(), "1.0.0")
	if err == nil {
		err = c.push(c.t.Context())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.pushed[commit] = "1.0.0"
	c.built(c.t.Context(), commit, patience)
	return min(max(time.Since(began)*3/2, 2*time.Second), 15*time.Second)
}

// strike lets the server live for a random while, kills it and starts another. Now and
// then it is killed again before it is ready.
func (c *chaos) strike(n *node) *node {
	c.t.Helper()
	<-time.After(time.Duration(c.random.Int64N(int64(c.life))))
	c.kill(n)
	if c.random.IntN(5) == 0 {
		n = c.spawn()
		<-time.After(time.Duration(c.random.IntN(400)) * time.Millisecond)
		c.kill(n)
	}
	return c.start()
}

// pusher pushes one version after the other; each push is repeated until it is answered ok.
func (c *chaos) pusher(ctx context.Context) {
	for i := 1; ctx.Err() == nil; i++ {
		version := fmt.Sprintf("1.%d.0", i)
		commit, err := c.commit(c.t.Context(), version)
		if err != nil {
			c.t.Error(err)
			return
		}
		for c.push(ctx) != nil {
			if !pauses(ctx, 50*time.Millisecond) {
				return
			}
		}
		c.mu.Lock()
		c.pushed[commit] = version
		c.mu.Unlock()
		if i%3 == 2 {
			continue // the next one while this one is built
		}
		c.built(ctx, commit, 2*c.life)
	}
}

// built waits until the commit's run has ended, for a while.
func (c *chaos) built(ctx context.Context, commit string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pauses(ctx, 100*time.Millisecond) {
		var page api.List[api.Run]
		if c.api("alice").Get(ctx, "/api/v1/runs?limit=20", &page) != nil {
			continue
		}
		for _, r := range page.Items {
			if r.Commit == commit && ended(r.State) {
				return
			}
		}
	}
}

// poster posts hints at images that are not there, each one until it is taken, some again.
func (c *chaos) poster(ctx context.Context) {
	for i := 0; pauses(ctx, 200*time.Millisecond); i++ {
		id := fmt.Sprintf("hint-%d", i-i%5/4) // every fifth repeats the one before
		tag := "0.0." + fmt.Sprint(i)
		body, err := bridge.Published{
			Source: "/robot", ID: id, At: time.Now().UTC(),
			Artifact: artifact.Reference{Repository: "shop/web", Tag: tag, Digest: artifact.DigestOf([]byte(id))},
		}.CloudEvent()
		if err != nil {
			c.t.Error(err)
			return
		}
		var told api.Received
		for c.api("robot").Upload(ctx, http.MethodPost, "/api/v1/events", api.CloudEventType, body, &told) != nil {
			if !pauses(ctx, 50*time.Millisecond) {
				return
			}
		}
		c.mu.Lock()
		if was, ok := c.posted[id]; ok && (was != told.ID || told.Fresh) {
			c.t.Errorf("event %s was number %d, is number %d, fresh %v", id, was, told.ID, told.Fresh)
		}
		c.posted[id] = told.ID
		c.mu.Unlock()
	}
}

// approver is bob, who agrees to everything that waits for him.
func (c *chaos) approver(ctx context.Context) {
	for pauses(ctx, 100*time.Millisecond) {
		var page api.List[api.Promotion]
		if c.api("bob").Get(ctx, "/api/v1/promotions?limit=50&application=shop&environment=production&state=waiting", &page) != nil {
			continue
		}
		for _, p := range page.Items {
			if p.Signal != cd.SignalApproval {
				continue
			}
			path := fmt.Sprintf("/api/v1/promotions/%d/approve", p.ID)
			err := c.api("bob").Send(ctx, http.MethodPost, path, api.Decision{Plan: p.Plan, Message: "fine"}, nil)
			switch k := fault.KindOf(err); {
			case err == nil:
				c.mu.Lock()
				c.approved[p.ID] = true
				c.mu.Unlock()
			case k != fault.Unavailable && k != fault.Conflict && k != fault.Forbidden && ctx.Err() == nil:
				c.t.Errorf("approve promotion %d: %v", p.ID, err)
			}
		}
	}
}

// visitor uses production, wherever it answers.
func (c *chaos) visitor(ctx context.Context) {
	http := http.Client{Timeout: 2 * time.Second}
	address := ""
	for pauses(ctx, 10*time.Millisecond) {
		if address == "" {
			var page api.List[api.Environment]
			if c.api("bob").Get(ctx, "/api/v1/environments?application=shop", &page) == nil {
				for _, e := range page.Items {
					if e.Name == "production" {
						address = e.Address
					}
				}
			}
			continue
		}
		if resp, err := http.Get("http://" + address + "/"); err == nil {
			_ = resp.Body.Close()
		}
	}
}

// pauses waits for a moment and reports whether ctx still holds.
func pauses(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func ended(s ci.RunState) bool {
	return s == ci.RunSucceeded || s == ci.RunFailed || s == ci.RunCancelled
}
