package webhook

import (
	"encoding/json"
	"regexp"
	"strings"

	"drawbridge/internal/bridge"
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
