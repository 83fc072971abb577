package cd_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: staging
    after: [dev]
    auto: true
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [staging]
    auto: true
    approval: {required: 1, exclude: [requester]}
    rollout: {canary: {steps: [{weight: 10}, {pause: 2s}, {weight: 100}], undo: {errors: 0.05, requests: 20, timeout: 1m}}}
    target: {process: {artifact: web, command: [./web]}}
`

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
	if diff := cmp.Diff([]string{"dev", "staging", "production"}, app.Environments); diff != "" {
		t.Errorf("environments (-want +got):\n%s", diff)
	}
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
		"no image":          {"image: shop/web", "require: []", `d.yaml:5:6: artifact "web" names no image`, "[host/]repository"},
		"evidence wait":     {"image: shop/web", "image: shop/web, wait: 25h", "d.yaml:5:34: 25h0m0s is over 24h0m0s", "30s"},
		"negative wait":     {"image: shop/web", "image: shop/web, wait: -1s", "d.yaml:5:34: -1s is negative", "30s"},
		"poll too often":    {"image: shop/web", "image: shop/web, poll: 5s", "d.yaml:5:34: 5s is under 10s", "30s"},
		"trigger kind":      {"on: artifact", "on: relase", `d.yaml:7:23: "relase" is no kind of event`, "did you mean release?"},
		"no trigger kind":   {"on: artifact, ", "", `d.yaml:7:6: "" is no kind of event`, "use one of artifact, release"},
		"trigger artifact":  {"artifact: web, tags", "artifact: wob, tags", `d.yaml:7:37: there is no artifact "wob"`, "artifacts here: web"},
		"constraint":        {">=1.0.0-0", "about 1", "d.yaml:7:59: ", ">=1.2.0"},
		"environment":       {"promote: dev", "promote: prod", `there is no environment "prod"`, "environments here: dev, staging, production"},
		"after":             {"after: [dev]", "after: [production]", `there is no environment "production" above "staging"`, "above"},
		"required":          {"required: 1", "required: 0", "required must be 1 to 20", "how many"},
		"exclude":           {"exclude: [requester]", "exclude: [boss]", `"boss" cannot be excluded`, "requester, author"},
		"last weight":       {"{weight: 100}", "{weight: 90}", "the steps end at weight 90", "{weight: 100}"},
		"falling weight":    {"{pause: 2s}", "{weight: 5}", "weight 5 follows 10", "rise"},
		"both in one step":  {"{pause: 2s}", "{pause: 2s, weight: 20}", "a step is a weight or a pause", "{weight: 10}"},
		"share":             {"errors: 0.05", "errors: 5", "errors must be at least 0 and below 1", "0.05"},
		"own variable":      {"command: [./web]}}\n  - name: staging", "command: [./web], env: {PORT: \"1\"}}}\n  - name: staging", "PORT is set by the server", "another name"},
		"input's variable":  {"command: [./web]}}\n  - name: staging", "command: [./web], env: {INPUT_A: \"1\"}}}\n  - name: staging", "INPUT_A is set by the server", "another name"},
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
	f.Add(everyTrigger)
	f.Add(strings.Replace(delivery, "on: artifact, artifact: web, tags: {semver: \">=1.0.0-0\"}", "on: manual, inputs: {properties: {a: {type: [string]}}}", 1))
	f.Fuzz(func(t *testing.T, src string) {
		d, err := cd.ParseDelivery("d.yaml", []byte(src))
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		app := d.Application(1) // a delivery that parsed is valid everywhere
		app.Keys()
		app.Clocks(time.Unix(0, 0))
	})
}
