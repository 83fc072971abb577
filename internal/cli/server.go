package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"drawbridge/internal/app"
)

const serverLong = `Run the server: both planes in one process, or one of them.

It keeps everything in its data directory, writes its address to DIR/address, and on
its first start an admin token that lives for a day to DIR/admin.token. SIGTERM and
Ctrl-C stop it cleanly; a server that was killed goes on where it was.`

func newServer(c *console) *cobra.Command {
	var cfg app.Config
	cmd := &cobra.Command{
		Use: "server", Short: "Run the server", Long: serverLong, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.serve(cmd.Context(), cfg) },
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", dataDir, "`DIR` of everything that the server keeps")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "`ADDR` to listen on; port 0 picks one")
	f.StringVar(&cfg.URL, "url", "", "`URL` that people and other servers use (default: where it listens)")
	f.StringSliceVar(&cfg.Planes, "plane", []string{"ci", "cd"}, "`PLANES` to run")
	f.StringVar(&cfg.CIDatabase, "ci-database", "", "`URL` of the CI plane's database (default: sqlite:DIR/ci.db)")
	f.StringVar(&cfg.CDDatabase, "cd-database", "", "`URL` of the CD plane's database (default: sqlite:DIR/cd.db)")
	f.StringVar(&cfg.Registry, "registry", "", "`URL` of the registry for images without a host (default: its own)")
	f.StringVar(&cfg.RegistryTokenFile, "registry-token-file", "", "`FILE` with a token for that registry")
	f.StringVar(&cfg.CredentialsFile, "credentials-file", "", "`FILE` like Docker's config.json, for other registries, Git hosts and package registries")
	f.StringVar(&cfg.Bridge, "bridge", "", "`URL` of the bridge that CI posts its events to (default: this server)")
	f.StringVar(&cfg.BridgeTokenFile, "bridge-token-file", "", "`FILE` with a token of role events for that bridge")
	f.StringVar(&cfg.SeedCache, "seed-cache", "", "`DIR` with a Go build cache that new caches start from")
	f.Int64Var(&cfg.MaxPages, "max-pages", 0, "bound of each SQLite file in pages of 4 KiB, 0 for none")
	bind(f, "data", "listen", "url", "plane", "ci-database", "cd-database", "registry", "registry-token-file", "credentials-file",
		"bridge", "bridge-token-file", "seed-cache", "max-pages")
	return cmd
}

func (c *console) serve(ctx context.Context, cfg app.Config) error {
	first := filepath.Join(cfg.Data, adminTokenFile)
	_, before := os.Stat(first)
	cfg.Log, cfg.Now, cfg.Version = c.Err, c.Now, c.build().Version
	cfg.Ready = func(address string) {
		c.say("drawbridge: ready on %s", address)
		if _, err := os.Stat(first); before != nil && err == nil {
			c.say("drawbridge: the first admin token, for one day, is in %s", first)
		}
	}
	return app.Run(ctx, cfg)
}
