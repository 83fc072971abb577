package web_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"drawbridge/internal/identity"
	"drawbridge/internal/web"
)

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var routes []web.Route
	s := newSite(t, func(c *web.Config) { routes = c.Routes })
	resp, body := s.send(t, call{path: "/api/openapi.json", token: s.secret[identity.Viewer]})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	var doc struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]operation
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version != "1.2.3" {
		t.Errorf("%s %+v", doc.OpenAPI, doc.Info)
	}
	count, ids := 0, map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			count++
			op.check(t, method+" "+path, path)
			if ids[op.OperationID] {
				t.Errorf("operationId %s is there twice", op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
	want := 1 // the document itself
	for _, r := range routes {
		if !strings.HasPrefix(r.Pattern, "/api/") {
			continue
		}
		want++
		if op, ok := doc.Paths[r.Pattern][strings.ToLower(r.Method)]; !ok || op.Summary != r.Summary {
			t.Errorf("%s %s is not in the document, or is %q", r.Method, r.Pattern, op.Summary)
		}
	}
	if count != want {
		t.Errorf("the document lists %d operations, the table %d", count, want)
	}
	checkSchemas(t, body)
}

// operation is what the tests look at of an operation.
type operation struct {
	OperationID string
	Summary     string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	Responses map[string]map[string]any
}

var inPath = regexp.MustCompile(`\{([^}]+)\}`)

func (o operation) check(t *testing.T, name, path string) {
	t.Helper()
	if o.Summary == "" || o.OperationID == "" || o.Responses["default"] == nil || len(o.Responses) < 2 {
		t.Errorf("%s is incomplete: %+v", name, o)
	}
	given := map[string]bool{}
	for _, p := range o.Parameters {
		if p.Schema == nil || p.In == "path" && !p.Required {
			t.Errorf("%s: parameter %+v", name, p)
		}
		given[p.In+p.Name] = true
	}
	for _, m := range inPath.FindAllStringSubmatch(path, -1) {
		if !given["path"+m[1]] {
			t.Errorf("%s has no parameter %s", name, m[1])
		}
	}
}

// checkSchemas compiles every schema of the document (which resolves every reference)
// and tries one of them.
func checkSchemas(t *testing.T, document []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`"\$ref":"#(/[^"]+)"`).FindAllStringSubmatch(string(document), -1)
	if len(refs) == 0 {
		t.Error("the document refers to no schema")
	}
	for _, ref := range refs {
		if strings.HasPrefix(ref[1], "/components/schemas/") {
			if _, err := c.Compile("openapi.json#" + ref[1]); err != nil {
				t.Errorf("%s: %v", ref[1], err)
			}
		}
	}
	body, err := c.Compile("openapi.json#/paths/~1api~1v1~1tokens/post/requestBody/content/application~1json/schema")
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		`{"name":"alice","role":"developer"}`:            true,
		`{"name":"alice","role":"developer","ttl":"1h"}`: true,
		`{"name":"alice","role":"root"}`:                 false,
		`{"name":"alice"}`:                               false,
		`{"name":"alice","role":"admin","x":1}`:          false,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Validate(v); (err == nil) != good {
			t.Errorf("%s: %v, want good %v", text, err, good)
		}
	}
}

// What the document says of a page is what a page is.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin := s.secret[identity.Admin]
	var names []string
	path := "/api/v1/tokens?limit=3"
	for path != "" {
		resp, b := s.send(t, call{path: path, token: admin})
		var page struct {
			Items []struct{ Name string }
			Next  string
		}
		if err := json.Unmarshal(b, &page); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, b)
		}
		for _, i := range page.Items {
			names = append(names, i.Name)
		}
		link := resp.Header.Get("Link")
		if (link == "") != (page.Next == "") {
			t.Errorf("Link %q, next %q", link, page.Next)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if len(names) != len(identity.Roles()) {
		t.Errorf("pages hold %v", names)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "after=x", "after=-1", "after=" + strings.Repeat("1", 300)} {
		if resp, _ := s.problem(t, call{path: "/api/v1/tokens?" + query, token: admin}); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
	_, b := s.send(t, call{path: "/api/v1/tokens?after=999", token: admin})
	if string(b) != "{\"items\":[]}\n" {
		t.Errorf("an empty page is %q", b)
	}
}
