// Command service is the service that the benchmarks deploy, and the plain thing to compare
// with: an HTTP server that does nothing. With an URL as its argument it is a plain reverse
// proxy in front of that URL.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	if err := serve(os.Getenv("PORT"), os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

// serve listens on a port of 127.0.0.1, "0" picks one, and says "ready on HOST:PORT" to out.
func serve(port string, args []string, out io.Writer) error {
	handler := plain()
	if len(args) == 1 {
		behind, err := url.Parse(args[0])
		if err != nil {
			return err
		}
		handler = &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(behind); r.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)) //nolint:noctx // the process ends with it
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ready on", l.Addr()); err != nil {
		return err
	}
	return (&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}).Serve(l)
}

// plain answers everything with a short text.
func plain() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "good\n") // a client that went away is nobody's loss
	})
}
