package process_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/target/targettest"
)

// BenchmarkProxy sends the same requests to a version directly and through the proxy in
// the same run and reports the ratio: the share of the direct rate that the proxy keeps.
func BenchmarkProxy(b *testing.B) {
	w := newBench(b)
	a := deployed(b, w, w.version(b, "1.0.0", targettest.Good, 90), w.version(b, "1.1.0", targettest.Good, 10))
	direct := "127.0.0.1:" + portOf(b, w)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	rate := func(address string) float64 {
		b.SetParallelism(4)
		began := time.Now()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				res, err := client.Get("http://" + address + "/")
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
		return float64(b.N) / time.Since(began).Seconds()
	}
	b.ResetTimer()
	plain := rate(direct)
	proxied := rate(a.Address)
	b.ReportMetric(plain, "direct-req/s")
	b.ReportMetric(proxied, "proxied-req/s")
	b.ReportMetric(proxied/plain, "ratio")
}

func portOf(b *testing.B, w *bench) string {
	b.Helper()
	for _, line := range w.launcher.Started()[0].Env {
		if port, ok := strings.CutPrefix(line, "PORT="); ok {
			return port
		}
	}
	b.Fatal("the instance has no port")
	return ""
}
