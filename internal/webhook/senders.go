package webhook

import (
	"crypto/sha1" //nolint:gosec // Nexus signs with HMAC-SHA1 and nothing else; HMAC does not fall with collisions
	"crypto/sha256"
	"slices"
	"strings"
)

// How deliveries prove who sent them, as people read it.
const (
	saysCredential = "Authorization: Bearer SECRET, basic authentication with SECRET as the password, or X-Api-Key: SECRET"
	saysStandard   = "webhook-signature of Standard Webhooks: HMAC-SHA256 over id, time and body"
	saysPath       = "the secret is the last part of the address"
	saysHub        = "X-Hub-Signature: sha256= and the hex HMAC-SHA256 of the body"
	saysMAC        = "X-Signature-256: sha256= and the hex HMAC-SHA256 of the body"
)

// Senders are all that are known, sorted by name.
func Senders() []Sender {
	all := slices.Concat(gitHosts(), registries(), managers(), others())
	slices.SortFunc(all, func(a, b Sender) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// gitHosts also tell of packages and images.
func gitHosts() []Sender {
	return []Sender{
		{
			Name: "github", Title: "GitHub: pushes, tags, releases, packages and images", Secret: SecretText, Signed: true,
			Schemes: []string{"X-Hub-Signature-256: sha256= and the hex HMAC-SHA256 of the body"},
			proof:   mac(sha256.New, "X-Hub-Signature-256", "sha256="),
			ids:     []string{"X-GitHub-Delivery"}, keep: []string{"x-github-event", "x-github-delivery", "x-github-hook-id"},
			read: readGitHub,
		},
		{
			Name: "gitlab", Title: "GitLab: pushes, tags and releases", Secret: SecretText,
			Schemes: []string{saysStandard + " (signing token)", "X-Gitlab-Token: the secret itself"},
			proof:   whenSent(standardSignature, standard, token("X-Gitlab-Token")),
			ids:     []string{standardID, "Idempotency-Key"}, // X-Gitlab-Event-UUID is the same for all that one delivery led to
			keep:    []string{"x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-instance", "idempotency-key", "webhook-id", "webhook-timestamp"},
			read:    readGitLab,
		},
		{
			Name: "gitea", Title: "Gitea: pushes, tags, releases, packages and images", Secret: SecretText, Signed: true,
			Schemes: []string{"X-Gitea-Signature: the hex HMAC-SHA256 of the body"},
			proof:   mac(sha256.New, "X-Gitea-Signature", ""),
			ids:     []string{"X-Gitea-Delivery"}, keep: []string{"x-gitea-event", "x-gitea-event-type", "x-gitea-delivery"},
			read: readGitea("X-Gitea-Event"),
		},
		{
			Name: "forgejo", Title: "Forgejo: pushes, tags, releases, packages and images", Secret: SecretText, Signed: true,
			Schemes: []string{"X-Forgejo-Signature, or of old versions X-Gitea-Signature: the hex HMAC-SHA256 of the body"},
			proof:   whenSent("X-Forgejo-Signature", mac(sha256.New, "X-Forgejo-Signature", ""), mac(sha256.New, "X-Gitea-Signature", "")),
			ids:     []string{"X-Forgejo-Delivery", "X-Gitea-Delivery"},
			keep:    []string{"x-forgejo-event", "x-forgejo-event-type", "x-forgejo-delivery", "x-gitea-event", "x-gitea-delivery"},
			read:    readGitea("X-Forgejo-Event", "X-Gitea-Event"),
		},
		{
			Name: "bitbucket", Title: "Bitbucket Cloud and Data Center: pushes and tags", Secret: SecretText, Signed: true, Host: true,
			Schemes: []string{saysHub},
			proof:   mac(sha256.New, "X-Hub-Signature", "sha256="),
			ids:     []string{"X-Request-UUID", "X-Request-Id"}, keep: []string{"x-event-key", "x-request-uuid", "x-request-id", "x-hook-uuid"},
			read: readBitbucket,
		},
	}
}

// registries hold images and little else.
func registries() []Sender {
	return []Sender{
		{
			Name: "dockerhub", Title: "Docker Hub: pushed images", Secret: SecretPath,
			Schemes: []string{saysPath}, proof: inPath, read: readDockerHub,
		},
		{
			Name: "quay", Title: "Quay: pushed images", Secret: SecretPath,
			Schemes: []string{saysPath}, proof: inPath, read: readQuay,
		},
		{
			Name: "harbor", Title: "Harbor: pushed images, in either form of payload", Secret: SecretText,
			Schemes: []string{"Authorization: what stands in the webhook's auth header, with or without Bearer before it"},
			proof:   either(token("Authorization"), credential), read: readHarbor,
		},
		{
			Name: "ecr", Title: "Amazon ECR through an API destination of EventBridge: pushed images", Secret: SecretText,
			Schemes: []string{saysCredential}, proof: credential, id: ecrKey, read: readECR,
		},
		{
			Name: "gar", Title: "Google Artifact Registry and GCR through Pub/Sub: pushed images", Secret: SecretToken,
			Schemes: []string{"Authorization: Bearer, with an OIDC token of Google's for the receiver's audience and service account"},
			proof:   google, id: garKey, read: readGAR,
		},
		{
			Name: "acr", Title: "Azure Container Registry, its own webhook or Event Grid: pushed images", Secret: SecretText,
			Schemes: []string{saysCredential, saysPath},
			proof:   either(credential, inPath), id: acrKey, keep: []string{"aeg-event-type", "aeg-subscription-name"},
			read: readACR, shake: acrHandshake,
		},
		{
			Name: "distribution", Title: "The distribution registry (registry:2, registry:3): pushed images", Secret: SecretText,
			Schemes: []string{saysCredential}, proof: credential, read: readDistribution,
		},
	}
}

// managers of repositories hold images and packages.
func managers() []Sender {
	return []Sender{
		{
			Name: "artifactory", Title: "JFrog Artifactory: pushed images", Secret: SecretText,
			Schemes: []string{"X-JFrog-Event-Auth: the hex HMAC-SHA256 of the body, or the secret itself where signing is off"},
			proof:   either(mac(sha256.New, "X-JFrog-Event-Auth", ""), token("X-JFrog-Event-Auth")), read: readArtifactory,
		},
		{
			Name: "nexus", Title: "Sonatype Nexus Repository 3: pushed images, Maven and npm packages", Secret: SecretText, Signed: true, Host: true,
			Schemes: []string{"X-Nexus-Webhook-Signature: the hex HMAC-SHA1 of the body"},
			proof:   mac(sha1.New, "X-Nexus-Webhook-Signature", ""),
			ids:     []string{"X-Nexus-Webhook-Delivery"}, keep: []string{"x-nexus-webhook-id", "x-nexus-webhook-delivery"},
			read: readNexus,
		},
	}
}

// others are trackers, alert managers, and anyone who keeps to a standard.
func others() []Sender {
	return []Sender{
		{
			Name: "jira", Title: "Jira: issues and versions", Secret: SecretText,
			Schemes: []string{saysHub, saysCredential},
			proof:   whenSent("X-Hub-Signature", mac(sha256.New, "X-Hub-Signature", "sha256="), credential),
			ids:     []string{"X-Atlassian-Webhook-Identifier"}, keep: []string{"x-atlassian-webhook-identifier"},
			read: readJira,
		},
		{
			Name: "servicenow", Title: "ServiceNow and other change processes: a JSON document about a change", Secret: SecretText,
			Schemes: []string{saysMAC, saysCredential},
			proof:   whenSent("X-Signature-256", mac(sha256.New, "X-Signature-256", "sha256="), credential),
			ids:     []string{"X-Delivery-Id", "X-Request-Id", "Idempotency-Key"}, keep: []string{"x-event-type", "x-delivery-id", "x-request-id"},
			read: readDocument("X-Event-Type"),
		},
		{
			Name: "alertmanager", Title: "Prometheus Alertmanager: alerts that begin and end", Secret: SecretText,
			Schemes: []string{saysCredential}, proof: credential, read: readAlertManager,
		},
		{
			Name: "pagerduty", Title: "PagerDuty, webhooks of version 3: incidents", Secret: SecretText, Signed: true,
			Schemes: []string{"X-PagerDuty-Signature: v1= and the hex HMAC-SHA256 of the body, several with commas"},
			proof:   macList(sha256.New, "X-PagerDuty-Signature", "v1="), id: pagerDutyKey, read: readPagerDuty,
		},
		{
			Name: "standard", Title: "Anyone who signs by Standard Webhooks: any JSON document", Secret: SecretKey, Signed: true, Timed: true,
			Schemes: []string{saysStandard}, proof: standard,
			ids: []string{standardID}, keep: []string{"webhook-id", "webhook-timestamp"},
			read: readDocument(),
		},
		{
			Name: "generic", Title: "Anyone who posts JSON with a MAC or a token", Secret: SecretText,
			Schemes: []string{saysMAC, saysCredential},
			proof:   whenSent("X-Signature-256", mac(sha256.New, "X-Signature-256", "sha256="), credential),
			ids:     []string{"X-Delivery-Id", "X-Request-Id", "Idempotency-Key"}, keep: []string{"x-event-type", "x-delivery-id", "x-request-id"},
			read: readDocument("X-Event-Type"),
		},
		{
			Name: "cloudevents", Title: "Anyone who sends CloudEvents 1.0, CDEvents among them", Secret: SecretKey,
			Schemes: []string{saysStandard, saysCredential},
			proof:   whenSent(standardSignature, standard, credential),
			ids:     []string{standardID}, id: cloudEventKey, keep: []string{"webhook-id", "webhook-timestamp"},
			read: readCloudEvents,
		},
	}
}
