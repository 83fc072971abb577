// Package app wires the server together: configuration, databases, planes, queues and HTTP.
// Run is the whole program; everything else says how one part is made.
package app

import (
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/fault"
)

// Config is what `drawbridge server` takes. The zero Config runs both planes in
// ./.drawbridge-data on 127.0.0.1:8080.
type Config struct {
	Data              string   // directory of everything that the server keeps; "" means ./.drawbridge-data
	Listen            string   // "" means 127.0.0.1:8080; port 0 picks one
	URL               string   // address that people and other servers use; "" means the one that is listened on
	Planes            []string // "ci", "cd"; none means both
	CIDatabase        string   // "" means sqlite: ci.db in Data
	CDDatabase        string   // "" means sqlite: cd.db in Data
	Registry          string   // base URL of the registry for images without a host; "" means the embedded one
	RegistryTokenFile string   // file with a token for Registry
	CredentialsFile   string   // file in the form of Docker's config.json, with what other hosts ask for; "" means anonymous
	Bridge            string   // base URL of the bridge that CI posts to; "" means this server
	BridgeTokenFile   string   // file with a token of role events for Bridge
	SeedCache         string   // a Go build cache that new caches start from
	MaxPages          int64    // bound of each SQLite file, in pages of 4 KiB; 0 means none
	Version           string   // of the program, for the API's document
	Log               io.Writer
	Now               func() time.Time // nil means time.Now
	Ready             func(address string)
}

func (c Config) withDefaults() Config {
	if c.Data == "" {
		c.Data = "./.drawbridge-data"
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if len(c.Planes) == 0 {
		c.Planes = []string{"ci", "cd"}
	}
	if c.CIDatabase == "" {
		c.CIDatabase = "sqlite:" + filepath.Join(c.Data, "ci.db")
	}
	if c.CDDatabase == "" {
		c.CDDatabase = "sqlite:" + filepath.Join(c.Data, "cd.db")
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(string) {}
	}
	return c
}

// runs reports whether this server has the plane.
func (c Config) runs(plane string) bool { return slices.Contains(c.Planes, plane) }

func (c Config) validate() error {
	for _, p := range c.Planes {
		if p != "ci" && p != "cd" {
			return fault.New(fault.Invalid, "%q is no plane", p).WithField("--plane").WithHint("write ci, cd or ci,cd")
		}
	}
	if c.runs("ci") && c.runs("cd") && c.CIDatabase == c.CDDatabase {
		return fault.New(fault.Invalid, "both planes name the database %s", redact(c.CIDatabase)).WithField("--cd-database").
			WithHint("give each plane a database of its own")
	}
	for field, u := range map[string]string{"--url": c.URL, "--registry": c.Registry, "--bridge": c.Bridge} {
		if u == "" {
			continue
		}
		if p, err := url.Parse(u); err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" {
			return fault.New(fault.Invalid, "%q is no URL", u).WithField(field).WithHint("write http://HOST:PORT")
		}
	}
	if c.runs("ci") && !c.runs("cd") && (c.Bridge == "" || c.BridgeTokenFile == "") {
		return fault.New(fault.Invalid, "a CI plane alone must know its bridge").WithField("--bridge").
			WithHint("give --bridge URL and --bridge-token-file FILE with a token of role events")
	}
	if c.runs("cd") && !c.runs("ci") && c.Registry == "" {
		return fault.New(fault.Invalid, "a CD plane alone has no registry of its own").WithField("--registry").
			WithHint("give --registry URL, the CI plane's address for example, and --registry-token-file")
	}
	return nil
}

// logger writes one line per outcome, as logfmt.
func (c Config) logger() *slog.Logger { return slog.New(slog.NewTextHandler(c.Log, nil)) }

// redact takes the password out of a database URL.
func redact(database string) string {
	if u, err := url.Parse(database); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		return u.Redacted()
	}
	return database
}
