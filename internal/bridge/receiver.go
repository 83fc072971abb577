package bridge

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/yamlfile"
)

// Kinds of the documents that admins apply for the bridge.
const (
	KindReceiver = "Receiver"
	KindPolicy   = "Policy"
	KindWorkload = "Workload"
)

// Receiver is a place at which one sender's deliveries arrive: its address is
// /hooks/NAME. What it receives concerns the applications that it names and no other,
// whatever their triggers say. Its secret is kept apart, sealed.
type Receiver struct {
	APIVersion   string   `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind         string   `json:"kind" jsonschema:"enum=Receiver"`
	Name         string   `json:"name"`
	Type         string   `json:"type" jsonschema:"description=The sender: github\\, gitlab\\, harbor\\, generic … ; drawbridge receiver types lists them."`
	Applications []string `json:"applications" jsonschema:"minItems=1,description=Applications that deliveries may concern; * means every one."`
	Host         string   `json:"host,omitempty" jsonschema:"description=Host of the registry\\, for senders that do not name it."`
	Audience     string   `json:"audience,omitempty" jsonschema:"description=Of the sender's OIDC token\\, for senders that show one; omitted: the receiver's address."`
	Email        string   `json:"email,omitempty" jsonschema:"description=Of the sender's OIDC token."`
	Window       string   `json:"window,omitempty" jsonschema:"description=How old a delivery with a signed time may be; omitted: 5m."`
}

var errWindow = errors.New("out of range")

var receiverName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// doors are names that no receiver may have.
func doors() []string {
	return []string{DoorAPI, DoorPoll, DoorClock, DoorPerson}
}

// ParseReceiver reads a receiver's file; types are the senders that are known. Every
// mistake is a fault with line and column.
func ParseReceiver(file string, src []byte, types []string) (Receiver, error) {
	var r Receiver
	f, err := yamlfile.Decode(file, src, &r)
	if err != nil {
		return Receiver{}, err
	}
	switch {
	case r.APIVersion != "drawbridge/v1":
		return r, f.At("apiVersion", "apiVersion is %q", r.APIVersion).WithHint("write apiVersion: drawbridge/v1")
	case r.Kind != KindReceiver:
		return r, f.At("kind", "kind is %q", r.Kind).WithHint("write kind: Receiver")
	case !receiverName.MatchString(r.Name):
		return r, f.At("name", "%q is no name", r.Name).WithHint("use lower-case letters, digits and hyphens, at most 63")
	case slices.Contains(doors(), r.Name):
		return r, f.At("name", "%q is one of the server's own doors", r.Name).WithHint("choose another name")
	case !slices.Contains(types, r.Type):
		return r, f.At("type", "%q is no sender that is known", r.Type).WithHint("known: %s", strings.Join(types, ", "))
	case len(r.Applications) == 0:
		return r, f.At("applications", "a receiver concerns at least one application").WithHint(`name them; ["*"] means every one`)
	}
	if _, err := r.window(); err != nil {
		return r, f.At("window", "%q is no duration of at most an hour", r.Window).WithHint("write for example 5m")
	}
	return r, nil
}

func (r Receiver) window() (time.Duration, error) {
	if r.Window == "" {
		return 5 * time.Minute, nil
	}
	d, err := time.ParseDuration(r.Window)
	if err == nil && (d <= 0 || d > time.Hour) {
		err = errWindow
	}
	return d, err
}

// Tolerance is how old a delivery with a signed time may be.
func (r Receiver) Tolerance() time.Duration {
	d, err := r.window()
	if err != nil {
		return 5 * time.Minute
	}
	return d
}

// Scope is the applications that the receiver's events may concern; nil means every one.
func (r Receiver) Scope() []string {
	if slices.Contains(r.Applications, "*") {
		return nil
	}
	return r.Applications
}
