package webhook

import (
	"context"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// pubSub is what Google's Pub/Sub pushes. Documentation:
// https://cloud.google.com/pubsub/docs/push and, for what is in data,
// https://cloud.google.com/artifact-registry/docs/configure-notifications.
type pubSub struct {
	Message *struct {
		Data []byte `json:"data"` // base64
		ID   string `json:"messageId"`
		At   stamp  `json:"publishTime"`
	} `json:"message"`
	Subscription string `json:"subscription"`
}

type garImage struct {
	Action string `json:"action"`
	Digest string `json:"digest"` // "HOST/IMAGE@sha256:…"
	Tag    string `json:"tag"`    // "HOST/IMAGE:TAG"
}

func readGAR(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[pubSub](r.Body)
	if err != nil {
		return nil, err
	}
	if doc.Message == nil {
		return nil, wrong("message", "is missing").WithHint("do not unwrap the payload at the subscription")
	}
	image, err := decode[garImage](doc.Message.Data)
	if err != nil {
		return nil, wrong("message.data", "is no notification of Artifact Registry")
	}
	if image.Action != "INSERT" || image.Tag == "" {
		return nil, nil
	}
	i := strings.LastIndexByte(image.Tag, ':')
	if i < strings.LastIndexByte(image.Tag, '/') || i < 0 {
		return nil, wrong("message.data.tag", "%q names no tag", clean(image.Tag, 120))
	}
	_, digest, _ := strings.Cut(image.Digest, "@")
	f := bridge.Fact{Type: image.Action, Source: doc.Subscription, At: doc.Message.At.Time}
	return published(f, image.Tag[:i], image.Tag[i+1:], digest)
}

// garKey is the id of the message, the same when Pub/Sub repeats it.
func garKey(r Request) string {
	doc, err := decode[pubSub](r.Body)
	if err != nil || doc.Message == nil {
		return ""
	}
	return doc.Message.ID
}

// googleIssuer signs the tokens of authenticated push subscriptions, see
// https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions.
const googleIssuer = "https://accounts.google.com"

// google is the proof by a token of Google's: of its issuer, for the audience and of the
// service account that the receiver names. A receiver that leaves one of them open refuses
// everything, for everybody can get a token of Google's.
func google(ctx context.Context, r Request, c Check) (bool, error) {
	v, _ := one(r.Header, "Authorization")
	raw, ok := cutScheme(v)
	if !ok || c.Tokens == nil || c.Audience == "" || c.Email == "" {
		return false, nil
	}
	claims, err := c.Tokens.VerifyToken(ctx, raw)
	if err != nil {
		if fault.Is(err, fault.Unavailable) {
			return false, err // the sender tries again
		}
		return false, nil // why a token is refused is not the sender's business
	}
	verified, isBool := claims["email_verified"].(bool)
	return claims["iss"] == googleIssuer && isBool && verified && claims["email"] == c.Email && audience(claims["aud"], c.Audience), nil
}

// audience reports whether a token's audience, one text or exactly one in a list, is want.
func audience(claim any, want string) bool {
	switch a := claim.(type) {
	case string:
		return a == want
	case []string:
		return len(a) == 1 && a[0] == want
	case []any:
		return len(a) == 1 && a[0] == want
	}
	return false
}
