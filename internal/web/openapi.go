package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// documentRoute serves the OpenAPI document.
func documentRoute(document []byte) Route {
	r := documentRow()
	r.Handler = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // a client that went away is nobody's fault
		return nil
	}
	return r
}

func documentRow() Route {
	return Route{
		Method: http.MethodGet, Pattern: "/api/openapi.json", Action: identity.Read, Media: "application/json",
		Summary: "This document",
	}
}

var pathParam = regexp.MustCompile(`\{([a-z_]+)(\.\.\.)?\}`)

// object is a JSON object; encoding/json writes its keys in order, so that the document is the same each time.
type object map[string]any

// openAPI makes the OpenAPI 3.1 document of the rows below /api/.
func openAPI(routes []Route, version string) ([]byte, error) {
	if version == "" {
		version = "0"
	}
	s := schemas{components: object{}}
	paths := map[string]object{}
	for _, r := range append([]Route{documentRow()}, routes...) {
		if !r.documented() {
			continue
		}
		op, err := s.operation(r)
		if err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", r.Method, r.Pattern, err)
		}
		place := pathParam.ReplaceAllString(r.Pattern, "{$1}")
		if paths[place] == nil {
			paths[place] = object{}
		}
		paths[place][strings.ToLower(r.Method)] = op
	}
	problem, err := s.ref(api.Problem{})
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Drawbridge", "version": version,
			"description": "Unknown fields in a request are refused. Lists are paged by limit and after. Errors are RFC 9457 problems.",
		},
		"security": []object{{"token": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas":         s.components,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
			"responses": object{"problem": object{
				"description": "A problem; its kind says what the caller can do.",
				"content":     object{api.ProblemType: object{"schema": problem}},
			}},
		},
	})
}

// schemas collects the JSON Schemas of Go types.
type schemas struct{ components object }

func (s schemas) operation(r Route) (object, error) {
	ok := object{"description": "Done."}
	switch {
	case r.Response != nil:
		t := r.Response
		ref, err := s.ref(t)
		if err != nil {
			return nil, err
		}
		if r.Paged {
			ref = object{
				"type": "object", "required": []string{"items"},
				"properties": object{
					"items": object{"type": "array", "items": ref},
					"next":  object{"type": "string", "description": "Give it as the parameter after to get the next page; absent on the last page."},
				},
			}
		}
		ok["content"] = object{"application/json": object{"schema": ref}}
	case r.Media != "":
		ok["content"] = object{r.Media: object{}}
	}
	op := object{
		"summary":     r.Summary,
		"operationId": operationID(r),
		"responses":   object{strconv.Itoa(r.status()): ok, "default": object{"$ref": "#/components/responses/problem"}},
	}
	if p := parameters(r); len(p) > 0 {
		op["parameters"] = p
	}
	if r.Anonymous {
		op["security"] = []object{}
	} else {
		op["description"] = "Needs a token that may " + string(r.Action) + "."
	}
	if err := s.body(op, r); err != nil {
		return nil, err
	}
	return op, nil
}

func (s schemas) body(op object, r Route) error {
	switch {
	case r.Request != nil:
		ref, err := s.ref(r.Request)
		if err != nil {
			return err
		}
		ref["unevaluatedProperties"] = false
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": ref}}}
	case r.Accepts != "":
		op["requestBody"] = object{"required": true, "content": object{r.Accepts: object{}}}
	}
	return nil
}

func parameters(r Route) []object {
	var list []object
	for _, m := range pathParam.FindAllStringSubmatch(r.Pattern, -1) {
		list = append(list, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.Query {
		list = append(list, object{"name": p.Name, "in": "query", "description": p.Text, "schema": object{"type": "string"}})
	}
	if r.Paged {
		list = append(
			list,
			object{
				"name": "limit", "in": "query", "description": "At most so many.",
				"schema": object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit},
			},
			object{"name": "after", "in": "query", "description": "What next of the page before said.", "schema": object{"type": "string"}},
		)
	}
	return list
}

// operationID is method and path in words: "get-api-v1-runs-id".
func operationID(r Route) string {
	words := strings.FieldsFunc(r.Pattern, func(c rune) bool { return strings.ContainsRune("/{}.", c) })
	return strings.ToLower(r.Method) + "-" + strings.Join(words, "-")
}

// ref puts the schema of v's type, and those that it needs, among the components and returns a reference to it.
func (s schemas) ref(v any) (object, error) {
	reflector := jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, Mapper: words, Namer: schemaName}
	b, err := json.Marshal(reflector.ReflectFromType(reflect.TypeOf(v)))
	if err != nil {
		return nil, err
	}
	var schema object
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(b), `"#/$defs/`, `"#/components/schemas/`)), &schema); err != nil {
		return nil, err
	}
	delete(schema, "$schema")
	defs, _ := schema["$defs"].(map[string]any) // none for a plain type
	delete(schema, "$defs")
	for name, def := range defs {
		if old, there := s.components[name]; there && !reflect.DeepEqual(old, def) {
			return nil, fmt.Errorf("two types are named %s", name)
		}
		s.components[name] = def
	}
	return schema, nil
}

// apiPackage is where the documents are; their names stand alone.
var apiPackage = reflect.TypeFor[api.Problem]().PkgPath()

// schemaName names a type that documents take from a plane after its package too, since
// several have a Step: "CDStep". Empty means the type's own name.
func schemaName(t reflect.Type) string {
	if t.PkgPath() == apiPackage || t.Name() == "" {
		return ""
	}
	owner := path.Base(t.PkgPath())
	if len(owner) == len("cd") {
		return strings.ToUpper(owner) + t.Name()
	}
	return strings.ToUpper(owner[:1]) + owner[1:] + t.Name()
}

// words maps types that stand for one of a few words, and those that write themselves.
func words(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[fault.Kind]():
		return oneOf(fault.Kinds())
	case reflect.TypeFor[identity.Role]():
		return oneOf(identity.Roles())
	case reflect.TypeFor[ci.RunState]():
		return oneOf(ci.RunStates())
	case reflect.TypeFor[ci.JobState]():
		return oneOf(ci.JobStates())
	case reflect.TypeFor[bridge.HandoffState]():
		return oneOf(bridge.HandoffStates())
	case reflect.TypeFor[bridge.EventState]():
		return oneOf(bridge.EventStates())
	case reflect.TypeFor[bridge.TriggerKind]():
		return oneOf(bridge.TriggerKinds())
	case reflect.TypeFor[cd.State]():
		return oneOf(append(cd.States(), "")) // of an environment where nothing ever moved: empty
	case reflect.TypeFor[artifact.Digest](), reflect.TypeFor[artifact.Reference](), reflect.TypeFor[cd.Duration]():
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}

func oneOf[T ~string](known []T) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: each(known, func(v T) any { return string(v) })}
}
