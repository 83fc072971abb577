package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of a plain row
	_ "modernc.org/sqlite"             // the driver of a plain row
)

// rowServer is the plainest receiver of events that keeps them: each POST commits one row.
type rowServer struct {
	db      *sql.DB
	address string
	http    *http.Server
}

// plainSQLite is a database as careful as the server's own: nothing is lost in a power cut.
func (b *bench) plainSQLite(ctx context.Context) (*rowServer, error) {
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.dir, "plain.db")+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return serveRows(ctx, db)
}

func plainPostgres(ctx context.Context, database string) (*rowServer, error) {
	db, err := sql.Open("pgx", database)
	if err != nil {
		return nil, err
	}
	return serveRows(ctx, db)
}

func serveRows(ctx context.Context, db *sql.DB) (*rowServer, error) {
	if _, err := db.ExecContext(ctx, "CREATE TABLE fact (body text NOT NULL)"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &rowServer{db: db, address: "http://" + l.Addr().String()}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(l) }() // until close
	return s, nil
}

// ServeHTTP answers once the body is committed.
func (s *rowServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		_, err = s.db.ExecContext(r.Context(), "INSERT INTO fact (body) VALUES ($1)", string(body))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *rowServer) close() error { return errors.Join(s.http.Close(), s.db.Close()) }

// post sends one body and waits for the answer.
func (s *rowServer) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("a plain row: %s", res.Status)
	}
	return nil
}

// The script holds a PostgreSQL cluster, durable as a real one, until its input ends.
const script = `set -e
"$1/initdb" -D "$2/data" -A trust -U postgres -E UTF8 --locale=C --no-sync >"$2/log"
"$1/pg_ctl" -D "$2/data" -l "$2/log" -w -o "-c listen_addresses= -c unix_socket_directories=$2 -c max_connections=200" start >>"$2/log"
echo ready on "$2"
read -r _ || true
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null || true
rm -rf "$2"/*`

// errNoPostgres says that PostgreSQL cannot be measured here.
var errNoPostgres = errors.New("PostgreSQL is not installed (apt-get install postgresql): its rows are missing")

// cluster is a private PostgreSQL cluster.
type cluster struct {
	dir  string
	hold io.Closer
	cmd  *exec.Cmd
}

func (b *bench) startCluster(ctx context.Context) (*cluster, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return nil, errNoPostgres
	}
	dir, err := os.MkdirTemp(filepath.Dir(b.dir), "drawbridge-bench-pg-") // not in ours, which is closed to other users
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", script, "sh", bins[len(bins)-1], dir) //nolint:gosec,noctx // fixed text; it ends with our end of the pipe
	cmd.Env, cmd.Dir, cmd.Stderr = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 { // PostgreSQL refuses root
		if err := asPostgres(cmd.SysProcAttr, dir); err != nil {
			return nil, err
		}
	}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, hold: hold, cmd: cmd}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	said := make([]byte, len("ready on"))
	if _, err := io.ReadFull(out, said); err != nil || ctx.Err() != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) //nolint:gosec // our own directory
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w: %s", err, log), c.close())
	}
	return c, nil
}

// asPostgres makes a program run as the user postgres, who gets dir.
func asPostgres(attr *syscall.SysProcAttr, dir string) error {
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

// database makes a new database and returns its URL.
func (c *cluster) database(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	return c.url(name), errors.Join(err, conn.Close(ctx))
}

func (c *cluster) url(database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(c.dir)
}

// close stops the cluster and removes it.
func (c *cluster) close() error {
	return errors.Join(c.hold.Close(), c.cmd.Wait(), os.RemoveAll(c.dir))
}
