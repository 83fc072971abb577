package cd_test

import (
	"os"
	"strings"
	"testing"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

func TestSampleDelivery(t *testing.T) {
	src, err := os.ReadFile("../../examples/shop/delivery.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := cd.ParseDelivery("delivery.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	app := d.Application(3)
	if app.Name != "shop" || app.Delivery != 3 || app.Artifacts[0].Repository != "shop" || app.Artifacts[0].Refs[0] != "refs/heads/main" {
		t.Errorf("application %+v", app)
	}
}

func TestDeliveryRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want, hint string }{
		"version":           {"drawbridge/v1", "drawbridge/v2", `d.yaml:1:1: apiVersion is "drawbridge/v2"`, "write apiVersion: drawbridge/v1"},
		"kind":              {"kind: Delivery", "kind: Trust", `d.yaml:2:1: kind is "Trust"`, "write kind: Delivery"},
		"name":              {"name: shop", "name: Shop", `d.yaml:3:1: "Shop" is no name`, "use lower-case"},
		"image with a tag":  {"image: shop/web", "image: shop/web:1", "d.yaml:5:17: image names a tag", "trigger"},
		"bad image":         {"image: shop/web", "image: Shop/web", "d.yaml:5:17: ", "[host/]repository"},
		"attestation":       {"image: shop/web", "image: shop/web, require: [vsa]", `d.yaml:5:44: "vsa" is no attestation`, "known: signature"},
		"trigger kind":      {"on: artifact", "on: release", `d.yaml:7:23: "release" is no kind of event`, "write on: artifact"},
		"trigger artifact":  {"artifact: web, tags", "artifact: wob, tags", `d.yaml:7:37: there is no artifact "wob"`, "the artifact here is web"},
		"constraint":        {">=1.0.0-0", "about 1", "d.yaml:7:59: ", ">=1.0.0-0"},
		"environment":       {"promote: dev", "promote: prod", `there is no environment "prod"`, "environments here: dev, staging, production"},
		"after":             {"after: [dev]", "after: [production]", `there is no environment "production" above "staging"`, "above"},
		"required":          {"required: 1", "required: 0", "required must be 1 to 20", "how many"},
		"exclude":           {"exclude: [requester]", "exclude: [boss]", `"boss" cannot be excluded`, "requester, author"},
		"last weight":       {"{weight: 100}", "{weight: 90}", "the steps end at weight 90", "{weight: 100}"},
		"falling weight":    {"{pause: 2s}", "{weight: 5}", "weight 5 follows 10", "rise"},
		"both in one step":  {"{pause: 2s}", "{pause: 2s, weight: 20}", "a step is a weight or a pause", "{weight: 10}"},
		"share":             {"errors: 0.05", "errors: 5", "errors must be at least 0 and below 1", "0.05"},
		"own variable":      {"command: [./web]}}\n  - name: staging", "command: [./web], env: {PORT: \"1\"}}}\n  - name: staging", "PORT is set by the server", "another name"},
		"listen":            {"command: [./web]}}\n  - name: staging", "command: [./web], listen: here}}\n  - name: staging", `"here" is no address`, "127.0.0.1:0"},
		"unknown key":       {"auto: true", "auot: true", `unknown key "auot"`, `did you mean auto?`},
		"key of the design": {"auto: true", "soak: 10m", `unknown key "soak"`, "use one of"},
		"misspelt kind":     {"{process: {artifact: web, command: [./web]}}\n  - name: staging", "{procss: {artifact: web}}\n  - name: staging", `unknown key "procss"`, `did you mean process?`},
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(delivery, c.old, c.new, 1)
			if src == delivery {
				t.Fatal("the row changes nothing")
			}
			_, err := cd.ParseDelivery("d.yaml", []byte(src))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "d.yaml:") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if f := fault.As(err); f == nil || f.Line == 0 || f.Column == 0 || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("fault %+v, want hint %q", f, c.hint)
			}
		})
	}
}

func FuzzParseDelivery(f *testing.F) {
	f.Add(delivery)
	f.Add("environments: [{rollout: {canary: {steps: [{}]}}}]")
	f.Add("artifacts: [{image: \"\"}]")
	f.Fuzz(func(t *testing.T, src string) {
		d, err := cd.ParseDelivery("d.yaml", []byte(src))
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		d.Application(1) // a delivery that parsed is valid everywhere
	})
}
