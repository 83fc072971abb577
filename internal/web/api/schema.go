package api

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"

	"drawbridge/internal/cd"
)

// SchemaType is the media type of a JSON Schema.
const SchemaType = "application/schema+json"

// durationForm is what Go's time.ParseDuration reads, without a sign.
const durationForm = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// DeliverySchema is the JSON Schema (draft 2020-12) of a delivery file, indented, for
// editors that complete and check it. It is made from cd.Delivery; what it cannot say,
// cd.ParseDelivery checks besides.
func DeliverySchema() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[cd.Duration]() {
			return &jsonschema.Schema{Type: "string", Pattern: durationForm, Examples: []any{"2s", "1m30s"}}
		}
		return nil
	}}
	s := reflector.ReflectFromType(reflect.TypeFor[cd.Delivery]())
	s.Title = "Drawbridge delivery"
	// A delivery without triggers is promoted by hand; its JSON always has the list.
	s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return name == "triggers" })
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
