package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

const (
	floodEnv    = "DRAWBRIDGE_TEST_FLOOD"        // how many deliveries
	floodReport = "DRAWBRIDGE_TEST_FLOOD_REPORT" // file for the figures
	floodCount  = 5000
	floodPosts  = 64 // at once
	floodApps   = 4  // applications, each with one image that is really there
)

// TestFlood posts deliveries by many senders at once: a third are repetitions, some come out
// of order, some are forged or cannot be read, and in the middle of it the server is killed.
// Nothing that was acknowledged is lost, nothing is kept twice, and each promotion starts once.
func TestFlood(t *testing.T) {
	if testing.Short() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI leaves nothing out: run without -short")
		}
		t.Skip("posts thousands of deliveries")
	}
	requireSandbox(t)
	count := floodCount
	if text := os.Getenv(floodEnv); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1000 {
			t.Fatalf("%s=%s is no number of at least 1000", floodEnv, text)
		}
	}
	p := buildPrograms(t)
	f := &flood{rig: newRig(t, p, "flood"), acked: map[string]int64{}, fresh: map[string]int{}, half: make(chan struct{})}
	n := f.start()
	f.staff(map[string]identity.Role{"pusher": identity.Admin, "ci": identity.Events})
	f.receivers()
	f.images(p.service)
	f.mix(count)
	began := time.Now()
	var all sync.WaitGroup
	for range floodPosts {
		all.Go(f.sender)
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	select {
	case <-f.half:
	case <-over: // the senders gave up
		t.FailNow()
	}
	memory := f.memory(n)
	f.kill(n)
	n = f.start()
	all.Wait()
	answered := time.Since(began)
	f.drain()
	drained := time.Since(began)
	f.checkEvents()
	f.checkPromotions()
	f.checkAudit()
	memory = max(memory, f.memory(n))
	f.figures(answered, drained, memory)
	f.stop(n)
}

// letter is one delivery as it is posted.
type letter struct {
	receiver string
	key      string
	header   map[string]string
	body     string
	status   int // of the answer
}

// flood is what is posted and what was answered.
type flood struct {
	*rig
	digests []artifact.Digest // of the applications' images
	letters []letter
	dead    map[string]bool // keys of those that are authentic and cannot be read
	half    chan struct{}   // closed when half of them are answered

	mu    sync.Mutex
	next  int
	done  int
	acked map[string]int64 // receiver and key → event
	fresh map[string]int   // receiver and key → how often it was said to be new
}

// mix makes count deliveries: 65 of 100 are new, 30 repeat one, and of the other five half are
// forged and half cannot be read. One in ten leaves its place.
func (f *flood) mix(count int) {
	random := rand.New(rand.NewPCG(7, 11))
	f.dead = map[string]bool{}
	for i := range floodApps { // two facts of one image: both are kept, one is a duplicate
		f.letters = append(f.letters, f.published(i, "a"), f.published(i, "b"))
	}
	for i := len(f.letters); i < count*70/100; i++ {
		key := fmt.Sprintf("5e0c1d2a-0000-4000-8000-%012d", i)
		switch i % 40 {
		case 0: // authentic, and broken off
			l := f.hook(key, i)
			l.body = l.body[:len(l.body)/2]
			l.header["X-Hub-Signature-256"] = "sha256=" + sign(floodSecret, l.body)
			f.dead[key] = true
			f.letters = append(f.letters, l)
		case 20: // forged
			l := f.hook(key, i)
			l.header["X-Hub-Signature-256"], l.status = "sha256="+sign("another secret of somebody", l.body), http.StatusUnauthorized
			f.letters = append(f.letters, l)
		case 1: // of an image that a trigger waits for, under a tag that it does not take
			f.letters = append(f.letters, f.event(i%floodApps, "nightly-"+key, "nightly-"+strconv.Itoa(i)))
		default:
			f.letters = append(f.letters, f.hook(key, i))
		}
	}
	for i := range 10 * floodApps { // those that matter most come again most often
		f.letters = append(f.letters, f.letters[i%(2*floodApps)])
	}
	for unique := len(f.letters); len(f.letters) < count; {
		f.letters = append(f.letters, f.letters[random.IntN(unique)])
	}
	f.disorder(random, count*70/100)
}

// disorder puts repetitions, which begin at a place, anywhere, and moves one in ten of the
// others by up to a thousand places.
func (f *flood) disorder(random *rand.Rand, repeated int) {
	place := make([]float64, len(f.letters))
	order := make([]int, len(f.letters))
	for i := range f.letters {
		order[i], place[i] = i, float64(i)
		switch {
		case i >= repeated:
			place[i] = random.Float64() * float64(repeated)
		case random.IntN(10) == 0:
			place[i] += random.Float64() * 1000
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(place[a], place[b]) })
	sorted := make([]letter, len(order))
	for i, from := range order {
		sorted[i] = f.letters[from]
	}
	f.letters = sorted
}

// sender posts one delivery after the other, each until it is answered.
func (f *flood) sender() {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: patience}
	defer client.CloseIdleConnections()
	for {
		f.mu.Lock()
		i := f.next
		f.next++
		f.mu.Unlock()
		if i >= len(f.letters) || f.t.Failed() {
			return
		}
		answer, status := api.Hooked{}, 0
		for status == 0 {
			f.rig.mu.Lock() // the address is the rig's
			place := f.url
			f.rig.mu.Unlock()
			var err error
			if answer, status, err = deliver(f.t.Context(), client, place, f.letters[i]); err != nil && !pauses(f.t.Context(), 50*time.Millisecond) {
				return
			}
		}
		f.note(f.letters[i], answer, status)
	}
}

// deliver posts one delivery; the status is 0 when nobody answered, or only that it did not work.
func deliver(ctx context.Context, client *http.Client, place string, l letter) (api.Hooked, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, place+api.HooksPath+l.receiver, strings.NewReader(l.body))
	if err != nil {
		return api.Hooked{}, 0, err
	}
	for k, v := range l.header {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return api.Hooked{}, 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= http.StatusInternalServerError {
		return api.Hooked{}, 0, fmt.Errorf("the answer is %s", res.Status)
	}
	var answer api.Hooked
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && res.StatusCode == http.StatusAccepted {
		return answer, 0, err // it broke off: nothing was acknowledged
	}
	return answer, res.StatusCode, nil
}

// note keeps what was answered.
func (f *flood) note(l letter, answer api.Hooked, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done++; f.done == len(f.letters)/2 {
		close(f.half)
	}
	if status != l.status {
		f.t.Errorf("delivery %s at %s: the answer is %d, want %d", l.key, l.receiver, status, l.status)
		return
	}
	if status != http.StatusAccepted {
		return
	}
	key := l.receiver + " " + l.key
	if len(answer.Events) != 1 {
		f.t.Errorf("delivery %s gave the events %v", key, answer.Events)
		return
	}
	if was, ok := f.acked[key]; ok && was != answer.Events[0] {
		f.t.Errorf("delivery %s was event %d, is event %d", key, was, answer.Events[0])
	}
	f.acked[key] = answer.Events[0]
	if answer.Fresh {
		f.fresh[key]++
	}
}

// drain waits until every event and every promotion has come to its end.
func (f *flood) drain() {
	f.t.Helper()
	_, err := poll(f.t.Context(), func() (struct{}, string, error) {
		var waiting api.List[api.Event]
		if err := f.api("admin").Get(f.t.Context(), "/api/v1/events?limit=1&state=received", &waiting); err != nil {
			return struct{}{}, "", err
		}
		if len(waiting.Items) > 0 {
			return struct{}{}, fmt.Sprintf("event %d is not processed: %s", waiting.Items[0].ID, waiting.Items[0].Reason), nil
		}
		promotions := all[api.Promotion](f.t, f.api("admin"), "/api/v1/promotions?limit=200")
		for _, p := range promotions {
			if !p.State.Ended() {
				return struct{}{}, fmt.Sprintf("promotion %d is %s: %s", p.ID, p.State, p.Reason), nil
			}
		}
		return struct{}{}, "", nil
	})
	if err != nil {
		f.t.Fatalf("the flood does not run off: %v", err)
	}
}

// checkEvents: each key that was acknowledged is there once, and nothing else is; dead are
// exactly those that could not be read.
func (f *flood) checkEvents() {
	f.t.Helper()
	for key, n := range f.fresh {
		if n > 1 {
			f.t.Errorf("delivery %s was new %d times", key, n)
		}
	}
	there, dead := map[string]int64{}, map[string]bool{}
	for _, receiver := range []string{"github", "pushes"} {
		for _, e := range all[api.Event](f.t, f.api("admin"), "/api/v1/events?limit=1000&receiver="+receiver) {
			key := receiver + " " + e.Key
			if other, twice := there[key]; twice {
				f.t.Errorf("delivery %s is there as event %d and as event %d", key, other, e.ID)
			}
			if there[key] = e.ID; e.State == bridge.EventDead {
				dead[e.Key] = true
			}
		}
	}
	if !maps.Equal(there, f.acked) {
		f.t.Errorf("%d deliveries are there, %d were acknowledged", len(there), len(f.acked))
		for key, id := range f.acked {
			if there[key] != id {
				f.t.Fatalf("delivery %s was acknowledged as event %d, there is %d", key, id, there[key])
			}
		}
	}
	if !maps.Equal(dead, f.dead) {
		f.t.Errorf("%d dead letters, want %d", len(dead), len(f.dead))
	}
}

// checkPromotions: one accepted handoff and one promotion of each image that is there.
func (f *flood) checkPromotions() {
	f.t.Helper()
	accepted, started := map[string]int{}, map[string]int{}
	for _, h := range all[api.Handoff](f.t, f.api("admin"), "/api/v1/handoffs?limit=1000&state=accepted") {
		accepted[h.Application]++
	}
	for _, p := range all[api.Promotion](f.t, f.api("admin"), "/api/v1/promotions?limit=200") {
		started[p.Application]++
		if p.State != cd.Done {
			f.t.Errorf("promotion %d of %s is %s: %s", p.ID, p.Application, p.State, p.Reason)
		}
	}
	want := map[string]int{}
	for i := range floodApps {
		want[floodApp(i)] = 1
	}
	if !maps.Equal(accepted, want) || !maps.Equal(started, want) {
		f.t.Errorf("accepted handoffs %v, promotions %v, want %v", accepted, started, want)
	}
}

func (f *flood) checkAudit() {
	f.t.Helper()
	var report api.AuditReport
	if err := f.api("admin").Get(f.t.Context(), "/api/v1/audit/verify?plane="+api.PlaneCD, &report); err != nil || !report.OK {
		f.t.Errorf("audit log: %v, %+v", err, report)
	}
}

// memory is the most that a server ever had resident, in MiB.
func (f *flood) memory(n *node) float64 {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, "kB")
	kb, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		f.t.Fatal(err)
	}
	if kb/1024 > 512 {
		f.t.Errorf("the server had %.0f MiB resident", kb/1024)
	}
	return kb / 1024
}

// figures are for whoever reads the log, and for the benchmark's table.
func (f *flood) figures(answered, drained time.Duration, memory float64) {
	f.t.Helper()
	type figure struct {
		What  string  `json:"what"`
		Value float64 `json:"value"`
		Unit  string  `json:"unit"`
	}
	posted := float64(len(f.letters))
	list := []figure{
		{"deliveries posted by 64 senders", posted, "posts"},
		{"kept, each once", float64(len(f.acked)), "events"},
		{"dead letters", float64(len(f.dead)), "events"},
		{"answered per second, the restart with it", posted / answered.Seconds(), "/s"},
		{"answered and processed per second", posted / drained.Seconds(), "/s"},
		{"largest resident memory of a server", memory, "MiB"},
	}
	for _, g := range list {
		f.t.Logf("%s: %.1f %s", g.What, g.Value, g.Unit)
	}
	file := os.Getenv(floodReport)
	if file == "" {
		return
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		f.t.Error(err)
	}
}

func floodApp(i int) string { return "flood" + strconv.Itoa(i) }
