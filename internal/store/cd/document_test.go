package cd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
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
		for repository, want := range map[string]int{"shop/web": 0, "shop/site": 1, "shop/": 0, "%": 0} {
			apps, err := w.Concerned(t.Context(), artifact.Reference{Repository: repository, Tag: "1.0.0"})
			if err != nil || len(apps) != want {
				t.Errorf("%q concerns %d applications, %v", repository, len(apps), err)
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
