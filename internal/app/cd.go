package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/queue"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/target/process"
)

// restoreTimeout bounds how long the start waits for one environment to come back; it goes
// on coming back after that.
const restoreTimeout = time.Minute

// cdPlane is the bridge and the CD plane with everything that only they use.
type cdPlane struct {
	store   *storecd.Store
	bridge  *crossing
	trusted bridge.Trusted
	service *cd.Service
	target  *process.Target
	queue   *queue.Queue
	tokens  *identity.Tokens // of the CD plane's own database
}

func (s *server) openCD(ctx context.Context) error {
	key, err := auditKey(s.cfg.Data, "cd")
	if err != nil {
		return err
	}
	db, err := storecd.Open(ctx, store.Config{URL: s.cfg.CDDatabase, AuditKey: key, Log: s.log, Now: s.cfg.Now, MaxPages: s.cfg.MaxPages})
	if err != nil {
		return fmt.Errorf("open the CD plane's database: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	s.cd = &cdPlane{store: db, tokens: identity.New(db.DB().Tokens(), s.cfg.Now)}
	return nil
}

// startCD makes the plane's parts, once both databases are open and the address is known.
func (s *server) startCD() error {
	p := s.cd
	images, err := s.registryClient("cd")
	if err != nil {
		return err
	}
	p.trusted = bridge.Trusted{Store: p.store}
	if s.ci != nil {
		key, err := signerKey(s.cfg.Data)
		if err != nil {
			return err
		}
		if p.trusted.CI, err = impliedSigner(key); err != nil {
			return err
		}
	}
	p.target, err = process.New(process.Config{Dir: filepath.Join(s.data, "target"), Images: images, Launcher: launcher{s.sandbox}, Log: s.log, Now: s.cfg.Now})
	if err != nil {
		return fmt.Errorf("open the process target: %w", err)
	}
	s.closers = append(s.closers, func() error {
		bound, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return p.target.Close(bound)
	})
	verifier := bridge.Verifier{Evidence: images, Policy: p.trusted, Files: images}
	if p.bridge, err = s.startBridge(verifier, images); err != nil {
		return fmt.Errorf("start the bridge: %w", err)
	}
	p.service = &cd.Service{Store: p.store, Verifier: verifier, Target: p.target, Now: s.cfg.Now}
	p.queue = queue.New(p.store.DB(), queue.Config{Log: s.log})
	p.bridge.handle(p.queue, p.store)
	p.queue.Handle(storecd.TaskPromotion, func(ctx context.Context, t store.Task) error {
		return p.service.Work(ctx, cd.PromotionID(t.ID), t.Version)
	})
	p.queue.Sweep("cd", p.store.Sweep)
	p.queue.Sweep("environments", p.service.Restore)
	return nil
}

// restore brings back what ran, every environment at once, before any promotion goes on.
func (p *cdPlane) restore(ctx context.Context, log *slog.Logger) error {
	rows, err := p.store.Environments(ctx, "")
	if err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	var g errgroup.Group
	for _, row := range rows {
		g.Go(func() error {
			if err := p.service.RestoreEnvironment(bound, row); err != nil && ctx.Err() == nil {
				log.Error("environment does not come back", slog.String("environment", row.Ref.String()), slog.Any("error", err))
			}
			return nil
		})
	}
	return g.Wait()
}
