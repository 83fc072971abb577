package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
)

const (
	proxyRounds = 5
	proxyRound  = 700 * time.Millisecond
)

// proxy compares the environment's address with the same service asked directly, and with
// the same service behind the standard library's reverse proxy.
func (b *bench) proxy(ctx context.Context, s *server) (err error) {
	b.say("proxy")
	var page api.List[cd.Status]
	if err := s.api.Get(ctx, "/api/v1/status?application=bench", &page); err != nil || len(page.Items) != 1 {
		return errors.Join(err, fmt.Errorf("%d environments, want 1", len(page.Items)))
	}
	direct, err := b.launch(ctx, []string{"PORT=0"}, b.service)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, direct.stop()) }()
	bare, err := b.launch(ctx, []string{"PORT=0"}, b.service, "http://"+direct.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	addresses := []string{direct.address, bare.address, page.Items[0].Address}
	for _, clients := range []int{1, 16} {
		var rates, times [3]series
		for range proxyRounds {
			for i, address := range addresses {
				got, err := b.storm(ctx, "http://"+address+"/", clients)
				if err != nil {
					return err
				}
				rates[i] = append(rates[i], float64(len(got))/proxyRound.Seconds())
				times[i] = append(times[i], got...)
			}
		}
		group := fmt.Sprintf("Proxy of the process target, %d connections", clients)
		if clients == 1 {
			group = "Proxy of the process target, one connection"
		}
		for i, plain := range []string{"the service asked directly", "the service behind a bare `httputil.ReverseProxy`"} {
			b.rows = append(b.rows,
				row{group: group, what: "requests per second", got: rates[2], plain: plain, baseline: rates[i], unit: "/s"},
				row{group: group, what: "latency", got: times[2], plain: plain, baseline: times[i]},
			)
		}
	}
	return nil
}

// storm sends requests over a number of connections for one round and returns how long
// each took. An answer other than 200 is an error.
func (b *bench) storm(ctx context.Context, target string, clients int) (series, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	stop := b.now().Add(proxyRound)
	each := make([]series, clients)
	wrong := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for began := b.now(); began.Before(stop) && wrong[i] == nil; began = b.now() {
				wrong[i] = ask(ctx, transport, target)
				each[i].add(b.since(began))
			}
		})
	}
	wg.Wait()
	var all series
	for _, s := range each {
		all = append(all, s...)
	}
	return all, errors.Join(wrong...)
}

func ask(ctx context.Context, transport *http.Transport, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return errors.Join(err, res.Body.Close())
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", target, res.Status)
	}
	return nil
}
