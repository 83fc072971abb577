package cd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

func TestDeliveryVersions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if a := w.apply(delivery); a.Changed || a.Version != 1 {
			t.Errorf("the same file again: %+v", a)
		}
		// production goes away, canary comes, staging moves up.
		second := strings.Replace(strings.Replace(delivery, "name: production", "name: canary", 1), "image: shop/web", "image: shop/site", 1)
		if a := w.apply(second); !a.Changed || a.Version != 2 || a.Old != delivery {
			t.Errorf("another file: %+v", a)
		}
		for version, want := range map[int64]string{1: "shop/web", 2: "shop/site", 0: "shop/site"} {
			d, _, err := w.Delivery(t.Context(), "shop", version)
			if err != nil || d.Artifacts[0].Image != want {
				t.Errorf("version %d has image %q, %v", version, d.Artifacts[0].Image, err)
			}
		}
		for repository, want := range map[string]int{"shop/web": 0, "shop/site": 1, "shop/": 0, "%": 0, "shop/site\x00": 0} {
			f := bridge.Fact{Kind: bridge.KindArtifact, Artifact: artifact.Reference{Repository: repository, Tag: "1.0.0"}}
			apps, err := w.Concerned(t.Context(), f.Keys())
			if err != nil || len(apps) != want || want > 0 && (apps[0].Name != "shop" || apps[0].Delivery != 2) {
				t.Errorf("%q concerns %+v, %v", repository, apps, err)
			}
		}
		rows, err := w.Environments(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range rows {
			names = append(names, r.Ref.Name)
		}
		for _, want := range []string{"dev", "staging", "canary"} {
			if !slices.Contains(names, want) {
				t.Errorf("environments are %v", names)
			}
		}
	})
}

// A delivery that was right when it was applied goes on when a newer server would refuse it:
// it stops neither its own events nor those of others that wait for the same image.
func TestDeliveryOfEarlierChecks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d, err := cd.ParseDelivery("old.yaml", []byte(strings.Replace(delivery, "name: shop\n", "name: old\n", 1)))
		if err != nil {
			t.Fatal(err)
		}
		src := strings.Replace(strings.Replace(delivery, "name: shop\n", "name: old\n", 1), "on: artifact", "on: artifact, wait: 7200h", 1)
		if _, err := cd.ParseDelivery("old.yaml", []byte(src)); err == nil {
			t.Fatal("the checks take what this test needs them to refuse")
		}
		if _, err := w.PutDelivery(t.Context(), "ops", d, []byte(src), 0); err != nil {
			t.Fatal(err)
		}
		f := bridge.Fact{Kind: bridge.KindArtifact, Artifact: artifact.Reference{Repository: "shop/web", Tag: "1.0.0"}}
		apps, err := w.Concerned(t.Context(), f.Keys())
		if err != nil || len(apps) != 2 || apps[0].Name != "old" || len(apps[0].Triggers) == 0 {
			t.Errorf("Concerned = %+v, %v; want both applications", apps, err)
		}
	})
}

func TestApplyingKeepsWhatRuns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		w.end(w.walk(p, cd.StepAdmit))
		was, err := w.Environment(t.Context(), env("dev"))
		if err != nil || was.Live != p.ID || was.Address == "" {
			t.Fatalf("dev is %+v, %v", was, err)
		}
		w.apply(delivery + "# a remark\n")
		if now, err := w.Environment(t.Context(), env("dev")); err != nil || now != was {
			t.Errorf("dev was %+v, is %+v, %v", was, now, err)
		}
	})
}

func TestTwoAdminsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var calls []func() error
		for i := range 5 {
			text := fmt.Sprintf("%s# by admin %d\n", delivery, i)
			calls = append(calls, func() error {
				d, err := cd.ParseDelivery("d.yaml", []byte(text))
				if err != nil {
					return err
				}
				_, err = w.PutDelivery(t.Context(), fmt.Sprint("admin", i), d, []byte(text), 1)
				return err
			})
		}
		conflicts(t, race(calls...))
		if _, version, err := w.Newest(t.Context(), cd.KindDelivery, "shop"); err != nil || version != 2 {
			t.Errorf("version %d, %v", version, err)
		}
		w.audited()
	})
}

func TestTwoTrustsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if p, version, err := w.Trust(t.Context()); err != nil || version != 0 || len(p.Signers) != 0 {
			t.Fatalf("before the first document: %+v, version %d, %v", p, version, err)
		}
		var calls []func() error
		for i := range 5 {
			p := attest.Policy{Signers: []attest.Signer{{Name: fmt.Sprint("signer", i), Key: "PEM", Predicates: []string{"sbom"}}}}
			calls = append(calls, func() error {
				_, err := w.PutTrust(t.Context(), "ops", p, 0)
				return err
			})
		}
		conflicts(t, race(calls...))
		if p, version, err := w.Trust(t.Context()); err != nil || version != 1 || len(p.Signers) != 1 {
			t.Errorf("%+v, version %d, %v", p, version, err)
		}
	})
}

// conflicts fails unless exactly one of several writers won and the others were told so.
func conflicts(t *testing.T, errs []error) {
	t.Helper()
	if n := succeeded(errs); n != 1 {
		t.Errorf("%d writers have the same version", n)
	}
	for _, err := range errs {
		if err != nil && fault.KindOf(err) != fault.Conflict {
			t.Errorf("a writer too many: %v, want a conflict", err)
		}
	}
}

func TestDocumentsComeAndGo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		put := func(kind, name, body string, was int64) error {
			_, err := w.PutDocument(ctx, "ops", kind, name, []byte(body), was)
			return err
		}
		var calls []func() error
		for i := range 4 {
			calls = append(calls, func() error { return put(bridge.KindReceiver, "github", fmt.Sprint("by ", i), 0) })
		}
		conflicts(t, race(calls...))
		for _, name := range []string{"harbor", "jira"} {
			if err := put(bridge.KindReceiver, name, "body of "+name, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := put(bridge.KindPolicy, "default", "policy", 0); err != nil {
			t.Fatal(err)
		}
		if err := w.PutReceiverSecret(ctx, "ops", "harbor", []byte("sealed"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := w.DropDocument(ctx, "ops", bridge.KindReceiver, "harbor"); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"dropped twice":   w.DropDocument(ctx, "ops", bridge.KindReceiver, "harbor"),
			"never there":     w.DropDocument(ctx, "ops", bridge.KindWorkload, "harbor"),
			"of another kind": w.DropDocument(ctx, "ops", bridge.KindPolicy, "jira"),
		} {
			if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, err := range map[string]error{
			"a delivery is dropped": w.DropDocument(ctx, "ops", cd.KindDelivery, "shop"),
			"a delivery is put":     put(cd.KindDelivery, "shop", "x", 1),
			"an unknown kind":       put("Anything", "a", "x", 0),
			"an empty one":          put(bridge.KindReceiver, "empty", "", 0),
			"an old version":        put(bridge.KindReceiver, "harbor", "x", 1),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if list, err := w.ReceiverSecrets(ctx, "harbor", w.clock.now()); err != nil || len(list) != 0 {
			t.Errorf("a dropped receiver has %d secrets, %v", len(list), err)
		}
		if body, version, err := w.Newest(ctx, bridge.KindReceiver, "harbor"); err != nil || len(body) != 0 || version != 2 {
			t.Errorf("dropped: %q, version %d, %v", body, version, err)
		}
		list, err := w.Documents(ctx, bridge.KindReceiver, "", 0)
		if err != nil || len(list) != 2 || list[0].Name != "github" || list[1].Name != "jira" || string(list[1].Body) != "body of jira" {
			t.Errorf("receivers %+v, %v", list, err)
		}
		if list, err := w.Documents(ctx, bridge.KindReceiver, "github", 1); err != nil || len(list) != 1 || list[0].Name != "jira" {
			t.Errorf("the next page %+v, %v", list, err)
		}
		if err := put(bridge.KindReceiver, "harbor", "again", 2); err != nil {
			t.Fatal(err)
		}
		if list, err := w.Documents(ctx, bridge.KindReceiver, "github", 1); err != nil || len(list) != 1 || list[0].Version != 3 {
			t.Errorf("made again %+v, %v", list, err)
		}
		want := []string{
			"receiver.apply receiver/github", "receiver.apply receiver/harbor", "receiver.apply receiver/jira", "policy.apply policy/default",
			"receiver.secret receiver/harbor", "receiver.remove receiver/harbor", "receiver.apply receiver/harbor",
		}
		if got := w.entries()[1:]; !slices.Equal(got, want) {
			t.Errorf("audit log %v", got)
		}
		w.audited()
	})
}

func TestReceiverSecrets(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		put := func(sealed string, keep time.Time) {
			t.Helper()
			if err := w.PutReceiverSecret(ctx, "ops", "github", []byte(sealed), keep); err != nil {
				t.Fatal(err)
			}
		}
		valid := func(at time.Time, want ...string) {
			t.Helper()
			list, err := w.ReceiverSecrets(ctx, "github", at)
			var got []string
			for _, b := range list {
				got = append(got, string(b))
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("secrets %v, %v, want %v", got, err, want)
			}
		}
		valid(start)
		put("\x00one", time.Time{})
		put("two", start.Add(time.Hour)) // one is kept for an hour
		valid(start, "two", "\x00one")
		valid(start.Add(time.Hour), "two")
		put("three", time.Time{}) // two ends, one has its hour
		valid(start, "three", "\x00one")
		w.clock.move(2 * time.Hour)
		put("four", w.clock.now().Add(-time.Hour)) // kept until a time that has passed
		valid(w.clock.now(), "four")
		if n := w.count("SELECT count(*) FROM receiver_secret"); n != 1 {
			t.Errorf("%d rows: what has ended is not dropped", n)
		}
		if err := w.PutReceiverSecret(ctx, "ops", "github", nil, time.Time{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("an empty secret: %v", err)
		}
		if list, err := w.ReceiverSecrets(ctx, "githu", start); err != nil || len(list) != 0 {
			t.Errorf("another receiver's: %v, %v", list, err)
		}
	})
}

func TestApplicationsPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a-1", "zebra", "b"} {
			w.apply(strings.Replace(delivery, "name: shop\n", "name: "+name+"\n", 1))
		}
		var got []string
		for after := ""; ; {
			page, err := w.Applications(t.Context(), after, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1]
		}
		if want := []string{"a-1", "b", "shop", "zebra"}; !slices.Equal(got, want) {
			t.Errorf("applications %v, want %v", got, want)
		}
	})
}
