package identity_test

import (
	"strings"
	"testing"

	"drawbridge/internal/identity"
)

const workloadFile = `apiVersion: drawbridge/v1
kind: Workload
name: github-shop
issuer: https://token.actions.githubusercontent.com
subject: repo:acme/shop:ref:refs/heads/main
claims: {repository: acme/shop}
applications: [shop]
`

func TestParseWorkload(t *testing.T) {
	t.Parallel()
	w, err := identity.ParseWorkload("w.yaml", []byte(workloadFile))
	if err != nil || w.Name != "github-shop" || w.Claims["repository"] != "acme/shop" || len(w.Applications) != 1 {
		t.Fatalf("ParseWorkload = %+v, %v", w, err)
	}
	for _, tt := range []struct{ old, to, want string }{
		{"drawbridge/v1", "v2", "w.yaml:1:"},
		{"kind: Workload", "kind: Wokload", "w.yaml:2:"},
		{"issuer: https", "issuer: ftp", "w.yaml:4:"},
		{"subject:", "subjects:", "w.yaml:5:"},
		{"repo:acme/shop:ref:refs/heads/main", `"*"`, ""},
		{"[shop]", "[]", "w.yaml:7:"},
		{"[shop]", "[SHOP!]", "w.yaml:7:"},
	} {
		_, err := identity.ParseWorkload("w.yaml", []byte(strings.Replace(workloadFile, tt.old, tt.to, 1)))
		if tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("with %q: %v, want a fault at %s", tt.to, err, tt.want)
		}
	}
}
