package cd

import (
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

// inputs checks the schema of what people may give. Each input is listed by its name: its
// variable is known, and no two are one.
func (c *checker) inputs(p string, t TriggerSpec) {
	if t.Inputs == nil {
		return
	}
	const list = "list every input under properties"
	if v, ok := t.Inputs["additionalProperties"]; ok && v != false {
		c.fail(p+".additionalProperties", list, "inputs that have no name here are not taken")
	}
	for _, key := range []string{"patternProperties", "$ref", "$dynamicRef"} {
		if _, ok := t.Inputs[key]; ok {
			c.fail(p+"."+key, list, "%s does not name the inputs", key)
		}
	}
	if v, ok := t.Inputs["type"]; ok && v != "object" {
		c.fail(p+".type", "write type: object", "inputs are an object")
	}
	properties, ok := t.Inputs["properties"].(map[string]any)
	if !ok {
		c.fail(p, "write {properties: {NAME: {type: string}}}", "the schema names no inputs")
		return
	}
	if wrong, err := checkInputNames(slices.Collect(maps.Keys(properties))); err != nil {
		at := p + ".properties"
		if wrong != "" {
			at += "." + wrong
		}
		c.keep(at, err)
	}
	schema, err := t.schema()
	if err != nil {
		c.fail(p, "write a JSON Schema of an object", "the schema is no JSON: %v", err)
		return
	}
	if len(schema) > maxInputSize {
		c.fail(p, "say less about each input", "the schema has %d bytes, more than %d", len(schema), maxInputSize)
		return
	}
	c.keep(strings.TrimSuffix(p, ".inputs"), bridge.CheckInputSchema(schema))
}
