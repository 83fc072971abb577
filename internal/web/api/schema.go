package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// SchemaType is the media type of a JSON Schema.
const SchemaType = "application/schema+json"

// durationForm is what Go's time.ParseDuration reads, without a sign.
const durationForm = `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// form is one kind of file that people write.
type form struct {
	kind, title string
	file        reflect.Type
	optional    []string // that the JSON of the type always has and a file need not
}

// workloadFile is identity.Workload as a file has it, with what editors show.
type workloadFile struct {
	APIVersion   string            `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind         string            `json:"kind" jsonschema:"enum=Workload"`
	Name         string            `json:"name" jsonschema:"description=Its tokens are named workload:NAME."`
	Issuer       string            `json:"issuer" jsonschema:"description=Exactly the iss of the identity token: https\\, or http on a loopback address."`
	Audience     string            `json:"audience,omitempty" jsonschema:"description=One of the token's aud; omitted: the server's own URL."`
	Subject      string            `json:"subject" jsonschema:"description=Pattern of the token's sub; * stands for one or more characters other than / and :."`
	Claims       map[string]string `json:"claims,omitempty" jsonschema:"description=Patterns of further claims\\, all of which the token must have."`
	Applications []string          `json:"applications" jsonschema:"minItems=1,description=Whose events it may post."`
}

// forms are the kinds of files with a schema. A delivery without triggers is promoted by
// hand; its JSON always has the list.
func forms() []form {
	return []form{
		{cd.KindDelivery, "Drawbridge delivery", reflect.TypeFor[cd.Delivery](), []string{"triggers"}},
		{"EnvironmentState", "Drawbridge environment state: what one environment shall run", reflect.TypeFor[bridge.State](), nil},
		{bridge.KindPolicy, "Drawbridge policy", reflect.TypeFor[bridge.Policy](), nil},
		{bridge.KindReceiver, "Drawbridge receiver", reflect.TypeFor[bridge.Receiver](), nil},
		{bridge.KindWorkload, "Drawbridge workload", reflect.TypeFor[workloadFile](), nil},
	}
}

// SchemaKinds are the kinds of files that Schema knows, sorted.
func SchemaKinds() []string {
	var out []string
	for _, f := range forms() {
		out = append(out, f.kind)
	}
	return out
}

// Schema is the JSON Schema (draft 2020-12) of files of a kind, indented, for editors that
// complete and check them. It is made from what the server reads them into; what it cannot
// say is checked besides when a file is applied. Upper and lower case of kind are one. An
// unknown kind is a fault of kind NotFound.
func Schema(kind string) ([]byte, error) {
	for _, f := range forms() {
		if strings.EqualFold(f.kind, kind) {
			return f.schema()
		}
	}
	return nil, fault.New(fault.NotFound, "there is no schema of kind %.40q", kind).WithField("kind").
		WithHint("use one of %s", strings.Join(SchemaKinds(), ", "))
}

// DeliverySchema is the schema of a delivery file.
func DeliverySchema() ([]byte, error) { return Schema(cd.KindDelivery) }

func (f form) schema() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		switch t {
		case reflect.TypeFor[cd.Duration]():
			return &jsonschema.Schema{Type: "string", Pattern: durationForm, Examples: []any{"2s", "1m30s"}}
		case reflect.TypeFor[bridge.Wanted]():
			return &jsonschema.Schema{Type: "string", Pattern: bridge.WantedForm, Examples: []any{"1.4.2"}}
		}
		return nil
	}}
	s := reflector.ReflectFromType(f.file)
	s.Title = f.title
	s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return slices.Contains(f.optional, name) })
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
