package web

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Whatever a schema says and a person enters, each input is asked for, and what is taken is a
// value of JSON, or the field says what is wrong with it in one line.
func FuzzInputs(f *testing.F) {
	for _, seed := range []struct{ schema, value string }{
		{`{"properties":{"a":{"type":"string","default":"x"}},"required":["a"]}`, "x"},
		{`{"properties":{"a":{"type":"integer","minimum":1}}}`, "1e3"},
		{`{"properties":{"a":{"type":"number","maximum":1}}}`, "0x1p-2"},
		{`{"properties":{"a":{"type":["string","null"]}}}`, "null"},
		{`{"properties":{"a":{"enum":["x",1,null,{"b":2}]}}}`, `{"b":2}`},
		{`{"properties":{"a":{"const":1}}}`, "1"},
		{`{"properties":{"a":{"type":"boolean","default":"?"}}}`, "true"},
		{`{"properties":{"a":true,"b":false,"c":7,"d":{"title":1}}}`, `"x"`},
		{`{"properties":{"a":{"$ref":"#/properties/b"},"b":{"type":"string"}}}`, `1`},
		{`{"properties":{"a":{"$ref":"https://example.com"}}}`, `1`},
		{`{"properties":7}`, ""},
		{`[]`, ""},
		{``, ""},
		{`{"type":"object"}`, ""},
	} {
		f.Add(seed.schema, seed.value)
	}
	f.Fuzz(func(t *testing.T, schema, value string) {
		fields, err := inputFields(json.RawMessage(schema))
		if err != nil {
			return
		}
		for _, field := range fields {
			v, given, wrong := field.read(url.Values{inputPrefix + field.Name: {value}})
			if given {
				if _, err := json.Marshal(v); err != nil || wrong != nil {
					t.Errorf("%q gives %v: %v, %v", value, v, err, wrong)
				}
				wrong = field.check(v)
			}
			if wrong != nil && (wrong.Message == "" || strings.Contains(wrong.Message, "\n")) {
				t.Errorf("%q is wrong: %q", value, wrong.Message)
			}
		}
	})
}
