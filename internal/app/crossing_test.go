package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	storecd "drawbridge/internal/store/cd"
)

// shelf is applications and documents in memory.
type shelf struct {
	applications []string
	documents    []storecd.Document
}

// Applications implements applicationLister.
func (s shelf) Applications(_ context.Context, after string, _ int) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(s.applications), func(a string) bool { return a <= after }), nil
}

// Documents implements documentLister.
func (s shelf) Documents(_ context.Context, _, after string, _ int) ([]storecd.Document, error) {
	return slices.DeleteFunc(slices.Clone(s.documents), func(d storecd.Document) bool { return d.Name <= after }), nil
}

func TestRepairGoesOn(t *testing.T) {
	t.Parallel()
	var seen []string
	x := crossing{drift: func(_ context.Context, application string) error {
		seen = append(seen, application)
		if application == "b" {
			return errors.New("its Git host is gone")
		}
		return nil
	}}
	err := x.repair(t.Context(), shelf{applications: []string{"a", "b", "c"}})
	if err == nil || !strings.Contains(err.Error(), "repair b") || !slices.Equal(seen, []string{"a", "b", "c"}) {
		t.Errorf("looked at %v, %v", seen, err)
	}
}

func TestWorkloadsPassOverABrokenRule(t *testing.T) {
	t.Parallel()
	good := "apiVersion: drawbridge/v1\nkind: Workload\nname: b\nissuer: https://ci.example.com\nsubject: repo:acme/shop\napplications: [shop]\n"
	rules, err := workloads{shelf{documents: []storecd.Document{{Name: "a", Version: 1, Body: []byte("kind: Workload\n")}, {Name: "b", Version: 1, Body: []byte(good)}}}}.Workloads(t.Context())
	if err != nil || len(rules) != 1 || rules[0].Name != "b" {
		t.Errorf("Workloads = %+v, %v; want the good one", rules, err)
	}
}
