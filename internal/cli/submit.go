package cli

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

const submitHelp = `Tell a server's bridge that a CI has published an image: the last step of its workflow.
The server resolves the image itself and verifies what is attached to it; this is a hint.

REF is HOST/REPOSITORY:TAG@sha256:…, or HOST/REPOSITORY:TAG for the server to resolve.
Without HOST it is in the server's own registry; Docker Hub is docker.io.

Who asks is found in this order:
  --token                a token of the role events: drawbridge token create NAME --role events
  --id-token-file        an identity token of any issuer that the server's rules name, a
                         Kubernetes service account's for example
  GitHub Actions         the job's own identity; it needs permissions: {id-token: write}
  GitLab CI              DRAWBRIDGE_ID_TOKEN, set by id_tokens: with the server's URL as aud
An identity token is exchanged for a token that posts events of one application for ten
minutes. The same step repeated in the same run is one event.`

// Waits between two attempts to reach a server.
const (
	firstWait = 250 * time.Millisecond
	maxWait   = 15 * time.Second
)

type submit struct {
	remote
	image, delivery     string
	idTokenFile, expect string
	timeout             time.Duration
}

func newSubmit(c *console) *cobra.Command {
	o := submit{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "submit --image REF", Short: "Tell the bridge of an image that another CI has published",
		Long: submitHelp, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.image, "image", "", "`REF` of the image, with its tag")
	f.StringVar(&o.delivery, "delivery", "", "`NAME` of the delivery that it is for (default: the only one that the server's rules name)")
	f.StringVar(&o.idTokenFile, "id-token-file", "", "`FILE` that holds an identity token")
	f.StringVar(&o.expect, "audience", "", "`AUDIENCE` to ask GitHub's identity token for (default: the server's URL)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how `LONG` to go on trying while a server is out of reach")
	bind(f, "id-token-file", "audience")
	return cmd
}

func (o *submit) run(ctx context.Context) error {
	event, err := o.event()
	if err != nil {
		return err
	}
	explicit := o.token != ""
	if o.connection, err = o.console.find(o.connection); err != nil {
		return err
	}
	who, err := o.prover(explicit)
	if err != nil {
		return err
	}
	end := o.console.Now().Add(o.timeout)
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		got, err := o.post(ctx, who, event)
		if err == nil {
			return o.console.show(o.format, got, func() { o.told(got) })
		}
		if !fault.Is(err, fault.Unavailable) || !o.console.Now().Add(wait).Before(end) {
			return err
		}
		o.console.say("%s; trying again", printable(fault.As(err).Message))
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (o *submit) told(got api.Received) {
	o.console.print("event %d", got.ID)
	if !got.Fresh {
		o.console.say("the server knew it already")
	}
	o.console.say("follow it: drawbridge event show %d", got.ID)
}

// event is what is posted, the same in each attempt.
func (o *submit) event() ([]byte, error) {
	if o.image == "" {
		return nil, fault.New(fault.Invalid, "no image named").WithField("--image").WithHint("drawbridge submit --image HOST/REPOSITORY:TAG@sha256:…")
	}
	ref, err := artifact.ParseReference(o.image)
	if f := fault.As(err); f != nil {
		return nil, f.WithField("--image")
	}
	if ref.Tag == "" {
		return nil, fault.New(fault.Invalid, "%s has no tag", ref).WithField("--image").
			WithHint("triggers look at the tag: write it in front of the digest, as in %s:1.2.3", ref.Name())
	}
	b := originOf(o.console.Getenv)
	p := bridge.Published{
		Source: b.source, ID: b.eventID(ref), Artifact: ref, Repository: b.repository, Ref: b.ref, Commit: b.commit,
		At: o.console.Now().UTC(),
	}
	return p.CloudEvent()
}

// post proves who asks and hands the event over. Nothing of it does harm when it is done twice.
func (o *submit) post(ctx context.Context, who prover, event []byte) (api.Received, error) {
	var got api.Received
	token := o.token
	if who != nil {
		var err error
		if token, err = o.exchange(ctx, who); err != nil {
			return got, err
		}
	}
	server, err := client.New(client.Config{Server: o.server, Token: token})
	if err != nil {
		return got, err
	}
	err = server.Upload(ctx, http.MethodPost, "/api/v1/events", api.CloudEventType, event, &got)
	return got, err
}

// exchange gets a token that posts events for an identity token.
func (o *submit) exchange(ctx context.Context, who prover) (string, error) {
	idToken, err := who(ctx)
	if err != nil {
		return "", err
	}
	server, err := client.New(client.Config{Server: o.server})
	if err != nil {
		return "", err
	}
	var got api.ExchangedToken
	in := api.ExchangeRequest{Token: strings.TrimSpace(idToken), Application: o.delivery}
	err = server.Send(ctx, http.MethodPost, api.ExchangePath, in, &got)
	return got.Token, err
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
