package web

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
)

// scrapeTime bounds the reading of figures for one answer of /metrics.
const scrapeTime = 5 * time.Second

// Traffic is what one version in one environment serves.
type Traffic struct {
	Environment cd.EnvironmentRef
	Version     string // what people call it, or the start of its digest
	Weight      int    // percent of the environment's requests
	Healthy     bool
	Figures     cd.Figures
}

// Gauges are where the figures of /metrics come from; a nil function is left out.
type Gauges struct {
	Traffic    func(ctx context.Context) ([]Traffic, error)
	Promotions func(ctx context.Context) ([]cd.Promotion, error) // those that have not ended
	Runs       func(ctx context.Context) ([]ci.Run, error)       // likewise
	Backlog    func(ctx context.Context) (Backlog, error)
}

// Backlog is what the bridge has yet to deal with.
type Backlog struct {
	Received int64 // events that are not judged yet
	Dead     int64 // events that wait for a person
	Waiting  int64 // handoffs that wait for what belongs together, or for evidence
}

var (
	place          = []string{"application", "environment", "version"}
	requestsDesc   = prometheus.NewDesc("drawbridge_target_requests_total", "Requests that a version answered since it started.", place, nil)
	errorsDesc     = prometheus.NewDesc("drawbridge_target_errors_total", "Those of them that failed: status 500 and above, and connections that broke.", place, nil)
	latencyDesc    = prometheus.NewDesc("drawbridge_target_request_seconds", "Time until a version began its answer.", place, nil)
	weightDesc     = prometheus.NewDesc("drawbridge_target_weight", "Share of the traffic that a version has, in percent.", place, nil)
	healthyDesc    = prometheus.NewDesc("drawbridge_target_healthy", "1 when a version is healthy, else 0.", place, nil)
	promotionsDesc = prometheus.NewDesc("drawbridge_promotions", "Promotions that have not ended, by state.", []string{"application", "environment", "state"}, nil)
	eventsDesc     = prometheus.NewDesc("drawbridge_events", "Events that are not processed, by state.", []string{"state"}, nil)
	handoffsDesc   = prometheus.NewDesc("drawbridge_handoffs", "Handoffs that wait, by state.", []string{"state"}, nil)
	runsDesc       = prometheus.NewDesc("drawbridge_runs", "Runs that have not ended, by state.", []string{"state"}, nil)
)

// Describe sends nothing: which figures there are depends on what runs.
func (Gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector: it reads the figures of now. What cannot be
// read fails the answer.
func (g Gauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	if g.Traffic != nil {
		list, err := g.Traffic(ctx)
		send(out, weightDesc, err, func() { collectTraffic(out, list) })
	}
	if g.Promotions != nil {
		list, err := g.Promotions(ctx)
		send(out, promotionsDesc, err, func() { collectPromotions(out, list) })
	}
	if g.Runs != nil {
		list, err := g.Runs(ctx)
		send(out, runsDesc, err, func() { collectRuns(out, list) })
	}
	if g.Backlog != nil {
		b, err := g.Backlog(ctx)
		send(out, eventsDesc, err, func() { collectBacklog(out, b) })
	}
}

func send(out chan<- prometheus.Metric, desc *prometheus.Desc, err error, metrics func()) {
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc, err)
		return
	}
	metrics()
}

func collectTraffic(out chan<- prometheus.Metric, list []Traffic) {
	for _, t := range list {
		labels := []string{t.Environment.Application, t.Environment.Name, t.Version}
		f := t.Figures
		out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(f.Requests), labels...)
		out <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(f.Errors), labels...)
		out <- prometheus.MustNewConstMetric(weightDesc, prometheus.GaugeValue, float64(t.Weight), labels...)
		healthy := 0.0
		if t.Healthy {
			healthy = 1
		}
		out <- prometheus.MustNewConstMetric(healthyDesc, prometheus.GaugeValue, healthy, labels...)
		buckets := map[float64]uint64{}
		count := uint64(max(f.Requests, 0))
		for _, b := range f.Latency {
			buckets[b.Limit.Seconds()] = uint64(max(b.Count, 0))
			count = max(count, uint64(max(b.Count, 0))) // the counters are read one after the other
		}
		// The sum of the times is not kept; what is not known is not 0.
		out <- prometheus.MustNewConstHistogram(latencyDesc, count, math.NaN(), buckets, labels...)
	}
}

func collectPromotions(out chan<- prometheus.Metric, list []cd.Promotion) {
	type key struct {
		ref   cd.EnvironmentRef
		state cd.State
	}
	count := map[key]int{}
	for _, p := range list {
		count[key{p.Environment(), p.State}]++
	}
	for k, n := range count {
		out <- prometheus.MustNewConstMetric(promotionsDesc, prometheus.GaugeValue, float64(n), k.ref.Application, k.ref.Name, string(k.state))
	}
}

func collectRuns(out chan<- prometheus.Metric, list []ci.Run) {
	count := map[ci.RunState]int{}
	for _, s := range ci.RunStates() {
		if !s.Final() {
			count[s] = 0
		}
	}
	for _, r := range list {
		count[r.State]++
	}
	for s, n := range count {
		out <- prometheus.MustNewConstMetric(runsDesc, prometheus.GaugeValue, float64(n), string(s))
	}
}

func collectBacklog(out chan<- prometheus.Metric, b Backlog) {
	out <- prometheus.MustNewConstMetric(eventsDesc, prometheus.GaugeValue, float64(b.Received), string(bridge.EventReceived))
	out <- prometheus.MustNewConstMetric(eventsDesc, prometheus.GaugeValue, float64(b.Dead), string(bridge.EventDead))
	out <- prometheus.MustNewConstMetric(handoffsDesc, prometheus.GaugeValue, float64(b.Waiting), string(bridge.Waiting))
}
