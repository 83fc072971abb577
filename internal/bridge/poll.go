package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// Bounds of polling.
const (
	pollAtOnce = 20          // new facts that one look brings; the next look goes on
	firstLook  = 50          // tags of which the first look asks for the build date
	maxPoll    = time.Hour   // between two looks at a source that fails
	MinPoll    = time.Second // shortest interval that a delivery may ask for
)

// seen is what an earlier look found: each name with what it pointed to.
type seen struct {
	ETag  string            `json:"etag,omitempty"`
	Known map[string]string `json:"known"` // tag or ref → digest or commit; "" where only the name was asked for
}

// poll looks at a registry or a Git repository.
func (w *Clockwork) poll(ctx context.Context, c Clock, app Application, now time.Time) (Clock, []Message, error) {
	interval, host := w.interval(c, app)
	if interval == 0 {
		return c, nil, nil // the delivery polls it no more
	}
	release, wait := w.Budget.Take(host, now)
	if release == nil {
		c.Next = now.Add(wait) // another look at that host is under way, or it asked to wait
		return c, nil, nil
	}
	defer release()
	found, err := w.look(ctx, &c, app)
	c.Last = now
	if err == nil {
		c.Next, c.Failures = now.Add(jitter(c, interval)), 0
		c.Reason = fmt.Sprintf("%d new", len(found))
		return c, found, nil
	}
	if ctx.Err() != nil {
		return c, nil, ctx.Err()
	}
	c.Failures++
	c.Reason = reason(err)
	pause := min(interval<<min(c.Failures-1, 12), maxPoll)
	if t, ok := errors.AsType[Throttled](err); ok {
		pause = max(pause, t.After)
		w.Budget.Throttle(host, now.Add(max(t.After, interval)))
	}
	c.Next = now.Add(jitter(c, max(pause, interval)))
	return c, nil, nil
}

func (w *Clockwork) interval(c Clock, app Application) (time.Duration, string) {
	if c.Kind == ClockRegistry {
		r, _ := app.Artifact(c.Name)
		return r.Poll, r.Image.Host
	}
	t, _ := app.Trigger(c.Name)
	if u, err := url.Parse(t.Repository); err == nil {
		return t.Poll, u.Host
	}
	return t.Poll, ""
}

func (w *Clockwork) look(ctx context.Context, c *Clock, app Application) ([]Message, error) {
	var was seen
	first := len(c.State) == 0
	if !first {
		if err := json.Unmarshal(c.State, &was); err != nil {
			return nil, fmt.Errorf("read what was seen before: %w", err)
		}
	}
	if was.Known == nil {
		was.Known = map[string]string{}
	}
	var out []Message
	var err error
	if c.Kind == ClockRegistry {
		rule, _ := app.Artifact(c.Name)
		out, err = w.lookAtTags(ctx, app, rule, &was, first)
	} else {
		t, _ := app.Trigger(c.Name)
		out, err = w.lookAtRefs(ctx, t, &was, first)
	}
	if err != nil {
		return nil, err
	}
	if first {
		for i := range out { // another application may have seen the same before
			out[i].Key += fmt.Sprintf(" for %s, clock %d", app.Name, c.ID)
			out[i].Applications = []string{app.Name}
		}
	}
	c.State, err = json.Marshal(was)
	return out, err
}

// lookAtTags finds tags that are new, and moving tags that moved.
func (w *Clockwork) lookAtTags(ctx context.Context, app Application, rule ArtifactRule, was *seen, first bool) ([]Message, error) {
	moving := map[string]bool{}
	var rules []TagRule
	for _, t := range app.Triggers {
		if t.On != OnArtifact || !slices.Contains(t.Artifacts, rule.Name) {
			continue
		}
		if t.Tags.Digest != "" {
			moving[t.Tags.Digest] = true
		} else {
			rules = append(rules, t.Tags)
		}
	}
	list, err := w.Images.Tags(ctx, rule.Image, TagPage{ETag: was.ETag})
	if err != nil {
		return nil, err
	}
	var fresh []string
	if !list.Unchanged {
		fresh = newTags(list.Tags, was.Known, rules, moving)
		if first {
			if fresh, err = w.newestOf(ctx, rule, fresh, rules); err != nil {
				return nil, err
			}
		}
	}
	out, kept, err := w.publish(ctx, rule, append(fresh, keys(moving)...), was)
	if err != nil {
		return nil, err
	}
	if !list.Unchanged {
		was.remember(list.Tags, fresh, kept, moving, first)
		if was.ETag = list.ETag; kept < len(fresh) {
			was.ETag = "" // there is more to bring: look at the whole list again
		}
	}
	return out, nil
}

// publish makes a message of each tag whose digest is not known, up to the bound; kept is
// how many of the tags were dealt with.
func (w *Clockwork) publish(ctx context.Context, rule ArtifactRule, tags []string, was *seen) (out []Message, kept int, err error) {
	for _, tag := range tags {
		if len(out) == pollAtOnce {
			return out, kept, nil
		}
		ref := rule.Image.WithTag(tag)
		d, err := w.Tags.Resolve(ctx, ref)
		if err != nil && !unreadable(err) {
			return nil, 0, err
		}
		kept++
		if err != nil || was.Known[tag] == d.String() {
			continue
		}
		was.Known[tag] = d.String()
		ref.Digest = d
		out = append(out, found("image", ref.String(), Fact{Kind: KindArtifact, Type: "poll", Source: "registry:" + ref.Host, Subject: ref.String(), Artifact: ref}))
	}
	return out, kept, nil
}

// unreadable reports whether err tells of the one object that was asked for, and not of its
// registry: it keeps no other object from being read.
func unreadable(err error) bool {
	return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge)
}

// found is one thing that was seen, kept once.
func found(kind, key string, f Fact) Message {
	return Message{Receiver: DoorPoll, Sender: DoorPoll, Key: kind + " " + key, Facts: []Fact{f}}
}

// remember keeps which tags were seen: all, but those that the next look has yet to bring.
func (s *seen) remember(all, fresh []string, kept int, moving map[string]bool, first bool) {
	later := map[string]bool{}
	if kept < len(fresh) {
		for _, tag := range fresh[kept:] {
			later[tag] = true
		}
	}
	known := make(map[string]string, len(all))
	for _, tag := range all {
		if !later[tag] || first {
			known[tag] = ""
			if moving[tag] {
				known[tag] = s.Known[tag]
			}
		}
	}
	s.Known = known
}

// newTags are the tags that were not there before and that some trigger takes.
func newTags(all []string, known map[string]string, rules []TagRule, moving map[string]bool) []string {
	var out []string
	for _, tag := range all {
		if _, ok := known[tag]; ok || moving[tag] || Attached(tag) {
			continue
		}
		if slices.ContainsFunc(rules, func(r TagRule) bool { _, ok, _ := r.Match(tag); return ok }) {
			out = append(out, tag)
		}
	}
	return out
}

// newestOf picks, at the first look, the newest tag by each trigger's rule: what is older is
// history and not news.
func (w *Clockwork) newestOf(ctx context.Context, rule ArtifactRule, tags []string, rules []TagRule) ([]string, error) {
	var out []string
	for _, r := range rules {
		var best Candidate
		taken := 0
		for _, tag := range slices.Backward(tags) {
			version, ok, _ := r.Match(tag)
			if !ok {
				continue
			}
			c := Candidate{Tag: tag, Version: version}
			if r.Newest {
				if taken++; taken > firstLook {
					break
				}
				built, err := w.built(ctx, rule.Image.WithTag(tag))
				if unreadable(err) {
					continue // it is no image
				}
				if err != nil {
					return nil, err
				}
				c.Built = built
			}
			if best.Tag == "" || r.Newer(c, best) {
				best = c
			}
		}
		if best.Tag != "" && !slices.Contains(out, best.Tag) {
			out = append(out, best.Tag)
		}
	}
	return out, nil
}

func (w *Clockwork) built(ctx context.Context, ref artifact.Reference) (time.Time, error) {
	d, err := w.Tags.Resolve(ctx, ref)
	if err != nil {
		return time.Time{}, err
	}
	image, err := w.Images.Inspect(ctx, ref.WithDigest(d))
	return image.Created, err
}

// lookAtRefs finds a branch that moved and tags that are new.
func (w *Clockwork) lookAtRefs(ctx context.Context, t Trigger, was *seen, first bool) ([]Message, error) {
	refs, err := w.Sources.Refs(ctx, t.Repository)
	if err != nil {
		return nil, err
	}
	var out []Message
	known := map[string]string{}
	var best string
	for _, ref := range keys(refs) {
		kind, ok := t.refKind(ref)
		if !ok {
			continue
		}
		known[ref] = refs[ref]
		if was.Known[ref] == refs[ref] {
			continue
		}
		if first && kind == KindRelease {
			if best == "" || t.newerTag(ref, best) {
				best = ref
			}
			continue
		}
		if len(out) == pollAtOnce {
			delete(known, ref) // the next look brings it
			continue
		}
		out = append(out, t.moved(kind, ref, refs[ref]))
	}
	if best != "" {
		out = append(out, t.moved(KindRelease, best, refs[best]))
	}
	was.Known = known
	return out, nil
}

func (t Trigger) refKind(ref string) (Kind, bool) {
	if t.On == OnGit {
		return KindPush, ref == "refs/heads/"+t.Branch
	}
	tag, ok := strings.CutPrefix(ref, "refs/tags/")
	if !ok {
		return "", false
	}
	_, ok, _ = t.Tags.Match(tag)
	return KindRelease, ok
}

func (t Trigger) newerTag(a, b string) bool {
	c := func(ref string) Candidate {
		tag := strings.TrimPrefix(ref, "refs/tags/")
		version, _, _ := t.Tags.Match(tag)
		return Candidate{Tag: tag, Version: version}
	}
	return t.Tags.Newer(c(a), c(b))
}

func (t Trigger) moved(kind Kind, ref, commit string) Message {
	return found("git", t.Repository+" "+ref+"@"+commit, Fact{
		Kind: kind, Type: "poll", Source: t.Repository, Subject: t.Repository + " " + ref,
		Git: &GitRef{Repository: t.Repository, Ref: ref, Commit: commit},
	})
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
