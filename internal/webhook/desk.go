package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// rotation is how long a secret that was replaced still counts, so that the sender can be
// told the new one in peace.
const rotation = 24 * time.Hour

// Documents keeps receivers and their sealed secrets. The store implements it.
type Documents interface {
	// Newest returns the newest version of a document as it was applied; nil and 0 when there is none.
	Newest(ctx context.Context, kind, name string) (body []byte, version int64, err error)
	// PutDocument keeps body as the version after was, with its audit entry; Conflict when
	// somebody else's version is in between.
	PutDocument(ctx context.Context, actor, kind, name string, body []byte, was int64) (version int64, err error)
	// DropDocument removes a document, with its audit entry; its versions stay on record.
	DropDocument(ctx context.Context, actor, kind, name string) error
}

// Secrets keeps receivers' secrets, sealed.
type Secrets interface {
	// PutReceiverSecret makes sealed the present secret; the one before counts until a time.
	PutReceiverSecret(ctx context.Context, actor, name string, sealed []byte, keepOldUntil time.Time) error
	// ReceiverSecrets returns the sealed secrets that count now, the present one first.
	ReceiverSecrets(ctx context.Context, name string, now time.Time) ([][]byte, error)
}

// Seal keeps secrets unreadable at rest. name is bound to the result: what was sealed for
// one receiver opens for no other.
type Seal interface {
	Seal(name string, secret []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
}

// remembered is how long a receiver and its secrets are taken as they were read: a sender
// that posts thousands of deliveries costs few reads, and what an admin changes at another
// replica holds here a second later.
const remembered = time.Second

// maxRemembered bounds how many receivers are remembered.
const maxRemembered = 10_000

// Desk makes, changes and reads receivers. Its fields are set once, before use; it
// implements Receivers and is safe for concurrent use.
type Desk struct {
	Documents Documents
	Secret    Secrets
	Seal      Seal
	Now       func() time.Time

	mu   sync.Mutex
	kept map[string]known
}

// known is a receiver as it was read.
type known struct {
	receiver bridge.Receiver
	secrets  [][]byte
	until    time.Time
}

// remember returns what was read of a receiver a moment ago.
func (d *Desk) remember(name string) (known, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.kept[name]
	return k, ok && d.Now().Before(k.until)
}

// learn reads a receiver with its secrets and remembers them.
func (d *Desk) learn(ctx context.Context, name string) (known, error) {
	until := d.Now().Add(remembered) // from before the read on: what changes meanwhile is seen in time
	r, err := d.Receiver(ctx, name)
	if err != nil {
		return known{}, err
	}
	k := known{receiver: r, until: until}
	if k.secrets, err = d.Secrets(ctx, name); err != nil {
		return known{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept == nil || len(d.kept) >= maxRemembered {
		d.kept = map[string]known{}
	}
	d.kept[name] = k
	return k, nil
}

// forget makes the next delivery see what was changed here.
func (d *Desk) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.kept, name)
}

// Known implements Receivers.
func (d *Desk) Known(ctx context.Context, name string) (bridge.Receiver, [][]byte, error) {
	k, ok := d.remember(name)
	if !ok {
		var err error
		if k, err = d.learn(ctx, name); err != nil {
			return bridge.Receiver{}, nil, err
		}
	}
	return k.receiver, k.secrets, nil
}

// Made is a receiver that was applied.
type Made struct {
	Receiver bridge.Receiver
	Version  int64
	Changed  bool
	Secret   string // shown once, when it was made here; "" otherwise
}

// Apply keeps a receiver's file. A new receiver gets a secret: the one that is given, or a
// fresh one, which is returned and never shown again. secret "" keeps the one that there is.
func (d *Desk) Apply(ctx context.Context, actor, file string, src, secret []byte) (Made, error) {
	r, err := bridge.ParseReceiver(file, src, names())
	if err != nil {
		return Made{}, err
	}
	sender, err := Find(r.Type)
	if err != nil {
		return Made{}, err
	}
	if len(secret) > 0 {
		if err := sender.CheckSecret(secret); err != nil {
			return Made{}, err
		}
	}
	defer d.forget(r.Name)
	old, version, err := d.Documents.Newest(ctx, bridge.KindReceiver, r.Name)
	if err != nil {
		return Made{}, err
	}
	m := Made{Receiver: r, Version: version, Changed: !bytes.Equal(old, src)}
	if m.Changed {
		if m.Version, err = d.Documents.PutDocument(ctx, actor, bridge.KindReceiver, r.Name, src, version); err != nil {
			return Made{}, err
		}
	}
	kept, err := d.Secret.ReceiverSecrets(ctx, r.Name, d.Now())
	if err != nil || len(secret) == 0 && (len(kept) > 0 || sender.Secret == SecretToken) {
		return m, err
	}
	if len(secret) == 0 {
		m.Secret = fresh(sender)
		secret = []byte(m.Secret)
	}
	return m, d.Secret.PutReceiverSecret(ctx, actor, r.Name, d.Seal.Seal(r.Name, secret), d.Now().Add(rotation))
}

// Rotate gives a receiver another secret, the given one or a fresh one that is returned.
// The one before counts for another day.
func (d *Desk) Rotate(ctx context.Context, actor, name string, secret []byte) (Made, error) {
	defer d.forget(name)
	r, err := d.Receiver(ctx, name)
	if err != nil {
		return Made{}, err
	}
	sender, err := Find(r.Type)
	if err != nil {
		return Made{}, err
	}
	m := Made{Receiver: r}
	if sender.Secret == SecretToken {
		return m, fault.New(fault.Invalid, "receiver %s has no secret: %s shows an OIDC token", name, sender.Name)
	}
	if len(secret) == 0 {
		m.Secret = fresh(sender)
		secret = []byte(m.Secret)
	} else if err := sender.CheckSecret(secret); err != nil {
		return m, err
	}
	return m, d.Secret.PutReceiverSecret(ctx, actor, name, d.Seal.Seal(name, secret), d.Now().Add(rotation))
}

// Remove takes a receiver away: deliveries at it are refused from now on.
func (d *Desk) Remove(ctx context.Context, actor, name string) error {
	defer d.forget(name)
	if _, err := d.Receiver(ctx, name); err != nil {
		return err
	}
	return d.Documents.DropDocument(ctx, actor, bridge.KindReceiver, name)
}

// Receiver reads one receiver; NotFound when there is none.
func (d *Desk) Receiver(ctx context.Context, name string) (bridge.Receiver, error) {
	body, version, err := d.Documents.Newest(ctx, bridge.KindReceiver, name)
	if err != nil {
		return bridge.Receiver{}, err
	}
	if version == 0 || len(body) == 0 {
		return bridge.Receiver{}, fault.New(fault.NotFound, "there is no receiver %.80q", name).WithHint("drawbridge receiver list")
	}
	r, err := bridge.ParseReceiver(name, body, names())
	if err != nil {
		return r, fmt.Errorf("read receiver %s: %w", name, err)
	}
	return r, nil
}

// Secrets reads the secrets that count for a receiver now, the present one first.
func (d *Desk) Secrets(ctx context.Context, name string) ([][]byte, error) {
	sealed, err := d.Secret.ReceiverSecrets(ctx, name, d.Now())
	if err != nil {
		return nil, err
	}
	out := make([][]byte, 0, len(sealed))
	for _, s := range sealed {
		secret, err := d.Seal.Open(name, s)
		if err != nil {
			return nil, fmt.Errorf("open the secret of receiver %s: %w", name, err)
		}
		out = append(out, secret)
	}
	return out, nil
}

// fresh is a secret of 256 random bits in the form that the sender takes.
func fresh(s Sender) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	if s.Secret == SecretKey {
		return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
	}
	return hex.EncodeToString(b[:])
}

func names() []string {
	all := Senders()
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s.Name
	}
	return out
}
