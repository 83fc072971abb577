package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

const (
	senders     = 64
	oneRounds   = 5
	oneCount    = 60 // deliveries of a round, one by one
	manyRounds  = 3
	manyCount   = 10_000 // deliveries of a round, many at once
	plainCount  = 2_000  // rows of a round, many at once: each is a commit of its own
	heldCount   = 3_000  // deliveries of a round that a trigger judges
	secretBytes = "0123456789abcdef0123456789abcdef"
)

// ignoring is a delivery whose one trigger waits for versions, which no nightly tag is.
const ignoring = `apiVersion: drawbridge/v1
kind: Delivery
name: inbox
artifacts:
  - {name: web, image: ghcr.io/acme/bench, source: {repository: "https://github.com/acme/bench"}, signers: [ci], require: [signature]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web], listen: "127.0.0.1:0", health: {http: /healthz, interval: 100ms}}}
`

// receiver is where the deliveries of GitHub arrive.
const receiver = `apiVersion: drawbridge/v1
kind: Receiver
name: github
type: github
applications: ["*"]
`

// ingest measures the bridge's inbox on both databases: deliveries that are kept before they
// are answered.
func (b *bench) ingest(ctx context.Context) error {
	plain, err := b.plainSQLite(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(b.inbox(ctx, "SQLite", plain, "", nil), plain.close()); err != nil {
		return err
	}
	pg, err := b.startCluster(ctx)
	if errors.Is(err, errNoPostgres) {
		b.notes = append(b.notes, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(b.ingestPostgres(ctx, pg), pg.close())
}

func (b *bench) ingestPostgres(ctx context.Context, pg *cluster) error {
	var urls [4]string
	for i, name := range []string{"inbox_ci", "inbox_cd", "inbox_plain", "inbox_store"} {
		var err error
		if urls[i], err = pg.database(ctx, name); err != nil {
			return err
		}
	}
	plain, err := plainPostgres(ctx, urls[2])
	if err != nil {
		return err
	}
	return errors.Join(b.inbox(ctx, "PostgreSQL", plain, urls[3], []string{"--ci-database", urls[0], "--cd-database", urls[1]}), plain.close())
}

// inbox is what was measured of one server's inbox.
type inbox struct {
	*server
	bench    *bench
	database string
	plain    *rowServer
	hook     mail // deliveries at a receiver
	post     mail // events at the API
	next     atomic.Int64
}

func (b *bench) inbox(ctx context.Context, database string, plain *rowServer, storeURL string, args []string) (err error) {
	data := filepath.Join(b.dir, "ingest-"+database)
	s, err := b.open(ctx, data, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(), os.RemoveAll(data)) }()
	i := &inbox{server: s, bench: b, database: database, plain: plain}
	if err := i.prepare(ctx); err != nil {
		return err
	}
	before, err := s.memory()
	if err != nil {
		return err
	}
	b.say("deliveries one by one on %s", database)
	if err := i.one(ctx); err != nil {
		return err
	}
	b.say("deliveries of %d senders on %s", senders, database)
	if err := errors.Join(i.many(ctx), i.store(ctx, storeURL)); err != nil {
		return err
	}
	after, err := s.memory()
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row{
		group: i.group(), what: fmt.Sprintf("largest resident memory of the server, %d deliveries kept", i.next.Load()), unit: "MiB",
		got: series{after}, plain: "before the first one", baseline: series{before},
	})
	return nil
}

func (i *inbox) group() string { return "Durable ingestion, " + i.database }

// prepare makes a receiver and a token that can do nothing but post events.
func (i *inbox) prepare(ctx context.Context) error {
	made := api.MadeReceiver{}
	err := i.api.Send(ctx, http.MethodPut, "/api/v1/receivers", api.NewReceiver{Source: receiver, Secret: secretBytes}, &made)
	if err != nil {
		return err
	}
	token := api.CreatedToken{}
	if err := i.api.Send(ctx, http.MethodPost, "/api/v1/tokens", api.NewToken{Name: "poster", Role: identity.Events}, &token); err != nil {
		return err
	}
	i.hook, i.post = i.hooks("github", []byte(secretBytes)), i.posts(token.Secret)
	return nil
}

// one is one sender that waits for each answer, beside one that has plain rows kept.
func (i *inbox) one(ctx context.Context) error {
	kinds := []mail{i.plain.mail(), i.hook, i.post}
	took, rate := make([]series, len(kinds)), make([]series, len(kinds))
	for range oneRounds {
		for k, m := range kinds {
			line, err := dial(ctx, m.address)
			if err != nil {
				return err
			}
			t, r, err := i.bench.oneByOne(line, m, &i.next, oneCount)
			line.close()
			if err != nil {
				return err
			}
			took[k], rate[k] = append(took[k], t...), append(rate[k], r)
		}
	}
	plain := "one POST that commits one row in " + i.database
	for k, what := range []string{1: "POST /hooks/github", 2: "POST /api/v1/events"} {
		if k == 0 {
			continue
		}
		i.row(what+", one sender: deliveries per second", "/s", rate[k], plain, rate[0])
		i.row(what+", one sender", "", took[k], plain, took[0])
	}
	return nil
}

func (i *inbox) row(what, unit string, got series, plain string, baseline series) {
	i.bench.rows = append(i.bench.rows, row{group: i.group(), what: what, unit: unit, got: got, plain: plain, baseline: baseline})
}

// many is many senders at once: at first the events concern nobody, then a trigger judges
// each.
func (i *inbox) many(ctx context.Context) error {
	var rows, hooks, posts, worked series
	for range manyRounds {
		if err := i.round(ctx, i.plain.mail(), plainCount, &rows, nil); err != nil {
			return err
		}
		if err := i.round(ctx, i.hook, manyCount, &hooks, &worked); err != nil {
			return err
		}
		if err := i.round(ctx, i.post, manyCount, &posts, &worked); err != nil {
			return err
		}
	}
	file := filepath.Join(i.bench.dir, "inbox.yaml")
	if err := os.WriteFile(file, []byte(ignoring), 0o600); err != nil {
		return err
	}
	if _, err := i.command(ctx, i.bench.program, "apply", "-f", file); err != nil {
		return err
	}
	var held, judged series
	for range manyRounds {
		if err := i.round(ctx, i.hook, heldCount, &held, &judged); err != nil {
			return err
		}
	}
	plain := fmt.Sprintf("%d senders, each POST commits one row", senders)
	at := fmt.Sprintf(", %d senders: deliveries per second", senders)
	i.row("POST /hooks/github"+at, "/s", hooks, plain, rows)
	i.row("POST /api/v1/events"+at, "/s", posts, plain, rows)
	i.row("the same until each is processed, and concerns nobody", "/s", worked, plain, rows)
	i.row("POST /hooks/github"+at+", a trigger ignores each", "/s", held, plain, rows)
	i.row("the same until each is processed, a handoff on record", "/s", judged, plain, rows)
	return nil
}

// round posts count requests by many senders at once; worked is how many a second when the
// time until they are processed counts too.
func (i *inbox) round(ctx context.Context, m mail, count int64, rate, worked *series) error {
	began := i.bench.now()
	r, err := i.bench.atOnce(ctx, m, &i.next, senders, count)
	if err != nil {
		return err
	}
	*rate = append(*rate, r)
	if worked == nil {
		return nil
	}
	if err := i.processed(ctx); err != nil {
		return err
	}
	*worked = append(*worked, float64(count)/i.bench.since(began).Seconds())
	return nil
}

// processed waits until no event waits for its turn.
func (s *server) processed(ctx context.Context) error {
	return until(ctx, "the end of the events", func() (bool, string, error) {
		var page api.List[api.Event]
		err := s.api.Get(ctx, "/api/v1/events?limit=1&state="+string(bridge.EventReceived), &page)
		return err == nil && len(page.Items) == 0, "some are received and not processed", err
	})
}

// memory is the largest that the server's resident memory ever was, in MiB.
func (s *server) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, "kB")
	kb, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	return kb / 1024, err
}
