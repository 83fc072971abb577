package cd_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

func TestOpenedOncePerReleaseAndEnvironment(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		first := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice", Note: "please"})
		joined := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "carol", Note: "me too"})
		again := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "carol", Note: "me too"})
		if joined.ID != first.ID || again.ID != first.ID || len(again.Causes) != 2 || again.Requester != "alice" {
			t.Errorf("promotions %d, %d, %d with causes %+v", first.ID, joined.ID, again.ID, again.Causes)
		}
		got := w.promotion(first.ID)
		if got.Version != 1 || len(got.Causes) != 2 || got.Causes[1].Actor != "carol" {
			t.Errorf("promotion is %+v", got)
		}
		want := []string{"promotion.open promotion/2", "promotion.join promotion/2"}
		if diff := cmp.Diff(want, w.entries()[4:]); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
		// Once it has ended, a person may ask again.
		w.moved(got, cd.Event{Kind: cd.Reject, Reason: "no"}, cd.Change{})
		if p := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice", Note: "please"}); p.ID == first.ID {
			t.Error("an ended promotion was joined")
		}
	})
}

func TestOpenedOnceByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		var calls []func() error
		for _, actor := range []string{"a", "b", "c", "d", "e", "f"} {
			p := w.fresh(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: actor, Note: "now"})
			calls = append(calls, func() error {
				_, err := w.Open(t.Context(), []cd.Promotion{p})
				return err
			})
		}
		for _, err := range race(calls...) {
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Errorf("open: %v", err)
			}
		}
		if n := w.count("SELECT count(*) FROM promotion WHERE environment = 'production'"); n != 1 {
			t.Errorf("%d promotions of one release into one environment", n)
		}
		w.audited()
	})
}

func TestAutomaticOnceEver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		auto := cd.Cause{Kind: cd.CauseAuto, Actor: "alice", Note: "after dev"}
		p := w.opened(r, "staging", auto)
		w.moved(p, cd.Event{Kind: cd.Supersede, Reason: "a newer one"}, cd.Change{})
		list, err := w.Open(t.Context(), []cd.Promotion{w.fresh(r, "staging", auto)})
		if err != nil || len(list) != 0 {
			t.Fatalf("an automatic cause had a second turn: %+v, %v", list, err)
		}
		// One that takes the place of an outdated one is not a turn of its own, and a person may always ask.
		auto.Again = int64(p.ID)
		if again := w.opened(r, "staging", auto); again.ID == p.ID {
			t.Error("the successor is the promotion itself")
		} else {
			w.moved(again, cd.Event{Kind: cd.Reject, Reason: "no"}, cd.Change{})
		}
		w.opened(r, "staging", cd.Cause{Kind: cd.CauseManual, Actor: "carol"})
	})
}

func TestAutomaticOnceByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		var calls []func() error
		for range 6 {
			p := w.fresh(r, "staging", cd.Cause{Kind: cd.CauseAuto, Actor: "alice", Note: "after dev"})
			calls = append(calls, func() error {
				_, err := w.Open(t.Context(), []cd.Promotion{p})
				return err
			})
		}
		for _, err := range race(calls...) {
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Errorf("open: %v", err)
			}
		}
		if n := w.count("SELECT count(*) FROM promotion WHERE environment = 'staging'"); n != 1 {
			t.Errorf("%d automatic promotions", n)
		}
	})
}

func TestCommitIsCompareAndSet(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		calls := make([]func() error, 6)
		for i := range calls {
			calls[i] = func() error {
				_, err := w.commit(p, cd.Event{Kind: cd.Begin, Reason: "begun"}, cd.Change{Action: "promotion.begin", Next: true})
				return err
			}
		}
		errs := race(calls...)
		if n := succeeded(errs); n != 1 {
			t.Fatalf("%d of 6 moves from one version counted: %v", n, errs)
		}
		for _, err := range errs {
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Errorf("a move too many: %v", err)
			}
		}
		if got := w.promotion(p.ID); got.Version != 2 || got.State != cd.Running {
			t.Errorf("promotion is %s, version %d", got.State, got.Version)
		}
		if n := w.tasks(storecd.TaskPromotion, int64(p.ID), 2); n != 1 {
			t.Errorf("%d tasks follow", n)
		}
		begun := slices.DeleteFunc(w.entries(), func(e string) bool { return e != "promotion.begin promotion/1" })
		if len(begun) != 1 {
			t.Errorf("%d audit entries for one move", len(begun))
		}
		w.audited()
	})
}

func TestPromotionComesBackAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		for name, text := range hostile() {
			p := w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: text, Note: text})
			if got := w.promotion(p.ID); got.Requester != text || got.Causes[0].Note != text {
				t.Errorf("%s came back as %q, %q", name, got.Requester, got.Causes[0].Note)
			}
			p = w.walk(p, cd.StepApprove)
			p = w.moved(p, cd.Event{Kind: cd.Wait, Signal: cd.SignalApproval, Reason: text}, cd.Change{Wake: start.Add(time.Hour)})
			if diff := cmp.Diff(p, w.promotion(p.ID), digests(), cmp.Transformer("none", func(d []cd.Decision) int { return len(d) })); diff != "" {
				t.Errorf("%s (-was +is):\n%s", name, diff)
			}
			d := cd.Decision{Actor: text, Plan: p.PlanDigest, Message: text, At: start}
			p = w.moved(p, cd.Event{Kind: cd.Reject, Reason: text}, cd.Change{Actor: "bob", Decided: &d})
			if got := w.promotion(p.ID); len(got.Decisions) != 1 || got.Decisions[0] != d || got.State != cd.Rejected {
				t.Errorf("%s: decisions %+v", name, got.Decisions)
			}
		}
		w.audited()
	})
}

// TestReasonThatNoDatabaseTakes: a reason may quote what a program printed, and must not
// keep a promotion from moving.
func TestReasonThatNoDatabaseTakes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		for _, text := range []string{"a\x00b", "a\xffb", "\xc3", strings.Repeat("x", 1999) + "\xc3\xb8 and more"} {
			if err := w.Note(t.Context(), p, text, start); err != nil {
				t.Errorf("note %q: %v", text, err)
			}
			p = w.moved(p, cd.Event{Kind: cd.Begin, Reason: text}, cd.Change{})
			if got := w.promotion(p.ID).Reason; !utf8.ValidString(got) || strings.Contains(got, "\x00") {
				t.Errorf("%q is kept as %q", text, got)
			}
			p = w.moved(p, cd.Event{Kind: cd.Supersede, Reason: "next"}, cd.Change{})
			p = w.opened(w.release("1.0.0"), "dev", cd.Cause{Kind: cd.CauseManual, Actor: "alice", Note: strings.Repeat("why not? ", 20_000)})
		}
		w.audited()
	})
}

func TestLongReasonIsCut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		for _, text := range []string{strings.Repeat("x", 100_000), strings.Repeat("ž", 50_000), "x" + strings.Repeat("ž", 50_000)} {
			p = w.moved(p, cd.Event{Kind: cd.Begin, Reason: text}, cd.Change{})
			if got := w.promotion(p.ID).Reason; len(got) > 3000 || !strings.HasSuffix(got, "…") {
				t.Errorf("a reason of %d bytes is kept with %d", len(text), len(got))
			}
			p = w.moved(p, cd.Event{Kind: cd.Supersede, Reason: text}, cd.Change{})
			p = w.opened(w.release("1.0.0"), "dev", cd.Cause{Kind: cd.CauseManual, Actor: "alice"})
		}
		w.audited()
	})
}

func TestEnvironmentHasOneHolder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, a := w.ship("1.0.0")
		_, b := w.ship("1.1.0")
		a, b = w.walk(a, cd.StepAdmit), w.walk(b, cd.StepAdmit)
		errs := race(
			func() error { return w.admit(a) },
			func() error { return w.admit(b) },
		)
		if n := succeeded(errs); n != 1 {
			t.Fatalf("%d promotions were admitted: %v", n, errs)
		}
		row, err := w.Environment(t.Context(), env("dev"))
		if err != nil {
			t.Fatal(err)
		}
		first, second := a, b
		if errs[0] != nil {
			first, second = b, a
		}
		if row.Active != first.ID {
			t.Errorf("promotion %d holds dev, want %d", row.Active, first.ID)
		}
		// The other one waits; once the holder has ended, it is looked at again and gets in.
		second = w.moved(w.promotion(second.ID), cd.Event{Kind: cd.Wait, Signal: cd.SignalSlot, Reason: "waits"}, cd.Change{})
		if n := w.tasks(storecd.TaskPromotion, int64(second.ID), second.Version); n != 0 {
			t.Errorf("%d tasks while the environment is taken", n)
		}
		w.end(w.promotion(first.ID))
		if n := w.tasks(storecd.TaskPromotion, int64(second.ID), second.Version); n != 1 {
			t.Errorf("%d tasks once the environment is free, want 1", n)
		}
		if err := w.admit(second); err != nil {
			t.Errorf("admit after the other has ended: %v", err)
		}
		row, err = w.Environment(t.Context(), env("dev"))
		if err != nil || row.Live != first.ID || row.Active != second.ID {
			t.Errorf("dev is %+v, %v", row, err)
		}
	})
}

// admit takes the environment for p.
func (w *world) admit(p cd.Promotion) error {
	_, err := w.commit(p, cd.Event{Kind: cd.Advance, Reason: "admitted"}, cd.Change{Next: true})
	return err
}

// end brings an admitted promotion to done.
func (w *world) end(p cd.Promotion) {
	w.t.Helper()
	for !p.State.Ended() {
		p = w.moved(p, cd.Event{Kind: cd.Advance, Reason: "done"}, cd.Change{Address: "127.0.0.1:4711"})
	}
}

// TestSlotFreedInTheSameInstant has one promotion begin to wait for the environment while
// its holder lets go of it: whichever is first, the one that waits is looked at again.
func TestSlotFreedInTheSameInstant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 12 {
			_, a := w.ship("1.0." + string(rune('a'+2*i)))
			_, b := w.ship("1.0." + string(rune('b'+2*i)))
			a = w.walk(a, cd.StepAdmit)
			a = w.walk(w.moved(a, cd.Event{Kind: cd.Advance, Reason: "admitted"}, cd.Change{}), cd.StepShift)
			b = w.walk(b, cd.StepAdmit)
			errs := race(
				func() error {
					_, err := w.commit(a, cd.Event{Kind: cd.Advance, Reason: "done"}, cd.Change{})
					return err
				},
				func() error {
					_, err := w.commit(b, cd.Event{Kind: cd.Wait, Signal: cd.SignalSlot, Reason: "waits"}, cd.Change{})
					return err
				},
			)
			if succeeded(errs) != 2 {
				t.Fatal(errs)
			}
			if n := w.tasks(storecd.TaskPromotion, int64(b.ID), b.Version+1); n == 0 {
				t.Fatalf("round %d: nobody looks at the promotion that waits for a free environment", i)
			}
			w.moved(w.promotion(b.ID), cd.Event{Kind: cd.Supersede, Reason: "next"}, cd.Change{})
		}
	})
}

func TestOneDecisionPerPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, _ := w.ship("1.0.0")
		p := w.walk(w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice"}), cd.StepApprove)
		p = w.moved(p, cd.Event{Kind: cd.Wait, Signal: cd.SignalApproval, Reason: "waits"}, cd.Change{})
		service := w.service(nil)
		approve := func(actor string, plan artifact.Digest) func() error {
			return func() error {
				_, err := service.Approve(t.Context(), actor, p.ID, plan, "fine")
				return err
			}
		}
		errs := race(approve("bob", p.PlanDigest), approve("bob", p.PlanDigest), approve("bob", p.PlanDigest))
		if n := succeeded(errs); n != 1 {
			t.Fatalf("bob's word counted %d times: %v", n, errs)
		}
		for actor, want := range map[string]fault.Kind{"bob": fault.Forbidden, "alice": fault.Forbidden} {
			if err := approve(actor, p.PlanDigest)(); fault.KindOf(err) != want {
				t.Errorf("%s: %v, want %s", actor, err, want)
			}
		}
		if err := approve("carol", digestOf("another plan"))(); fault.KindOf(err) != fault.Conflict {
			t.Errorf("another plan: %v", err)
		}
		// Even a caller that does not ask cannot keep a second word of one person.
		now := w.promotion(p.ID)
		d := cd.Decision{Actor: "bob", Plan: p.PlanDigest, At: start}
		if _, err := w.commit(now, cd.Event{Kind: cd.Reject, Reason: "no"}, cd.Change{Decided: &d}); err == nil {
			t.Error("the database keeps two decisions of one person")
		}
		if got := w.promotion(p.ID); len(got.Decisions) != 1 || !got.Decisions[0].Approve || got.State != cd.Waiting {
			t.Errorf("promotion is %s with %+v", got.State, got.Decisions)
		}
		w.audited()
	})
}

func TestWhatIsBadHere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, p := w.ship("1.0.0")
		p = w.walk(p, cd.StepAdmit)
		p = w.moved(p, cd.Event{Kind: cd.Advance, Reason: "admitted"}, cd.Change{})
		p = w.moved(p, cd.Event{Kind: cd.Fail, Reason: "sick"}, cd.Change{Bad: true})
		p = w.moved(p, cd.Event{Kind: cd.TakenBack, Reason: "sick"}, cd.Change{})
		for name, want := range map[string]bool{"dev": true, "staging": false} {
			if got, err := w.Bad(t.Context(), env(name), r.ID); err != nil || got != want {
				t.Errorf("bad in %s: %v, %v", name, got, err)
			}
		}
		row, err := w.Environment(t.Context(), env("dev"))
		if err != nil || row.Active != 0 || row.Live != 0 || p.State != cd.Undone {
			t.Errorf("dev is %+v, %v after a promotion that is %s", row, err, p.State)
		}
		// A rollback that is done marks what it left, not what it brought.
		left, q := w.ship("1.1.0")
		w.end(w.walk(q, cd.StepAdmit))
		back := w.opened(r, "dev", cd.Cause{Kind: cd.CauseRollback, Actor: "ops"})
		back = w.walk(back, cd.StepShift)
		w.moved(back, cd.Event{Kind: cd.Advance, Reason: "back"}, cd.Change{Bad: true})
		if got, err := w.Bad(t.Context(), env("dev"), left.ID); err != nil || !got {
			t.Errorf("the release that a rollback left is bad: %v, %v", got, err)
		}
	})
}

func TestNoteMovesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		before := len(w.entries())
		if err := w.Note(t.Context(), p, "waits for the moon", start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := w.promotion(p.ID); got.Version != p.Version || got.Reason != "waits for the moon" || len(w.entries()) != before {
			t.Errorf("version %d, reason %q", got.Version, got.Reason)
		}
		w.moved(p, cd.Event{Kind: cd.Begin, Reason: "begun"}, cd.Change{})
		if n := w.count("SELECT count(*) FROM timer"); n != 0 {
			t.Errorf("%d timers are left of a version that has passed", n)
		}
		if err := w.Note(t.Context(), p, "too late", start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := w.promotion(p.ID); got.Reason != "begun" || w.count("SELECT count(*) FROM timer") != 0 {
			t.Errorf("a promotion that has moved on says %q", got.Reason)
		}
	})
}

func TestSweepBringsBackWhatIsLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, p := w.ship("1.0.0")
		ev := w.receive("1.1.0", 1)
		err := w.DB().InTx(t.Context(), deleteTasks)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.tasks(storecd.TaskPromotion, int64(p.ID), p.Version); n != 1 {
			t.Errorf("%d tasks for the promotion", n)
		}
		if n := w.tasks(storecd.TaskEvent, ev.ID, 0); n != 0 {
			t.Errorf("%d tasks for an event of just now", n)
		}
		w.clock.move(time.Minute)
		for range 2 { // the second sweep finds nothing to do
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a, b := w.tasks(storecd.TaskPromotion, int64(p.ID), p.Version), w.tasks(storecd.TaskEvent, ev.ID, 0); a != 1 || b != 1 {
				t.Errorf("%d and %d tasks, want one each", a, b)
			}
		}
	})
}

func TestWhatIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, err := w.Promotion(t.Context(), 9)
		_, other := w.Environment(t.Context(), env("moon"))
		_, _, delivery := w.Delivery(t.Context(), "moon", 0)
		_, _, version := w.Delivery(t.Context(), "shop", 7)
		for what, err := range map[string]error{"promotion": err, "environment": other, "delivery": delivery, "version": version} {
			if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", what, err)
			}
		}
		list, err := w.Promotions(t.Context(), cd.PromotionFilter{Environment: env("moon")})
		if err != nil || len(list) != 0 {
			t.Errorf("promotions into the moon: %v, %v", list, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Receive(t.Context(), w.published("1.0.0", 1)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a closed database: %v", err)
		}
	})
}
