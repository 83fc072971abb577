package webhook

import (
	"crypto/sha256"
)

// How deliveries prove who sent them, as people read it.
const (
	saysCredential = "Authorization: Bearer SECRET, basic authentication with SECRET as the password, or X-Api-Key: SECRET"
	saysStandard   = "webhook-signature of Standard Webhooks: HMAC-SHA256 over id, time and body"
	saysPath       = "the secret is the last part of the address"
)

// Senders are all that are known, sorted by name.
func Senders() []Sender {
	return []Sender{
		{
			Name: "cloudevents", Title: "Anyone who sends CloudEvents 1.0, CDEvents among them", Secret: SecretKey,
			Schemes: []string{saysStandard, saysCredential},
			proof:   whenSent(standardSignature, standard, credential),
			ids:     []string{standardID}, id: cloudEventKey, keep: []string{"webhook-id", "webhook-timestamp"},
			read: readCloudEvents,
		},
		{
			Name: "generic", Title: "Anyone who posts JSON, with a MAC or a token", Secret: SecretText,
			Schemes: []string{"X-Signature-256: sha256= and the hex HMAC-SHA256 of the body", saysCredential},
			proof:   whenSent("X-Signature-256", mac(sha256.New, "X-Signature-256", "sha256="), credential),
			ids:     []string{"X-Delivery-Id", "X-Request-Id", "Idempotency-Key"}, keep: []string{"x-event-type", "x-delivery-id", "x-request-id"},
			read: readDocument("X-Event-Type"),
		},
		{
			Name: "servicenow", Title: "ServiceNow and other change processes: a JSON document about a change", Secret: SecretText,
			Schemes: []string{"X-Signature-256: sha256= and the hex HMAC-SHA256 of the body", saysCredential},
			proof:   whenSent("X-Signature-256", mac(sha256.New, "X-Signature-256", "sha256="), credential),
			ids:     []string{"X-Delivery-Id", "X-Request-Id", "Idempotency-Key"}, keep: []string{"x-event-type", "x-delivery-id", "x-request-id"},
			read: readDocument("X-Event-Type"),
		},
		{
			Name: "standard", Title: "Anyone who signs by Standard Webhooks: any JSON document", Secret: SecretKey, Signed: true, Timed: true,
			Schemes: []string{saysStandard},
			proof:   standard,
			ids:     []string{standardID}, keep: []string{"webhook-id", "webhook-timestamp"},
			read: readDocument(),
		},
	}
}
