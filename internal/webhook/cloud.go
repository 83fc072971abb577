package webhook

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// ecr is an event "ECR Image Action" of Amazon EventBridge. Documentation:
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html.
type ecr struct {
	ID         string `json:"id"`
	DetailType string `json:"detail-type"`
	Source     string `json:"source"`
	Account    string `json:"account"`
	Region     string `json:"region"`
	Time       stamp  `json:"time"`
	Detail     struct {
		Result     string `json:"result"`
		Repository string `json:"repository-name"`
		Digest     string `json:"image-digest"`
		Action     string `json:"action-type"`
		Tag        string `json:"image-tag"`
	} `json:"detail"`
}

var (
	awsAccount = regexp.MustCompile(`^[0-9]{12}$`)
	awsRegion  = regexp.MustCompile(`^[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}$`)
)

func readECR(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[ecr](r.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case doc.DetailType == "":
		return nil, wrong("detail-type", "is missing").WithHint("let the rule send the matched event unchanged")
	case doc.DetailType != "ECR Image Action" || doc.Detail.Action != "PUSH" || doc.Detail.Result != "SUCCESS":
		return nil, nil
	case !awsAccount.MatchString(doc.Account):
		return nil, wrong("account", "%q is no account", clean(doc.Account, 40))
	case !awsRegion.MatchString(doc.Region):
		return nil, wrong("region", "%q is no region", clean(doc.Region, 40))
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(doc.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	name := doc.Account + ".dkr.ecr." + doc.Region + "." + domain + "/" + doc.Detail.Repository
	return published(bridge.Fact{Type: doc.DetailType, Source: doc.Source, At: doc.Time.Time}, name, doc.Detail.Tag, doc.Detail.Digest)
}

// ecrKey is the id of the event, the same when EventBridge repeats it.
func ecrKey(r Request) string {
	var doc struct{ ID string }
	if json.Unmarshal(r.Body, &doc) != nil {
		return ""
	}
	return doc.ID
}

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
