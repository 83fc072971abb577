package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// eventsTime bounds the events of one database, on a machine that is busy with other work.
const eventsTime = 80 * time.Second

const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: bench
artifacts:
  - {name: web, image: bench/web, signers: [ci], require: [signature, provenance, sbom, tests, coverage]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web], listen: "127.0.0.1:0", health: {http: /healthz, interval: 100ms}}}
`

// deploy measures the way of an artifact's event into an environment, on both databases,
// and on the first one what is there afterwards: verification and the proxy.
func (b *bench) deploy(ctx context.Context) error {
	plain, err := b.plainSQLite(ctx)
	if err != nil {
		return err
	}
	err = b.onServer(ctx, "SQLite", plain, nil, func(s *server) error {
		return errors.Join(b.verify(ctx, s), b.proxy(ctx, s))
	})
	if err := errors.Join(err, plain.close()); err != nil {
		return err
	}
	return b.onPostgres(ctx)
}

func (b *bench) onPostgres(ctx context.Context) (err error) {
	pg, err := b.startCluster(ctx)
	if errors.Is(err, errNoPostgres) {
		b.notes = append(b.notes, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.close()) }()
	var urls [3]string
	for i, name := range []string{"ci", "cd", "plain"} {
		if urls[i], err = pg.database(ctx, name); err != nil {
			return err
		}
	}
	plain, err := plainPostgres(ctx, urls[2])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.close()) }()
	return b.onServer(ctx, "PostgreSQL", plain, []string{"--ci-database", urls[0], "--cd-database", urls[1]}, func(*server) error { return nil })
}

// onServer measures the events on a new server and calls more while it still runs.
func (b *bench) onServer(ctx context.Context, database string, plain *rowServer, args []string, more func(*server) error) (err error) {
	data := filepath.Join(b.dir, "deploy-"+database)
	s, err := b.open(ctx, data, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(), os.RemoveAll(data)) }()
	b.say("%d artifacts, signed and attested, for %s", b.events, database)
	refs, err := b.artifacts(ctx, s)
	if err != nil {
		return err
	}
	b.say("%d events on %s", b.events, database)
	if err := b.cross(ctx, s, database, plain, refs); err != nil {
		return err
	}
	return more(s)
}

// artifacts publishes what the events will tell of. No delivery is there yet, so that what
// the registry itself tells of the tags concerns nobody.
func (b *bench) artifacts(ctx context.Context, s *server) ([]artifact.Reference, error) {
	m, err := b.images(ctx, s)
	if err != nil {
		return nil, err
	}
	var refs []artifact.Reference
	for i := range b.events {
		ref, err := m.publish(ctx, i)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	err = until(ctx, "the end of the registry's own events", func() (bool, string, error) {
		n := 0
		for e, err := range client.Each[api.Event](ctx, s.api, "/api/v1/events?limit=200") {
			if err != nil {
				return false, "", err
			}
			if e.State == bridge.EventProcessed {
				n++
			}
		}
		return n == len(refs), fmt.Sprintf("%d of %d are processed", n, len(refs)), nil
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, "delivery.yaml")
	if err := os.WriteFile(file, []byte(delivery), 0o600); err != nil {
		return nil, err
	}
	_, err = s.command(ctx, b.program, "apply", "-f", file)
	return refs, err
}

// cross posts one event after the other, each when the promotion of the last one is done.
func (b *bench) cross(ctx context.Context, s *server, database string, plain *rowServer, refs []artifact.Reference) error {
	w, err := watch(filepath.Join(s.data, "target", "unpacked"), b.now)
	if err != nil {
		return err
	}
	defer w.close()
	var acked, admitted, started, live, rows series
	end := b.now().Add(eventsTime)
	for i, ref := range refs {
		if b.now().After(end) {
			break // n says how many there were
		}
		body, err := bridge.Published{Source: "/bench", ID: version(i), Artifact: ref, Repository: "bench", Ref: "refs/heads/main", At: b.now().UTC()}.CloudEvent()
		if err != nil {
			return err
		}
		began := b.now()
		if err := plain.post(ctx, body); err != nil {
			return err
		}
		rows.add(b.since(began))

		began = b.now()
		if err := s.api.Post(ctx, body); err != nil {
			return err
		}
		acked.add(b.since(began))
		at, err := w.wait(ctx, ref.Digest)
		if err != nil {
			return errors.Join(err, s.why(ctx))
		}
		p, err := s.promoted(ctx, ref.Tag)
		if err != nil {
			return err
		}
		started.add(at.Sub(began))
		admitted.add(p.Admitted.Sub(began))
		live.add(p.Ended.Sub(began))
	}
	group, one := "Artifact event to deploy, "+database, "one POST that commits one row in "+database
	b.rows = append(b.rows,
		row{group: group, what: "event → acknowledged", got: acked, plain: one, baseline: rows},
		row{group: group, what: "event → five attestations verified three times, promotion admitted", got: admitted, plain: one, baseline: rows},
		row{group: group, what: "event → the deploy step's first effect", got: started, plain: one, baseline: rows},
		row{group: group, what: "event → live, all traffic moved", got: live, plain: one, baseline: rows},
	)
	return nil
}

// promoted waits until the promotion of a version is done.
func (s *server) promoted(ctx context.Context, version string) (api.Promotion, error) {
	var p api.Promotion
	err := until(ctx, "the promotion of "+version, func() (bool, string, error) {
		var page api.List[api.Promotion]
		if err := s.api.Get(ctx, "/api/v1/promotions?limit=1&application=bench", &page); err != nil {
			return false, "", err
		}
		if len(page.Items) == 0 || page.Items[0].Version != version {
			return false, "no promotion of it", nil
		}
		if p = page.Items[0]; p.State.Ended() && p.State != cd.Done {
			return false, "", fmt.Errorf("promotion %d is %s: %s", p.ID, p.State, p.Reason)
		}
		return p.State == cd.Done && p.Admitted != nil, string(p.State) + " " + p.Reason, nil
	})
	return p, err
}

// why is the newest handoff, as an error.
func (s *server) why(ctx context.Context) error {
	var page api.List[api.Handoff]
	if err := s.api.Get(context.WithoutCancel(ctx), "/api/v1/handoffs?limit=1", &page); err != nil || len(page.Items) == 0 {
		return errors.Join(err, errors.New("there is no handoff"))
	}
	return fmt.Errorf("handoff %d is %s: %s", page.Items[0].ID, page.Items[0].State, page.Items[0].Reason)
}

// verify is the release's verification by today's trust, its evidence in the cache.
func (b *bench) verify(ctx context.Context, s *server) error {
	b.say("release verify")
	const rounds = 200
	var verified, health series
	for range rounds {
		began := b.now()
		if err := s.get(ctx, "/healthz"); err != nil {
			return err
		}
		health.add(b.since(began))
		began = b.now()
		var v api.Verification
		if err := s.api.Send(ctx, http.MethodPost, "/api/v1/releases/bench@"+version(0)+"/verify", nil, &v); err != nil {
			return err
		}
		verified.add(b.since(began))
		if !v.OK || len(v.Evidence["web"].Attestations) != 5 {
			return fmt.Errorf("verified %d attestations, refused: %v", len(v.Evidence["web"].Attestations), v.Refusals)
		}
	}
	b.rows = append(b.rows, row{
		group: "Verification", what: "`release verify`, five attestations in the cache", got: verified, plain: "GET /healthz of the same server", baseline: health,
	})
	return nil
}

// get asks for a path of the server and reads nothing of the answer.
func (s *server) get(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
