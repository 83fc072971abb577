package bridge_test

import (
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	storecd "drawbridge/internal/store/cd"
)

// alert is a delivery that tells of one alert, which began or ended at a time.
func alert(receiver, key string, firing bool, at time.Time) bridge.Message {
	kind := "resolved"
	if firing {
		kind = "firing"
	}
	return bridge.Message{Receiver: receiver, Sender: receiver, Body: []byte(`{}`), Facts: []bridge.Fact{{
		Kind: bridge.KindAlert, Type: kind, Subject: "web fails", At: at,
		Alert: &bridge.Alert{Name: "HighErrors", Key: key, Firing: firing, Labels: map[string]string{"severity": "page"}},
	}}}
}

const freezing = `{name: alarm, on: webhook, receiver: alerts, preset: alertmanager, freeze: [dev, staging], for: 3h}`

func frozenWorld(t *testing.T, trigger string) *world {
	t.Helper()
	return newWorld(t, withTrigger("{name: published, on: artifact}\n  - "+trigger))
}

// freezes are those that hold now.
func (w *world) freezes() []bridge.Freeze {
	w.t.Helper()
	list, err := w.store.Freezes(w.t.Context(), "shop", w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestAlertFreezesAndLifts(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, freezing)
	began := w.now.Add(-time.Minute)
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Accepted, "froze dev and staging: alert HighErrors")
	list := w.freezes()
	if len(list) != 1 {
		t.Fatalf("freezes %+v, want one", list)
	}
	f := list[0]
	if f.By != "alerts" || f.Trigger != "alarm" || !f.Until.Equal(w.now.Add(3*time.Hour)) || !f.Covers("staging") || f.Covers("qa") || f.Reason != "alert HighErrors" {
		t.Errorf("freeze %+v", f)
	}
	w.want(w.only(w.receive(alert("alerts", "b", false, w.now))), bridge.Ignored, "nothing to lift")
	if len(w.freezes()) != 1 {
		t.Error("the end of another alert lifted it")
	}
	w.now = w.now.Add(time.Hour)
	w.want(w.only(w.receive(alert("alerts", "a", false, w.now))), bridge.Accepted, "lifted the freeze of dev and staging")
	if list := w.freezes(); len(list) != 0 {
		t.Errorf("still frozen: %+v", list)
	}
	all, err := w.store.FreezeList(t.Context(), storecd.FreezeFilter{Past: true})
	if err != nil || len(all) != 1 || !all[0].Lifted.Equal(w.now) || all[0].LiftedBy != "alerts" {
		t.Errorf("history %+v, %v, want the lifted one alone", all, err)
	}
	w.now = w.now.Add(time.Minute)
	w.want(w.only(w.receive(alert("alerts", "a", true, w.now))), bridge.Accepted, "froze")
}

// An alert that goes on freezes for its longest time and no longer, however often it is told.
func TestAlertThatGoesOn(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, freezing)
	began := w.now
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Accepted, "froze")
	until := w.freezes()[0].Until
	w.now = w.now.Add(2 * time.Hour)
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Ignored, "already, until")
	if got := w.freezes()[0].Until; !got.Equal(until) {
		t.Errorf("it holds until %s now, want %s", got, until)
	}
	w.now = until
	if list := w.freezes(); len(list) != 0 {
		t.Errorf("it holds beyond its time: %+v", list)
	}
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Ignored, "the longest time already")
	w.want(w.only(w.receive(alert("alerts", "a", true, time.Time{}))), bridge.Ignored, "the longest time already")
	w.want(w.only(w.receive(alert("alerts", "a", true, w.now))), bridge.Accepted, "froze") // it ended, untold, and began anew
	w.want(w.only(w.receive(alert("alerts", "a", false, began.Add(-time.Hour)))), bridge.Ignored, "began again")
	if len(w.freezes()) != 1 {
		t.Error("the end of an earlier alert lifted it")
	}
}

func TestEndBeforeBeginning(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, freezing)
	began, ended := w.now.Add(-10*time.Minute), w.now.Add(-time.Minute)
	w.want(w.only(w.receive(alert("alerts", "a", false, ended))), bridge.Ignored, "nothing to lift")
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Ignored, "has ended already")
	w.want(w.only(w.receive(alert("alerts", "a", true, w.now))), bridge.Accepted, "froze")
	all, err := w.store.FreezeList(t.Context(), storecd.FreezeFilter{Past: true})
	if err != nil || len(all) != 1 {
		t.Errorf("%d freezes in the history, %v, want the one that froze", len(all), err)
	}
}

// What a person lifted stays lifted while the alert goes on.
func TestLiftedByAPerson(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, freezing)
	began := w.now
	w.receive(alert("alerts", "a", true, began))
	f := w.freezes()[0]
	w.now = w.now.Add(time.Minute)
	if _, err := w.store.LiftFreeze(t.Context(), "ops", f.ID, "known"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.LiftFreeze(t.Context(), "ops", f.ID, "again"); !fault.Is(err, fault.Conflict) {
		t.Errorf("lifted twice: %v, want %s", err, fault.Conflict)
	}
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Ignored, "ops lifted what it froze: known")
	w.want(w.only(w.receive(alert("alerts", "a", false, w.now))), bridge.Ignored, "nothing to lift")
	w.want(w.only(w.receive(alert("alerts", "a", true, began))), bridge.Ignored, "has ended already")
}

func TestFreezeMisuse(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, freezing)
	if list := w.receive(alert("others", "a", true, w.now)); len(list) != 0 {
		t.Errorf("an alert at another receiver gave %+v", list)
	}
	w.want(w.only(w.receive(ticket("alerts", `{"status":"firing"}`))), bridge.Ignored, "the condition does not hold")
	foreign := alert("alerts", "a", true, w.now)
	foreign.Applications = []string{"till"}
	if list := w.receive(foreign); len(list) != 0 {
		t.Errorf("a receiver that may not concern shop gave %+v", list)
	}
	late := alert("alerts", "a", true, w.now)
	kept, _, err := w.bridge.Receive(t.Context(), late)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(4 * time.Hour)
	w.want(w.only(w.process(kept[0].ID)), bridge.Ignored, "older than 3h")
	if list := w.freezes(); len(list) != 0 || w.promotions() != 0 {
		t.Errorf("frozen: %+v", list)
	}
	out, err := w.bridge.Test(t.Context(), "shop", "alarm", kept[0].ID)
	if err != nil || out.Handoff.State != bridge.Ignored || len(w.freezes()) != 0 {
		t.Errorf("tested: %+v, %v", out, err)
	}
}

// One freeze ends, another one holds: what is frozen twice stays frozen.
func TestTwoAlerts(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, `{name: alarm, on: webhook, receiver: alerts, when: event.alert.labels.severity == "page", freeze: ["*"]}`)
	w.receive(alert("alerts", "a", true, w.now))
	w.receive(alert("alerts", "b", true, w.now))
	w.now = w.now.Add(time.Minute)
	w.want(w.only(w.receive(alert("alerts", "a", false, w.now))), bridge.Accepted, "every environment")
	list := w.freezes()
	if len(list) != 1 || !list[0].Covers("dev") || !list[0].Until.Equal(list[0].At.Add(24*time.Hour)) {
		t.Errorf("freezes %+v, want that of b, for a day", list)
	}
	mild := alert("alerts", "c", true, w.now)
	mild.Facts[0].Alert.Labels["severity"] = "info"
	w.want(w.only(w.receive(mild)), bridge.Ignored, "the condition does not hold")
}

// Any document freezes where the condition holds; it ends by its time or by a person.
func TestDocumentFreezes(t *testing.T) {
	t.Parallel()
	w := frozenWorld(t, `{name: alarm, on: webhook, receiver: status, when: body.major, freeze: [staging], for: 1h}`)
	w.want(w.only(w.receive(ticket("status", `{"major":false}`))), bridge.Ignored, "does not hold")
	w.want(w.only(w.receive(ticket("status", `{"major":true}`))), bridge.Accepted, "froze staging: jira:issue_updated PROJ-12")
	w.now = w.now.Add(30 * time.Minute)
	w.want(w.only(w.receive(ticket("status", `{"major":true}`))), bridge.Ignored, "already")
	w.now = w.now.Add(30 * time.Minute)
	w.want(w.only(w.receive(ticket("status", `{"major":true}`))), bridge.Accepted, "froze staging")

	w = frozenWorld(t, `{name: alarm, on: webhook, receiver: status, freeze: [staging]}`)
	w.want(w.only(w.receive(ticket("status", `{}`))), bridge.Ignored, "tells of no alert, and the trigger has no condition")
}

func TestPresets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		preset, body string
		state        bridge.HandoffState
		want         string
	}{
		{"jira", `{"changelog":{"items":[{"field":"status","toString":"Approved"}]},"issue":{"fields":{"fixVersions":[{"name":"1.0.0"}]}}}`, bridge.Accepted, "1.0.0"},
		{"jira", `{"transition":{"to_status":"Approved"},"issue":{"fields":{"fixVersions":[{"name":"1.1.0"},{"name":"1.0.0"}]}}}`, bridge.Accepted, "1.1.0"},
		{"jira", `{"transition":{"to_status":"Open"},"issue":{"fields":{"fixVersions":[{"name":"1.0.0"}]}}}`, bridge.Ignored, "does not hold"},
		{"jira", `{"changelog":{"items":[{"field":"labels","toString":"Approved"}]},"issue":{}}`, bridge.Ignored, "does not hold"},
		{"jira", `{"webhookEvent":"jira:version_released"}`, bridge.Ignored, "does not hold"},
		{"jira", `{"transition":{"to_status":"Approved"},"issue":{"fields":{"fixVersions":[]}}}`, bridge.Refused, "names no version"},
		{"servicenow", `{"approval":"approved","version":"1.0.0"}`, bridge.Accepted, "1.0.0"},
		{"servicenow", `{"state":"approved","approval":"requested","u_version":"1.0.0"}`, bridge.Accepted, "1.0.0"},
		{"servicenow", `{"state":"draft","version":"1.0.0"}`, bridge.Ignored, "does not hold"},
		{"servicenow", `{"state":"approved"}`, bridge.Refused, "names no version"},
	} {
		w := crossed(t, `{name: ticket, on: webhook, receiver: hooks, preset: `+tt.preset+`, promote: staging}`)
		w.want(w.only(w.receive(ticket("hooks", tt.body))), tt.state, tt.want)
	}
	w := frozenWorld(t, `{name: alarm, on: webhook, receiver: alerts, preset: pagerduty, freeze: [staging]}`)
	began := alert("alerts", "a", true, w.now)
	for kind, want := range map[string]bridge.HandoffState{"incident.acknowledged": bridge.Ignored, "incident.triggered": bridge.Accepted} {
		began.Facts[0].Type, began.Key = kind, kind
		if h := w.only(w.receive(began)); h.State != want {
			t.Errorf("%s is %s: %s, want %s", kind, h.State, h.Reason, want)
		}
	}
}
