package web_test

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

func readFull(r io.Reader, b []byte) (int, error) { return io.ReadFull(r, b) }

func readAll(r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	return string(b), err
}

var (
	asEvent = map[string]string{"Content-Type": api.CloudEventType}
	asYAML  = map[string]string{"Content-Type": api.YAMLType}
)

func TestEvents(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	poster, viewer := p.secret[identity.Events], p.secret[identity.Viewer]
	body := p.event(p.publish("1.0.0", true))
	post := func(body string) call {
		return call{method: "POST", path: "/api/v1/events", token: poster, body: body, header: asEvent}
	}
	if got := want[api.Received](t, p.site, post(body)); got.ID != 1 || !got.Fresh {
		t.Errorf("first: %+v", got)
	}
	if got := want[api.Received](t, p.site, post(body)); got.ID != 1 || got.Fresh {
		t.Errorf("again: %+v", got)
	}
	p.settle()
	e := want[api.Event](t, p.site, call{path: "/api/v1/events/1", token: viewer})
	if e.State != bridge.EventProcessed || e.Sender != "a-events" || e.EventID != "run/1" || !strings.Contains(e.Artifact, "shop/web:1.0.0@sha256:") {
		t.Errorf("the event is %+v", e)
	}
	refuse(t, p.site, call{path: "/api/v1/events/7", token: viewer}, fault.NotFound, "")
	p.ship("1.1.0", true)
	p.ship("1.2.0", true)
	first := want[api.List[api.Event]](t, p.site, call{path: "/api/v1/events?limit=2", token: viewer})
	if len(first.Items) != 2 || first.Items[0].ID != 3 || first.Next != "2" {
		t.Errorf("first page %+v", first)
	}
	if rest := want[api.List[api.Event]](t, p.site, call{path: "/api/v1/events?limit=2&after=" + first.Next, token: viewer}); len(rest.Items) != 1 || rest.Next != "" {
		t.Errorf("the rest %+v", rest)
	}
	refuse(t, p.site, post(`{"specversion":"0.3"}`), fault.Invalid, "specversion")
	refuse(t, p.site, post("{"), fault.Invalid, "")
	for _, role := range []identity.Role{identity.Viewer, identity.Developer, identity.Approver, identity.CI} {
		c := post(body)
		c.token = p.secret[role]
		refuse(t, p.site, c, fault.Forbidden, "")
	}
	c := post(body)
	c.header = nil
	refuse(t, p.site, c, fault.Invalid, "Content-Type")
	refuse(t, p.site, post(`{"id":"`+strings.Repeat("x", 1<<20)+`"}`), fault.TooLarge, "")
}

func TestHandoffsAndReleases(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	viewer := p.secret[identity.Viewer]
	p.ship("1.0.0", true)
	p.pass(time.Second)
	p.ship("1.1.0", false)
	p.pass(time.Second)
	p.ship("1.2.0", true)

	list := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?limit=2", token: viewer})
	if len(list.Items) != 2 || list.Items[0].State != bridge.Accepted || list.Items[1].State != bridge.Refused || list.Next != "2" {
		t.Errorf("handoffs %+v", list)
	}
	if got := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?state=refused&application=shop", token: viewer}); len(got.Items) != 1 {
		t.Errorf("refused: %+v", got)
	}
	if h := want[api.Handoff](t, p.site, call{path: "/api/v1/handoffs/2", token: viewer}); len(h.Refusals) == 0 || h.Reason == "" || h.Release != "" {
		t.Errorf("handoff 2 is %+v", h)
	}
	refuse(t, p.site, call{path: "/api/v1/handoffs?state=odd", token: viewer}, fault.Invalid, "state")
	refuse(t, p.site, call{path: "/api/v1/handoffs/99", token: viewer}, fault.NotFound, "")

	first := want[api.List[api.Release]](t, p.site, call{path: "/api/v1/releases?application=shop&limit=1", token: viewer})
	if len(first.Items) != 1 || first.Items[0].Version != "1.2.0" || first.Next == "" || first.Items[0].Evidence != nil {
		t.Errorf("releases %+v", first)
	}
	rest := want[api.List[api.Release]](t, p.site, call{path: "/api/v1/releases?limit=5&after=" + first.Next, token: viewer})
	if len(rest.Items) != 1 || rest.Items[0].Version != "1.0.0" || rest.Next != "" {
		t.Errorf("the rest %+v", rest)
	}
	id := rest.Items[0].ID
	for _, ref := range []string{id, id[:6], "shop@1.0.0"} {
		r := want[api.Release](t, p.site, call{path: "/api/v1/releases/" + ref, token: viewer})
		if r.ID != id || r.Author != "a-developer" || r.Evidence == nil || r.Evidence["web"].Tests == nil || r.Evidence["web"].Tests.Passed != 3 {
			t.Errorf("release %s is %+v", ref, r)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/releases/shop@9", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/releases/abc", token: viewer}, fault.Invalid, "")
	refuse(t, p.site, call{path: "/api/v1/releases?after=none", token: viewer}, fault.Invalid, "after")

	plan := want[api.Plan](t, p.site, call{path: "/api/v1/releases/shop@1.2.0/plan?environment=production", token: viewer})
	if plan.Digest.IsZero() || plan.Steps[1].Text != "approve by 1" || plan.Environment != "production" || plan.Document.Digest() != plan.Digest {
		t.Errorf("the plan is %+v", plan)
	}
	refuse(t, p.site, call{path: "/api/v1/releases/shop@1.2.0/plan", token: viewer}, fault.Invalid, "environment")
	refuse(t, p.site, call{path: "/api/v1/releases/shop@1.2.0/plan?environment=moon", token: viewer}, fault.NotFound, "")
}

func TestVerifyAgain(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	verify := call{method: "POST", path: "/api/v1/releases/shop@1.0.0/verify", token: p.secret[identity.Viewer]}
	if v := want[api.Verification](t, p.site, verify); !v.OK || len(v.Refusals) != 0 || len(v.Evidence["web"].Attestations) != 3 {
		t.Errorf("verified: %+v", v)
	}
	p.shelf.mu.Lock() // somebody strips the evidence
	p.shelf.bundles = map[artifact.Digest][][]byte{}
	p.shelf.mu.Unlock()
	if v := want[api.Verification](t, p.site, verify); v.OK || len(v.Refusals) == 0 || v.Refusals[0].Rule == "" {
		t.Errorf("stripped: %+v", v)
	}
	verify.path = "/api/v1/releases/shop@2.0.0/verify"
	refuse(t, p.site, verify, fault.NotFound, "")
}

func TestPromotions(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	viewer, developer, approver := p.secret[identity.Viewer], p.secret[identity.Developer], p.secret[identity.Approver]
	waiting := want[api.List[api.Promotion]](t, p.site, call{path: "/api/v1/promotions?application=shop&environment=production&active=true", token: viewer})
	if len(waiting.Items) != 1 || waiting.Items[0].Signal != cd.SignalApproval || waiting.Items[0].Requester != "a-developer" {
		t.Fatalf("waiting: %+v", waiting)
	}
	w := waiting.Items[0]
	if w.Steps[0].State != "done" || w.Steps[1].State != "current" || w.Steps[2].State != "coming" {
		t.Errorf("its steps are %+v", w.Steps)
	}
	path := "/api/v1/promotions/" + itoa(int(w.ID))
	good := `{"plan":"` + w.Plan.String() + `","message":"fine"}`
	approve := func(token, body string) call {
		return call{method: "POST", path: path + "/approve", token: token, body: body}
	}
	for _, role := range []identity.Role{identity.Viewer, identity.Developer, identity.Events, identity.CI} {
		refuse(t, p.site, approve(p.secret[role], good), fault.Forbidden, "")
	}
	refuse(t, p.site, approve(approver, `{"message":"fine"}`), fault.Invalid, "plan")
	refuse(t, p.site, approve(approver, `{"plan":"sha256:abc","message":"fine"}`), fault.Invalid, "")
	refuse(t, p.site, approve(approver, `{"plan":"`+artifact.DigestOf(nil).String()+`"}`), fault.Conflict, "")
	refuse(t, p.site, call{method: "POST", path: "/api/v1/promotions/99/approve", token: approver, body: good}, fault.NotFound, "")
	// The requester may approve others' promotions, not this one.
	_, secret, err := p.tokens.Create(t.Context(), identity.Request{Name: "a-developer", Role: identity.Releaser, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, p.site, approve(secret, good), fault.Forbidden, "")
	promote := func(token, body string) call {
		return call{method: "POST", path: "/api/v1/promotions", token: token, body: body}
	}
	joined := want[api.Promotion](t, p.site, promote(developer, `{"release":"shop@1.0.0","environment":"production","note":"please"}`))
	if joined.ID != w.ID || len(joined.Causes) != 2 || !strings.HasPrefix(joined.Causes[1].Note, "please") {
		t.Errorf("a second request: %+v", joined)
	}
	got := want[api.Promotion](t, p.site, approve(approver, good))
	if len(got.Decisions) != 1 || got.Decisions[0].Actor != "a-approver" || !got.Decisions[0].Approve {
		t.Errorf("approved: %+v", got)
	}
	p.settle()
	if got := want[api.Promotion](t, p.site, call{path: path, token: viewer}); got.Admitted == nil || got.Weight != 100 || got.State != cd.Done {
		t.Errorf("after approval: %+v", got)
	}
	refuse(t, p.site, call{method: "POST", path: path + "/reject", token: approver, body: good}, fault.Conflict, "")

	refuse(t, p.site, promote(viewer, `{"release":"shop@1.0.0","environment":"dev"}`), fault.Forbidden, "")
	refuse(t, p.site, promote(developer, `{"environment":"dev"}`), fault.Invalid, "release")
	refuse(t, p.site, promote(developer, `{"release":"shop@1.0.0"}`), fault.Invalid, "environment")
	refuse(t, p.site, promote(developer, `{"release":"shop@1.0.0","environment":"dev","force":true}`), fault.Invalid, "force")
	refuse(t, p.site, promote(developer, `{"release":"shop@1.0.0","environment":"moon"}`), fault.NotFound, "")
	refuse(t, p.site, promote(developer, `{"release":"shop@1.0.0","environment":"dev"}`), fault.Conflict, "")
	all := want[api.List[api.Promotion]](t, p.site, call{path: "/api/v1/promotions?limit=1", token: viewer})
	if len(all.Items) != 1 || all.Next != itoa(int(w.ID)) {
		t.Errorf("first page: %+v", all)
	}
	refuse(t, p.site, call{path: "/api/v1/promotions?state=odd", token: viewer}, fault.Invalid, "state")
	refuse(t, p.site, call{path: "/api/v1/promotions?active=odd", token: viewer}, fault.Invalid, "active")
	refuse(t, p.site, call{path: "/api/v1/promotions?environment=dev", token: viewer}, fault.Invalid, "application")
	refuse(t, p.site, call{path: "/api/v1/promotions/99", token: viewer}, fault.NotFound, "")
}

func TestReject(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	w := want[api.List[api.Promotion]](t, p.site, call{path: "/api/v1/promotions?state=waiting", token: p.secret[identity.Viewer]}).Items[0]
	got := want[api.Promotion](t, p.site, call{
		method: "POST", path: "/api/v1/promotions/" + itoa(int(w.ID)) + "/reject", token: p.secret[identity.Approver],
		body: `{"plan":"` + w.Plan.String() + `","message":"not on a Friday"}`,
	})
	if got.State != cd.Rejected || got.Ended == nil || got.Reason != "rejected by a-approver: not on a Friday" {
		t.Errorf("rejected: %+v", got)
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	viewer := p.secret[identity.Viewer]
	p.ship("1.0.0", true)
	list := want[api.List[api.Environment]](t, p.site, call{path: "/api/v1/environments?limit=1", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Name != "dev" || list.Items[0].Live == 0 || list.Next != "shop/dev" {
		t.Errorf("first page %+v", list)
	}
	list = want[api.List[api.Environment]](t, p.site, call{path: "/api/v1/environments?limit=1&after=shop/dev", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Name != "production" || list.Next != "" {
		t.Errorf("last page %+v", list)
	}
	refuse(t, p.site, call{path: "/api/v1/environments?after=shop/moon", token: viewer}, fault.Invalid, "after")
	status := want[api.List[api.Status]](t, p.site, call{path: "/api/v1/status?application=shop", token: viewer})
	if len(status.Items) != 2 || status.Items[0].Version != "1.0.0" || status.Items[0].Traffic[0].Weight != 100 || status.Items[1].Coming != "1.0.0" {
		t.Errorf("status %+v", status)
	}
	if none := want[api.List[api.Status]](t, p.site, call{path: "/api/v1/status?application=none", token: viewer}); none.Items == nil || len(none.Items) != 0 {
		t.Errorf("status of nothing %+v", none)
	}
	for about, n := range map[string]int{"": 2, "production": 1, "shop/dev": 1, "2": 1} {
		if got := want[api.List[api.Answer]](t, p.site, call{path: "/api/v1/why?about=" + about, token: viewer}); len(got.Items) != n || got.Items[0].Says == "" {
			t.Errorf("why %q: %+v", about, got)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/why?about=moon", token: viewer}, fault.NotFound, "about")
	refuse(t, p.site, call{path: "/api/v1/why?about=77", token: viewer}, fault.NotFound, "")

	back := call{method: "POST", path: "/api/v1/environments/shop/dev/rollback", token: p.secret[identity.Approver], body: `{"note":"wrong prices"}`}
	refuse(t, p.site, back, fault.Forbidden, "")
	back.token = p.secret[identity.Releaser]
	refuse(t, p.site, back, fault.Blocked, "") // nothing was here before
	p.pass(time.Second)
	p.ship("1.1.0", true)
	if got := want[api.Promotion](t, p.site, back); got.Version != "1.0.0" || got.Causes[0].Note != "wrong prices" {
		t.Errorf("rollback: %+v", got)
	}
	back.path = "/api/v1/environments/shop/moon/rollback"
	refuse(t, p.site, back, fault.NotFound, "")
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	releaser, viewer := p.secret[identity.Releaser], p.secret[identity.Viewer]
	put := func(query, body string) call {
		return call{method: "PUT", path: "/api/v1/deliveries" + query, token: releaser, body: body, header: asYAML}
	}
	if a := want[api.Applied](t, p.site, put("?dry=true", delivery)); !a.Changed || a.Version != 0 || !strings.Contains(a.Diff, "+name: shop\n") {
		t.Errorf("dry: %+v", a)
	}
	refuse(t, p.site, call{path: "/api/v1/deliveries/shop", token: viewer}, fault.NotFound, "")
	if a := want[api.Applied](t, p.site, put("", delivery)); !a.Changed || a.Version != 1 || a.Name != "shop" || a.Kind != "Delivery" {
		t.Errorf("first: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", delivery)); a.Changed || a.Version != 1 || a.Diff != "" {
		t.Errorf("again: %+v", a)
	}
	second := strings.Replace(delivery, "required: 1", "required: 2", 1)
	if a := want[api.Applied](t, p.site, put("?file=d.yaml", second)); a.Version != 2 || !strings.Contains(a.Diff, "\n-    approval: {required: 1") || !strings.Contains(a.Diff, "\n+    approval: {required: 2") {
		t.Errorf("second: %+v", a)
	}
	_, problem := p.problem(t, put("?file=d.yaml", strings.Replace(delivery, "approval:", "approva:", 1)))
	if problem.Kind != fault.Invalid || problem.File != "d.yaml" || problem.Line != 14 || problem.Column == 0 || !strings.Contains(problem.Detail+problem.Hint, "approval") {
		t.Errorf("a misspelt key: %+v", problem)
	}
	c := put("", delivery)
	c.token = p.secret[identity.Approver]
	refuse(t, p.site, c, fault.Forbidden, "")
	c = put("", delivery)
	c.header = nil
	refuse(t, p.site, c, fault.Invalid, "Content-Type")
	refuse(t, p.site, put("?dry=odd", delivery), fault.Invalid, "dry")
	refuse(t, p.site, put("", strings.Repeat("#", 1<<20+1)), fault.TooLarge, "")

	list := want[api.List[api.Delivery]](t, p.site, call{path: "/api/v1/deliveries", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Version != 2 || list.Items[0].Source != "" {
		t.Errorf("list %+v", list)
	}
	for _, query := range []string{"", "?version=2"} {
		if d := want[api.Delivery](t, p.site, call{path: "/api/v1/deliveries/shop" + query, token: viewer}); d.Source != second || d.Version != 2 {
			t.Errorf("delivery%s %+v", query, d)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/deliveries/shop?version=9", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/deliveries/shop?version=x", token: viewer}, fault.Invalid, "version")
}

func TestTrust(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	admin := p.secret[identity.Admin]
	other, err := attest.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.MarshalPublic(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	trust := "apiVersion: drawbridge/v1\nkind: Trust\nsigners:\n  - name: jenkins\n    predicates: [provenance, tests]\n    key: |\n      " +
		strings.ReplaceAll(strings.TrimSpace(string(pub)), "\n", "\n      ") + "\n"
	put := func(query, body string) call {
		return call{method: "PUT", path: "/api/v1/trust" + query, token: admin, body: body, header: asYAML}
	}
	if a := want[api.Applied](t, p.site, put("?dry=true", trust)); !a.Changed || a.Version != 0 || !strings.Contains(a.Diff, "jenkins") {
		t.Errorf("dry: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", trust)); !a.Changed || a.Version != 1 || !strings.Contains(a.Diff, "+- name: jenkins") && !strings.Contains(a.Diff, "+  - name: jenkins") {
		t.Errorf("first: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", trust)); a.Changed || a.Version != 1 || a.Diff != "" {
		t.Errorf("again: %+v", a)
	}
	got := want[api.Trust](t, p.site, call{path: "/api/v1/trust", token: p.secret[identity.Viewer]})
	if got.Version != 1 || len(got.Policy.Signers) != 2 || got.Policy.Signers[1].Name != "ci" {
		t.Errorf("trust is %+v", got)
	}
	_, problem := p.problem(t, put("?file=t.yaml", "kind: Trust\nsigner: []\n"))
	if problem.Kind != fault.Invalid || problem.File != "t.yaml" || problem.Line == 0 {
		t.Errorf("a malformed file: %+v", problem)
	}
	c := put("", trust)
	c.token = p.secret[identity.Releaser]
	refuse(t, p.site, c, fault.Forbidden, "")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	viewer := p.secret[identity.Viewer]
	first := want[api.List[api.AuditEntry]](t, p.site, call{path: "/api/v1/audit?plane=cd&limit=2", token: viewer})
	if len(first.Items) != 2 || first.Items[0].Seq != 1 || first.Items[0].Action != "delivery.apply" || first.Next != "2" {
		t.Errorf("first page %+v", first)
	}
	if rest := want[api.List[api.AuditEntry]](t, p.site, call{path: "/api/v1/audit?plane=cd&after=2", token: viewer}); rest.Items[0].Seq != 3 {
		t.Errorf("the rest %+v", rest)
	}
	report := want[api.AuditReport](t, p.site, call{path: "/api/v1/audit/verify?plane=cd", token: viewer})
	if !report.OK || report.Size < 5 || report.Root == "" || !strings.Contains(report.Checkpoint, "drawbridge/cd") || report.Plane != "cd" {
		t.Errorf("report %+v", report)
	}
	resp, body := p.send(t, call{path: "/api/v1/audit/export?plane=cd", token: viewer})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != api.ExportType {
		t.Fatalf("export: %d", resp.StatusCode)
	}
	export, err := audit.OpenExport("x", bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(t.Context(), export, report.Key, []byte(report.Checkpoint)); err != nil || r.Root != report.Root {
		t.Errorf("the export: %+v, %v", r, err)
	}
	if empty := want[api.AuditReport](t, p.site, call{path: "/api/v1/audit/verify?plane=ci", token: viewer}); !empty.OK || empty.Size != 0 {
		t.Errorf("the empty log: %+v", empty)
	}
	for _, path := range []string{"/api/v1/audit", "/api/v1/audit/verify", "/api/v1/audit/export"} {
		refuse(t, p.site, call{path: path, token: viewer}, fault.Invalid, "plane")
		refuse(t, p.site, call{path: path + "?plane=moon", token: viewer}, fault.Invalid, "plane")
		refuse(t, p.site, call{path: path + "?plane=cd", token: p.secret[identity.Events]}, fault.Forbidden, "")
	}
}

func TestOldVersions(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	if _, err := cd.ApplyDelivery(t.Context(), p.cdStore, "ops", "d.yaml", []byte(delivery+"# again\n"), false); err != nil {
		t.Fatal(err)
	}
	s := serveRoutes(t, web.DeliveryRoutes(p.cdStore))
	viewer := s.secret[identity.Viewer]
	if d := want[api.Delivery](t, s, call{path: "/api/v1/deliveries/shop?version=1", token: viewer}); d.Version != 1 || d.Source != delivery {
		t.Errorf("version 1 is %+v", d)
	}
	refuse(t, s, call{path: "/api/v1/deliveries/shop?version=7", token: viewer}, fault.NotFound, "")
}
