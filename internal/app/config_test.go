package app_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drawbridge/internal/app"
	"drawbridge/internal/fault"
)

func TestWrongConfigurations(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such.token")
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg   app.Config
		field string
		kind  fault.Kind
	}{
		"an unknown plane":          {app.Config{Planes: []string{"ci", "qa"}}, "--plane", fault.Invalid},
		"one database for both":     {app.Config{CIDatabase: "sqlite:x.db", CDDatabase: "sqlite:x.db"}, "--cd-database", fault.Invalid},
		"a password in the way":     {app.Config{CIDatabase: "postgres://u:hunter2@h/d", CDDatabase: "postgres://u:hunter2@h/d"}, "--cd-database", fault.Invalid},
		"no scheme":                 {app.Config{URL: "example.com"}, "--url", fault.Invalid},
		"another scheme":            {app.Config{Registry: "ftp://example.com"}, "--registry", fault.Invalid},
		"no host":                   {app.Config{Bridge: "http://"}, "--bridge", fault.Invalid},
		"CI alone without a bridge": {app.Config{Planes: []string{"ci"}}, "--bridge", fault.Invalid},
		"CI alone without a token":  {app.Config{Planes: []string{"ci"}, Bridge: "http://127.0.0.1:1"}, "--bridge", fault.Invalid},
		"a token file that is not there": {
			app.Config{Planes: []string{"ci"}, Bridge: "http://127.0.0.1:1", BridgeTokenFile: missing}, "--bridge-token-file", fault.Invalid,
		},
		"CD alone without a registry": {app.Config{Planes: []string{"cd"}}, "--registry", fault.Invalid},
		"a registry token that is not there": {
			app.Config{Planes: []string{"cd"}, Registry: "http://127.0.0.1:1", RegistryTokenFile: missing}, "--registry-token-file", fault.Invalid,
		},
		"a database of no known form":     {app.Config{CDDatabase: "mysql://u:hunter2@h/d"}, "", fault.Invalid},
		"a data directory that is a file": {app.Config{Data: blocked}, "--data", fault.Invalid},
		"an address that is none":         {app.Config{Listen: "127.0.0.1:port"}, "--listen", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if c.cfg.Data == "" {
				c.cfg.Data = filepath.Join(t.TempDir(), "data")
			}
			if c.cfg.Listen == "" {
				c.cfg.Listen = "127.0.0.1:0"
			}
			c.cfg.Ready = func(string) { t.Error("the server is ready") }
			err := app.Run(t.Context(), c.cfg)
			f := fault.As(err)
			if f == nil || f.Kind != c.kind || f.Field != c.field || f.Hint == "" {
				t.Fatalf("%v (%+v), want a fault of kind %s at %q with a hint", err, f, c.kind, c.field)
			}
			if strings.Contains(f.Message, "\n") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("it says %q", err)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = app.Run(t.Context(), app.Config{Data: t.TempDir(), Listen: l.Addr().String()})
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unavailable || f.Field != "--listen" || !strings.Contains(f.Message, l.Addr().String()) || f.Hint == "" {
		t.Fatalf("%v (%+v)", err, f)
	}
}

func TestTwoServersOnOneDirectory(t *testing.T) {
	r := start(t, app.Config{Data: filepath.Join(t.TempDir(), "data")})
	before := r.file("address")
	err := app.Run(t.Context(), app.Config{Data: r.dir, Listen: "127.0.0.1:0"})
	if f := fault.As(err); f == nil || f.Kind != fault.Conflict || f.Hint == "" {
		t.Fatalf("%v, want a conflict with a hint", err)
	}
	if r.file("address") != before || r.status("/healthz", "") != 200 {
		t.Error("the second server harmed the first one")
	}
}

func TestDatabaseOfTheOtherPlane(t *testing.T) {
	dir := t.TempDir()
	r := start(t, app.Config{Data: filepath.Join(dir, "a")})
	r.stop()
	err := app.Run(t.Context(), app.Config{
		Data: filepath.Join(dir, "b"), Listen: "127.0.0.1:0",
		CIDatabase: "sqlite:" + filepath.Join(r.dir, "cd.db"), CDDatabase: "sqlite:" + filepath.Join(r.dir, "ci.db"),
	})
	if f := fault.As(err); f == nil || f.Kind != fault.Conflict {
		t.Fatalf("%v, want a conflict", err)
	}
}
