package queue_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/queue"
	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

// The crash test runs real processes, this test binary again, and kills them with SIGKILL
// at random moments. Each accepts items and moves them through steps, every second one
// behind a timer. In the end nothing that was accepted is lost and no step took place twice.

const (
	nodeURL     = "DRAWBRIDGE_TEST_NODE_URL"
	nodeKey     = "DRAWBRIDGE_TEST_NODE_KEY"
	nodeClients = "DRAWBRIDGE_TEST_NODE_CLIENTS"
	lastStep    = 4
)

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeURL); url != "" {
		if err := node(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var itemTables = fstest.MapFS{"00001_item.sql": {Data: []byte(`-- +goose Up
CREATE TABLE item (id bigint NOT NULL PRIMARY KEY, name text NOT NULL UNIQUE, version bigint NOT NULL CHECK (version BETWEEN 1 AND 4));
CREATE TABLE item_step (item_id bigint NOT NULL, version bigint NOT NULL, PRIMARY KEY (item_id, version));
-- +goose Down
DROP TABLE item_step;
DROP TABLE item;
`)}}

func node(ctx context.Context, url string) error {
	key, err := audit.ParseKey(os.Getenv(nodeKey))
	if err != nil {
		return err
	}
	clients, err := strconv.Atoi(os.Getenv(nodeClients))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{URL: url, Plane: "cd", Migrations: itemTables, AuditKey: key})
	if err != nil {
		return err
	}
	q := queue.New(db, queue.Config{})
	q.Handle("item.step", func(ctx context.Context, t store.Task) error { return step(ctx, db, t) })
	fmt.Println("UP") //nolint:forbidigo // the parent reads it
	for c := range clients {
		go accept(ctx, db, fmt.Sprintf("%s-%d", rand.Text(), c))
	}
	if clients == 0 {
		go tellDone(ctx, db)
	}
	return q.Run(ctx)
}

// accept takes items in and says so only after the commit.
func accept(ctx context.Context, db *store.DB, prefix string) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		err := db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			id, err := tx.Next(ctx, "item")
			if err != nil {
				return err
			}
			_, err = tx.SQL.ExecContext(ctx, `INSERT INTO item (id, name, version) VALUES ($1, $2, 1)`, id, name)
			return errors.Join(
				err, tx.Record(ctx, audit.Entry{Actor: "client", Action: "item.accept", Subject: fmt.Sprint(id)}),
				tx.Enqueue(ctx, store.Task{Name: "item.step", ID: id, Version: 1}),
			)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "accept:", err)
			return
		}
		fmt.Println("ACK", name) //nolint:forbidigo // the parent reads it
	}
}

// step moves one item on by a compare-and-set, with its entry and its next task or timer.
func step(ctx context.Context, db *store.DB, t store.Task) error {
	return db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.SQL.ExecContext(ctx, `UPDATE item SET version = version + 1 WHERE id = $1 AND version = $2`, t.ID, t.Version)
		if err := store.SwappedResult(res, err, "item", t.ID); err != nil {
			return err
		}
		if _, err := tx.SQL.ExecContext(ctx, `INSERT INTO item_step (item_id, version) VALUES ($1, $2)`, t.ID, t.Version); err != nil {
			return err
		}
		if err := tx.Record(ctx, audit.Entry{Actor: "node", Action: "item.step", Subject: fmt.Sprint(t.ID)}); err != nil {
			return err
		}
		t.Version++
		switch {
		case t.Version == lastStep:
			return nil
		case t.Version%2 == 0:
			return tx.WakeAt(ctx, t, db.Now().Add(5*time.Millisecond))
		}
		return tx.Enqueue(ctx, t)
	})
}

// tellDone looks until every item is at its end.
func tellDone(ctx context.Context, db *store.DB) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		var n int64
		err := db.Reader().QueryRowContext(ctx, `SELECT count(*) FROM item WHERE version < $1`, lastStep).Scan(&n)
		if err == nil && n == 0 {
			fmt.Println("DONE") //nolint:forbidigo // the parent reads it
			return
		}
	}
}

// crew starts nodes and collects what they acknowledge.
type crew struct {
	t     *testing.T
	env   []string
	mu    sync.Mutex
	acked map[string]struct{}
}

type process struct {
	cmd   *exec.Cmd
	lines chan string // what it says, but for UP
	read  chan struct{}
}

func (c *crew) start(clients int) *process {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), c.env...), fmt.Sprintf("%s=%d", nodeClients, clients))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test gave up; else it is dead
	p := &process{cmd: cmd, lines: make(chan string, 1<<16), read: make(chan struct{})}
	up := make(chan struct{})
	go func() {
		defer close(p.read)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if s.Text() == "UP" {
				close(up)
				continue
			}
			if name, ok := strings.CutPrefix(s.Text(), "ACK "); ok {
				c.mu.Lock()
				c.acked[name] = struct{}{}
				c.mu.Unlock()
			}
			p.lines <- s.Text()
		}
	}()
	select {
	case <-up:
	case <-p.read:
		c.t.Fatal("a node did not come up")
	}
	return p
}

// kill kills p after it has said n more lines.
func (c *crew) kill(p *process, n int) {
	c.t.Helper()
	for range n {
		if _, ok := <-p.lines; !ok {
			c.t.Error("a node ended by itself")
			break
		}
	}
	if err := p.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
	go func() { // the rest, so that the reader ends
		for range p.lines {
		}
	}()
	<-p.read
	_ = p.cmd.Wait() // killed
}

func TestKill(t *testing.T) {
	if testing.Short() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI leaves nothing out: run without -short")
		}
		t.Skip("kills processes for a quarter of a minute")
	}
	t.Run("sqlite", func(t *testing.T) { killing(t, storetest.SQLite(t, "cd", itemTables).URL, 1) })
	t.Run("postgres", func(t *testing.T) { killing(t, storetest.Postgres(t), 3) })
}

func killing(t *testing.T, url string, replicas int) {
	const kills = 15
	private, err := audit.GenerateKey(rand.Reader, "cd")
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{t: t, env: []string{nodeURL + "=" + url, nodeKey + "=" + private}, acked: map[string]struct{}{}}
	nodes := make([]*process, replicas)
	for i := range nodes {
		nodes[i] = c.start(3)
	}
	for k := range kills {
		i := k % replicas
		c.kill(nodes[i], 1+mathrand.IntN(25))
		nodes[i] = c.start(3)
	}
	for _, p := range nodes { // the end: all die
		c.kill(p, 1)
	}
	last := c.start(0)
	if said := <-last.lines; said != "DONE" {
		t.Fatalf("the last node said %q", said)
	}
	c.kill(last, 0)

	key, err := audit.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, store.Config{URL: url, Plane: "cd", Migrations: itemTables, AuditKey: key})
	c.check(db)
}

// check compares the books with what was acknowledged.
func (c *crew) check(db *store.DB) {
	t := c.t
	t.Helper()
	items := storetest.Count(t, db, "SELECT count(*) FROM item")
	for name := range c.acked {
		var id int64
		err := db.Reader().QueryRowContext(t.Context(), `SELECT id FROM item WHERE name = $1`, name).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			t.Errorf("%s was acknowledged and is lost", name)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	steps := storetest.Count(t, db, "SELECT count(*) FROM item_step")
	if want := items * (lastStep - 1); steps != want {
		t.Errorf("%d steps of %d items, want %d", steps, items, want)
	}
	err := db.ReadAudit(t.Context(), func(ctx context.Context, log audit.Source) error {
		r, err := audit.Verify(ctx, log, db.AuditVerifier(), nil)
		if want := items + steps; err == nil && r.Size != want {
			err = fmt.Errorf("%d audit entries, want %d", r.Size, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if n := storetest.Count(t, db, "SELECT count(*) FROM timer"); n != 0 {
		t.Errorf("%d timers are left", n)
	}
	t.Logf("%d acknowledged, %d items, %d steps", len(c.acked), items, steps)
}
