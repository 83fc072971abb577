package api

import "drawbridge/internal/bridge"

// HooksPath is where receivers are: the name of one follows.
const HooksPath = "/hooks/"

// ReceiverType is one kind of sender that receivers understand.
type ReceiverType struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`   // one line for people
	Secret  string   `json:"secret"`  // "text", "key" (base64), "path" (the end of the address) or "token" (none: an OIDC token is shown)
	Schemes []string `json:"schemes"` // how a delivery proves who sent it
	Signed  bool     `json:"signed"`  // the body is under the proof
	Timed   bool     `json:"timed"`   // a time is under it as well: an old delivery is refused
	Host    bool     `json:"host"`    // the receiver's host is needed for some deliveries
}

// Receiver is a place at which one sender's deliveries arrive. Its secret is never told.
type Receiver struct {
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	Applications []string `json:"applications"` // that deliveries may concern; "*" means every one
	Host         string   `json:"host,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	Email        string   `json:"email,omitempty"`
	Window       string   `json:"window,omitempty"`
	Address      string   `json:"address"` // to be given to the sender; SECRET stands for the secret where that is its last part
	Version      int64    `json:"version"`
	Source       string   `json:"source,omitempty"` // YAML as it was applied; not in lists
}

// ReceiverOf is r as the API sends it, without its source.
func ReceiverOf(r bridge.Receiver, version int64, address string) Receiver {
	return Receiver{
		Name: r.Name, Type: r.Type, Applications: r.Applications, Host: r.Host, Audience: r.Audience, Email: r.Email, Window: r.Window,
		Address: address, Version: version,
	}
}

// NewReceiver makes or changes a receiver.
type NewReceiver struct {
	File   string `json:"file,omitempty" jsonschema:"description=The file's name\\, for the positions of errors."`
	Source string `json:"source" jsonschema:"description=YAML of kind Receiver."`
	Secret string `json:"secret,omitempty" jsonschema:"description=Absent: a new receiver gets a random one\\, any other keeps what it has."`
	Dry    bool   `json:"dry,omitempty" jsonschema:"description=Check the file\\, keep nothing."`
}

// NewSecret gives a receiver another secret.
type NewSecret struct {
	Secret string `json:"secret,omitempty" jsonschema:"description=Absent: a random one."`
}

// MadeReceiver is a receiver that was applied, or got another secret.
type MadeReceiver struct {
	Receiver Receiver `json:"receiver"`
	Version  int64    `json:"version"`
	Changed  bool     `json:"changed"`          // false: the document is the newest version already
	Secret   string   `json:"secret,omitempty"` // only when it was made now; it is never told again
	Address  string   `json:"address"`          // to be given to the sender, with the secret in it where that is its last part and is new
}
