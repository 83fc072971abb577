package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// askReleases is how many releases the form offers.
const askReleases = 100

// askPages are the form by which people ask for a release in an environment. It does what
// POST /api/v1/promotions does.
type askPages struct {
	BridgePages
	promotions promotionHandlers
}

// askPage is the form, as it is shown and as it came back.
type askPage struct {
	frame
	Application, Environment string
	Triggers                 []string // manual triggers to this environment
	Trigger                  string   // the one that is used; empty for none
	Paused                   bridge.Pause
	Releases                 []releaseView
	Release                  string // id of the chosen one
	Note                     string
	Key                      string // of the form: sent twice it asks once
	Inputs                   []inputField
	Problem                  *fault.Error            // of no field
	Problems                 map[string]*fault.Error // of release and note
}

// releaseView is one release that can be chosen.
type releaseView struct {
	bridge.Release
	Live bool // it runs in the environment
}

func (h askPages) form(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	page, rule, err := h.page(r, q.Get("trigger"), !q.Has("trigger"))
	if err != nil {
		return err
	}
	if page.Inputs, err = inputFields(rule.Inputs); err != nil {
		return err
	}
	page.Key, page.Release = rand.Text(), q.Get("release")
	return h.show(w, r, http.StatusOK, page)
}

// show writes the form. A chosen release that is not among the last ones is offered too.
func (h askPages) show(w http.ResponseWriter, r *http.Request, status int, page askPage) error {
	if page.Release != "" && !slices.ContainsFunc(page.Releases, func(v releaseView) bool { return v.ID == page.Release }) {
		found, err := h.promotions.Store.Release(r.Context(), page.Release)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
			return err
		}
		if page.Release = found.ID; err == nil && found.Application == page.Application {
			page.Releases = append(page.Releases, releaseView{Release: found})
		}
	}
	return render(w, status, "promote.html", &page)
}

// page is the empty form of the environment and the trigger that a request names, with that
// trigger. usual takes the first trigger to the environment, where there is one.
func (h askPages) page(r *http.Request, trigger string, usual bool) (page askPage, rule bridge.Trigger, err error) {
	ctx := r.Context()
	page = askPage{
		Application: r.PathValue("application"), Environment: r.PathValue("environment"), Trigger: trigger,
		Problems: map[string]*fault.Error{},
	}
	page.frame = framed(r, "Promote into "+page.Environment, "/", true)
	d, version, err := h.Triggers.Store.Delivery(ctx, page.Application, 0)
	if err != nil {
		return page, rule, err
	}
	app := d.Application(version)
	if !slices.Contains(app.Environments, page.Environment) {
		return page, rule, fault.New(fault.NotFound, "%s has no environment %.80q", page.Application, page.Environment).WithHint("drawbridge status")
	}
	for _, t := range app.Triggers {
		if t.On == bridge.OnManual && t.Promote == page.Environment {
			page.Triggers = append(page.Triggers, t.Name)
		}
	}
	if usual && len(page.Triggers) > 0 {
		page.Trigger = page.Triggers[0]
	}
	if page.Trigger != "" {
		if !slices.Contains(page.Triggers, page.Trigger) {
			return page, rule, fault.New(fault.NotFound, "%s has no manual trigger %.80q to %s", page.Application, page.Trigger, page.Environment).
				WithHint("drawbridge trigger list --application %s", page.Application)
		}
		rule, _ = app.Trigger(page.Trigger)
		if page.Paused, err = h.Triggers.Pauses.Paused(ctx, page.Application, page.Trigger); err != nil {
			return page, rule, err
		}
	}
	page.Releases, err = h.releases(ctx, page.Application, page.Environment)
	return page, rule, err
}

// releases are those that crossed, the last one first.
func (h askPages) releases(ctx context.Context, application, environment string) ([]releaseView, error) {
	list, err := h.Releases(ctx, ReleaseQuery{Application: application, Limit: askReleases})
	if err != nil {
		return nil, err
	}
	done, err := h.promotions.Store.Promotions(ctx, cd.PromotionFilter{
		Environment: cd.EnvironmentRef{Application: application, Name: environment}, State: cd.Done, Limit: 1,
	})
	if err != nil {
		return nil, err
	}
	return each(list, func(r bridge.Release) releaseView {
		return releaseView{r, len(done) == 1 && done[0].Plan.Release == r.ID}
	}), nil
}

// ask takes the form. What is wrong comes back with the form, beside the field that it is about.
func (h askPages) ask(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		if f := tooLarge(err); f != nil {
			return f
		}
		return fault.New(fault.Invalid, "malformed form")
	}
	form := r.PostForm
	page, rule, err := h.page(r, form.Get("trigger"), false)
	if err != nil {
		return err
	}
	page.Release, page.Note, page.Key = form.Get("release"), form.Get("note"), form.Get("key")
	inputs, err := page.read(form, rule)
	if err != nil {
		return err
	}
	if !page.Wrong() {
		var p cd.Promotion
		if p, err = h.open(r, page, inputs); err == nil {
			id := itoa(int64(p.ID))
			http.Redirect(w, r, "/?promotion="+id+"#promotion-"+id, http.StatusSeeOther)
			return nil
		}
		if kind := fault.KindOf(err); kind == fault.Internal {
			return err
		}
		page.place(fault.As(err))
	}
	return h.show(w, r, page.status(), page)
}

// read takes the inputs out of the form, and checks what it can see for itself.
func (p *askPage) read(form url.Values, rule bridge.Trigger) (map[string]any, error) {
	var err error
	if p.Inputs, err = inputFields(rule.Inputs); err != nil {
		return nil, err
	}
	inputs := map[string]any{}
	for i := range p.Inputs {
		f := &p.Inputs[i]
		value, given, wrong := f.read(form)
		if wrong == nil && given {
			inputs[f.Name] = value
			wrong = f.check(value)
		}
		f.Problem = wrong
	}
	if p.Release == "" {
		p.Problems["release"] = fault.New(fault.Invalid, "choose one")
	}
	if len(p.Note) > maxReason {
		p.Problems["note"] = fault.New(fault.TooLarge, "has more than %d bytes", maxReason)
	}
	return inputs, nil
}

// open hands over what the form asks for, and returns the promotion that this opened or joined.
func (h askPages) open(r *http.Request, page askPage, inputs map[string]any) (cd.Promotion, error) {
	if len(inputs) == 0 {
		inputs = nil
	}
	wish, err := h.promotions.wish(r, api.NewPromotion{
		Release: page.Release, Environment: page.Environment, Trigger: page.Trigger, Inputs: inputs, Key: page.Key, Note: page.Note,
	})
	unknown := fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) && fault.As(err).Field == ""
	if unknown || err == nil && wish.Application != page.Application {
		return cd.Promotion{}, fault.New(fault.NotFound, "there is no such release of %s", page.Application).WithField("release")
	}
	if err != nil {
		return cd.Promotion{}, err
	}
	handoff, err := h.promotions.ask(r.Context(), wish)
	if err != nil {
		return cd.Promotion{}, err
	}
	return h.promotions.opened(r.Context(), handoff)
}

// place puts a fault beside the field that it names, else over the form. A form whose key was
// used for something else gets another key, so that it can be sent again.
func (p *askPage) place(f *fault.Error) {
	switch f.Field {
	case "release", "note":
		p.Problems[f.Field] = f
	case "key":
		p.Key = rand.Text()
		p.Problem = fault.New(f.Kind, "this form was sent before and asked for something else").WithHint("if you want this too, send it once more")
	default:
		p.Problem = f
	}
}

// Wrong reports whether something is marked at a field.
func (p *askPage) Wrong() bool {
	return len(p.Problems) > 0 || slices.ContainsFunc(p.Inputs, func(f inputField) bool { return f.Problem != nil })
}

// status is the status of a form that came back.
func (p *askPage) status() int {
	if p.Problem != nil {
		return p.Problem.Kind.Status()
	}
	return fault.Invalid.Status()
}
