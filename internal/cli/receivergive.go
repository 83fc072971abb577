package cli

import (
	"context"
	"errors"
	"fmt"

	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// made prints a receiver and what its sender must be given.
func (o *secretOf) made(ctx context.Context, server *client.Client, m api.MadeReceiver) error {
	t, err := senderType(ctx, server, m.Receiver.Type)
	shown := o.console.show(o.format, m, func() {
		o.console.say("receiver %s, version %d", printable(m.Receiver.Name), m.Version)
		o.console.give(m, t)
	})
	return errors.Join(shown, err)
}

// senderType is what is known of a type of sender. One that the server does not list has no
// schemes: the receiver was made all the same.
func senderType(ctx context.Context, server *client.Client, name string) (api.ReceiverType, error) {
	for t, err := range client.Each[api.ReceiverType](ctx, server, receiverTypesPath) {
		if err != nil {
			return api.ReceiverType{}, fmt.Errorf("the receiver is there, but not how its sender proves itself: %w", err)
		}
		if t.Name == name {
			return t, nil
		}
	}
	return api.ReceiverType{Name: name}, nil
}

// Kinds of secrets that are given otherwise than as they are.
const (
	secretPath  = "path"  // in the address
	secretToken = "token" // none
)

// give says what a sender must be given. The secret, when it was made now, is the data; where it
// stands in the address, the whole address is.
func (c *console) give(m api.MadeReceiver, t api.ReceiverType) {
	c.say("address: %s", printable(m.Receiver.Address))
	switch {
	case t.Secret == secretToken:
		c.say("secret:  none; the token must be for %s, of %s", printable(or(m.Receiver.Audience, m.Address)), printable(or(m.Receiver.Email, "nobody yet: set email")))
	case m.Secret == "":
		c.say("secret:  the one that it has; drawbridge receiver rotate %s makes another", printable(m.Receiver.Name))
	}
	for i, scheme := range t.Schemes {
		lead := "proof:   "
		if i > 0 {
			lead = "or:      "
		}
		c.say("%s%s", lead, printable(scheme))
	}
	switch {
	case m.Secret == "":
	case t.Secret == secretPath:
		c.say("give the sender this address, which is shown this once:")
		c.print("%s", printable(m.Address))
	default:
		c.say("give the sender this secret, which is shown this once:")
		c.print("%s", printable(m.Secret))
	}
}
