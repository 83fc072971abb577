package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"drawbridge/internal/store"
)

// cluster is the test process's PostgreSQL. It is started by the first test that needs it
// and ends with the process, even when that is killed.
var cluster = sync.OnceValues(startCluster)

// server is a running cluster: where its socket is, and the pipe that keeps it up for as
// long as it is open and referred to.
type server struct {
	dir string
	up  io.WriteCloser
}

// names makes database names.
var names struct {
	sync.Mutex
	n int
}

var errMissing = errors.New("PostgreSQL is not installed (apt-get install postgresql)")

// Postgres makes a new database in a private PostgreSQL cluster and returns its URL; the
// database is dropped with the test. Where PostgreSQL is not installed the test is skipped,
// or fails when CI=true.
func Postgres(t testing.TB) string {
	t.Helper()
	pg, err := cluster()
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	names.Lock()
	names.n++
	name := "t" + strconv.Itoa(names.n)
	names.Unlock()
	if err := execute(t.Context(), pg.dir, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execute(context.WithoutCancel(t.Context()), pg.dir, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return address(pg.dir, name)
}

// PostgresConfig is a configuration for a new PostgreSQL database, as Postgres makes it.
func PostgresConfig(t testing.TB, plane string, migrations fs.FS) store.Config {
	t.Helper()
	return store.Config{URL: Postgres(t), Plane: plane, Migrations: migrations, AuditKey: Key(t, plane)}
}

func address(dir, database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(dir)
}

func execute(ctx context.Context, dir, query string) error {
	conn, err := pgx.Connect(ctx, address(dir, "postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, query)
	return errors.Join(err, conn.Close(ctx))
}

// The script holds the cluster until its standard input ends, which it does however the
// test process goes, and removes it.
const script = `set -e
"$1/initdb" -D "$2/data" -A trust -U postgres -E UTF8 --locale=C --no-sync >"$2/log"
"$1/pg_ctl" -D "$2/data" -l "$2/log" -w -o "-c listen_addresses= -c unix_socket_directories=$2 -c fsync=off -c full_page_writes=off -c max_connections=200 -c deadlock_timeout=20ms" start >>"$2/log"
echo ready
read -r _ || true
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null || true
rm -rf "$2"`

func startCluster() (server, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return server{}, errMissing
	}
	dir, err := os.MkdirTemp("", "drawbridge-pg")
	if err != nil {
		return server{}, err
	}
	cmd := exec.Command("sh", "-c", script, "sh", bins[len(bins)-1], dir) //nolint:gosec,noctx // fixed text; it ends with this process
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env, cmd.Dir, cmd.Stderr = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, dir, os.Stderr
	if os.Getuid() == 0 { // PostgreSQL refuses root
		if err := giveTo(cmd.SysProcAttr, dir); err != nil {
			return server{}, err
		}
	}
	up, err := cmd.StdinPipe() // never written, closed by our end
	if err != nil {
		return server{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	if said, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(said) != "ready" {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:gosec // our own directory
		return server{}, fmt.Errorf("starting PostgreSQL: %w: %s", err, log)
	}
	return server{dir: dir, up: up}, nil
}

// giveTo makes the script run as the user postgres, who gets dir.
func giveTo(attr *syscall.SysProcAttr, dir string) error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(dir, int(uid), int(gid))
}
