package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/web/api"
)

// settle waits until everything has come to its end: every run, every event of a run that
// succeeded, every promotion.
func (c *chaos) settle() {
	c.t.Helper()
	_, err := poll(c.t.Context(), func() (struct{}, string, error) {
		for _, r := range all[api.Run](c.t, c.api("admin"), "/api/v1/runs?limit=200") {
			if !ended(r.State) {
				return struct{}{}, fmt.Sprintf("run %d is %s: %s", r.ID, r.State, r.Reason), nil
			}
		}
		told := map[string]bool{}
		for _, e := range all[api.Event](c.t, c.api("admin"), "/api/v1/events?limit=200") {
			if e.State != bridge.EventProcessed {
				return struct{}{}, fmt.Sprintf("event %d is %s", e.ID, e.State), nil
			}
			if e.Artifact != "" { // others tell of branches
				told[e.Artifact] = true
			}
		}
		for _, version := range c.pushed {
			if !slices.ContainsFunc(keys(told), func(a string) bool { return strings.Contains(a, ":"+version+"@") }) {
				return struct{}{}, "no event tells of " + version, nil
			}
		}
		for _, p := range all[api.Promotion](c.t, c.api("admin"), "/api/v1/promotions?limit=200") {
			if !p.State.Ended() {
				return struct{}{}, fmt.Sprintf("promotion %d of %s to %s is %s: %s", p.ID, p.Version, p.Environment, p.State, p.Reason), nil
			}
		}
		return struct{}{}, "", nil
	})
	if err != nil {
		c.t.Errorf("after the last start: %v", err)
	}
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// check compares what is there with what people were told.
func (c *chaos) check() {
	c.t.Helper()
	c.runs()
	c.events()
	c.handoffs()
	c.approvals()
	c.places()
	c.tags()
	c.audits()
	c.t.Logf("%d pushes, %d events, %d approvals were acknowledged", len(c.pushed), len(c.posted), len(c.approved))
}

// runs: each push that was answered ok has exactly one run, which succeeded.
func (c *chaos) runs() {
	of := map[string][]api.Run{}
	for _, r := range all[api.Run](c.t, c.api("admin"), "/api/v1/runs?limit=200") {
		of[r.Commit] = append(of[r.Commit], r)
	}
	for commit, version := range c.pushed {
		switch list := of[commit]; {
		case len(list) != 1:
			c.t.Errorf("the push of %s was taken and has %d runs", version, len(list))
		case list[0].State != ci.RunSucceeded:
			c.t.Errorf("run %d of %s %s: %s", list[0].ID, version, list[0].State, list[0].Reason)
		}
	}
}

// events: each one that was taken is there once, and each version is told of once.
func (c *chaos) events() {
	there, told := map[string]int64{}, map[string]int{}
	for _, e := range all[api.Event](c.t, c.api("admin"), "/api/v1/events?limit=200") {
		if _, twice := there[e.Source+" "+e.EventID]; twice {
			c.t.Errorf("event %s of %s is there twice", e.EventID, e.Source)
		}
		there[e.Source+" "+e.EventID] = e.ID
		if e.Sender == "ci" && e.Artifact != "" {
			told[e.Artifact]++
		}
	}
	for id, number := range c.posted {
		if got := there["/robot "+id]; got != number {
			c.t.Errorf("event %s was taken as number %d and is number %d now", id, number, got)
		}
	}
	for image, n := range told {
		if n != 1 {
			c.t.Errorf("%d events tell of %s", n, image)
		}
	}
}

// handoffs: one accepted handoff for each version and digest, one for each event.
func (c *chaos) handoffs() {
	accepted, events := map[string]int64{}, map[int64]int64{}
	versions := map[string]bool{}
	for _, h := range all[api.Handoff](c.t, c.api("admin"), "/api/v1/handoffs?limit=200") {
		if other, twice := events[h.Event]; twice {
			c.t.Errorf("handoffs %d and %d are of event %d", other, h.ID, h.Event)
		}
		events[h.Event] = h.ID
		if h.State != bridge.Accepted {
			continue
		}
		_, digest, _ := strings.Cut(h.Image, "@")
		if other, twice := accepted[h.Trigger+digest]; twice {
			c.t.Errorf("handoffs %d and %d accept %s", other, h.ID, h.Image)
		}
		accepted[h.Trigger+digest] = h.ID
		name, _, _ := strings.Cut(h.Image, "@")
		versions[name[strings.LastIndex(name, ":")+1:]] = true
	}
	for _, version := range c.pushed {
		if !versions[version] {
			c.t.Errorf("%s was built and did not cross", version)
		}
	}
}

// approvals: each one that bob was told of is kept, once.
func (c *chaos) approvals() {
	for id := range c.approved {
		var p api.Promotion
		if err := c.api("admin").Get(c.t.Context(), fmt.Sprintf("/api/v1/promotions/%d", id), &p); err != nil {
			c.t.Errorf("promotion %d was approved: %v", id, err)
			continue
		}
		if len(p.Decisions) != 1 || p.Decisions[0].Actor != "bob" || !p.Decisions[0].Approve || p.Decisions[0].Plan != p.Plan {
			c.t.Errorf("promotion %d was approved by bob; decisions are %+v", id, p.Decisions)
		}
	}
}

// places: what the rows say runs everywhere, once, and answers.
func (c *chaos) places() {
	newest := ""
	for _, r := range all[api.Release](c.t, c.api("admin"), "/api/v1/releases?limit=200") {
		if newest == "" || bridge.Newer(bridge.Release{Version: r.Version}, bridge.Release{Version: newest}) {
			newest = r.Version
		}
	}
	for _, st := range all[cd.Status](c.t, c.api("admin"), "/api/v1/status?application=shop") {
		if len(st.Traffic) != 1 || st.Traffic[0].Weight != 100 || !st.Traffic[0].Healthy || st.Traffic[0].Version != st.Version {
			c.t.Errorf("%s runs %q; traffic %+v", st.Environment, st.Version, st.Traffic)
		}
		if st.Version != newest {
			c.t.Errorf("%s runs %s, the newest is %s: %s %s", st.Environment, st.Version, newest, st.State, st.Reason)
		}
		got, err := fetch(c.t.Context(), st.Address)
		if err != nil || got != st.Version {
			c.t.Errorf("%s answers as %q, %v, want %s", st.Environment, got, err, st.Version)
		}
	}
	if n := c.instances(); n != 3 {
		left, _ := c.remains()
		c.t.Errorf("%d instances run in three environments:\n%s", n, strings.Join(left, "\n"))
	}
}

// tags: each version's tag names the digest of its release.
func (c *chaos) tags() {
	for _, r := range all[api.Release](c.t, c.api("admin"), "/api/v1/releases?limit=200") {
		place, err := url.JoinPath(c.url, "/v2/shop/web/manifests/", r.Version)
		if err != nil {
			c.t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodHead, place, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		req.SetBasicAuth("alice", c.tokens["alice"])
		req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Docker-Content-Digest"); got != r.Artifacts["web"].String() {
			c.t.Errorf("tag %s names %s (%s), the release %s", r.Version, got, resp.Status, r.Artifacts["web"])
		}
	}
}

// audits: both logs prove themselves, and each move of a promotion is told once.
func (c *chaos) audits() {
	for _, plane := range []string{api.PlaneCI, api.PlaneCD} {
		var report api.AuditReport
		if err := c.api("admin").Get(c.t.Context(), "/api/v1/audit/verify?plane="+plane, &report); err != nil || !report.OK {
			c.t.Errorf("audit log of %s: %v, %+v", plane, err, report)
		}
	}
	once, moves := map[string]bool{}, map[string]int64{}
	for _, e := range all[api.AuditEntry](c.t, c.api("admin"), "/api/v1/audit?plane=cd&limit=200") {
		if e.Detail["from"] == "" || !strings.HasPrefix(e.Subject, "promotion/") {
			continue
		}
		key := e.Subject + " version " + e.Detail["version"]
		if once[key] {
			c.t.Errorf("%s is told twice", key)
		}
		once[key] = true
		moves[e.Subject]++
	}
	if len(moves) == 0 {
		c.t.Error("the audit log tells of no promotion")
	}
	for subject, n := range moves {
		if !once[fmt.Sprintf("%s version %d", subject, n+1)] {
			c.t.Errorf("%s has %d moves and no entry of version %d", subject, n, n+1)
		}
	}
}
