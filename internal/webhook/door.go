package webhook

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Receivers reads the receivers that there are.
type Receivers interface {
	// Known returns one receiver and the secrets that count for it now, as they are or were a
	// moment ago; NotFound when there is none.
	Known(ctx context.Context, name string) (bridge.Receiver, [][]byte, error)
}

// Inbox keeps what arrives; *bridge.Service implements it.
type Inbox interface {
	// Receive keeps a delivery and returns once it is committed.
	Receive(ctx context.Context, m bridge.Message) (kept []bridge.Event, fresh bool, err error)
}

// Door takes deliveries at receivers. Its fields are set once, before use.
type Door struct {
	Receivers Receivers
	Inbox     Inbox
	// Tokens gives what checks the OIDC tokens that Google shows for an audience; nil refuses
	// senders that show one.
	Tokens func(audience string) (TokenVerifier, error)
	URL    string // address of this server, without a slash at its end
	Now    func() time.Time
}

// Taken is what became of a delivery.
type Taken struct {
	Events []bridge.Event // none when the delivery says nothing to the bridge
	Fresh  bool           // false: it was here before
	Answer []byte         // JSON that the sender waits for; nil means none
}

// Deliver takes one delivery at the receiver name and returns once it is kept. Whoever
// cannot prove to be the sender learns nothing, not even whether there is such a receiver.
// An authentic delivery that cannot be read is kept too: it waits in the dead letters.
func (d *Door) Deliver(ctx context.Context, name string, r Request) (Taken, error) {
	recv, sender, err := d.known(ctx, name, r)
	if err != nil {
		return Taken{}, err
	}
	if answer, ok := sender.Handshake(r); ok {
		return Taken{Answer: answer}, nil
	}
	m := bridge.Message{
		Receiver: recv.Name, Sender: recv.Name, Key: sender.Key(r), Applications: recv.Scope(),
		Headers: sender.Headers(r.Header), Body: r.Body,
	}
	m.Facts, err = sender.Read(r, Options{Host: recv.Host})
	if err != nil {
		f := fault.As(err)
		if f == nil {
			return Taken{}, err
		}
		m.Facts, m.Wrong = nil, f.Error()
	}
	return d.keep(ctx, m)
}

func (d *Door) keep(ctx context.Context, m bridge.Message) (Taken, error) {
	kept, fresh, err := d.Inbox.Receive(ctx, m)
	return Taken{Events: kept, Fresh: fresh}, err
}

// known finds the receiver and makes sure that r comes from its sender.
func (d *Door) known(ctx context.Context, name string, r Request) (bridge.Receiver, Sender, error) {
	stranger := fault.New(fault.Unauthenticated, "no receiver here takes this delivery").
		WithHint("compare the address, the secret and both clocks: drawbridge receiver show NAME")
	recv, secrets, err := d.Receivers.Known(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return recv, Sender{}, stranger
	}
	if err != nil {
		return recv, Sender{}, err
	}
	sender, err := Find(recv.Type)
	if err != nil {
		return recv, sender, fmt.Errorf("receiver %s: %w", name, err)
	}
	c := Check{Secrets: secrets, Now: d.Now(), Window: recv.Tolerance(), Audience: recv.Audience, Email: recv.Email}
	if c.Audience == "" {
		c.Audience = d.URL + "/hooks/" + name
	}
	if sender.Secret == SecretToken && d.Tokens != nil {
		if c.Tokens, err = d.Tokens(c.Audience); err != nil {
			return recv, sender, err
		}
	}
	if err := sender.Authenticate(ctx, r, c); err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			return recv, sender, stranger
		}
		return recv, sender, err
	}
	return recv, sender, nil
}

// Reread reads a kept delivery anew: what could not be read when it arrived may be readable
// now. Events of the server's own doors are not read anew: nil.
func (d *Door) Reread(ctx context.Context, receiver string, raw bridge.Raw) ([]bridge.Fact, error) {
	recv, _, err := d.Receivers.Known(ctx, receiver)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sender, err := Find(recv.Type)
	if err != nil {
		return nil, err
	}
	r := Request{Header: map[string][]string{}, Body: raw.Body}
	for k, v := range raw.Headers {
		r.Header.Set(k, v)
	}
	return sender.Read(r, Options{Host: recv.Host})
}

// Post takes the CloudEvents that an identity of this server posts: one, or a batch. Each is
// kept once per identity, scope, source and id; of a batch with a malformed event nothing is
// kept. applications are the scope: those that the identity's events may concern; nil means all.
func (d *Door) Post(ctx context.Context, identity string, applications []string, r Request) (Taken, error) {
	events, err := CloudEvents(r.Header, r.Body)
	if err != nil {
		return Taken{}, err
	}
	messages := make([]bridge.Message, len(events))
	for i, e := range events {
		f, err := e.Fact()
		if err != nil {
			return Taken{}, err
		}
		messages[i] = bridge.Message{
			Receiver: bridge.DoorAPI, Sender: identity, Key: postKey(e, applications), Applications: applications,
			Headers: map[string]string{}, Body: e.Data, Facts: []bridge.Fact{f},
		}
	}
	all := Taken{}
	for _, m := range messages {
		one, err := d.keep(ctx, m)
		if err != nil {
			return all, err
		}
		all.Events, all.Fresh = append(all.Events, one.Events...), all.Fresh || one.Fresh
	}
	return all, nil
}

// postKey names an event within what its identity posts. Tokens of one rule for workloads have
// one name and may be for different applications: what one tells is no repetition of another's.
func postKey(e CloudEvent, applications []string) string {
	key := e.Source + " " + e.ID
	if applications != nil {
		key += " for " + strings.Join(applications, " ")
	}
	return key
}
