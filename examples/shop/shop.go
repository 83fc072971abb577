// Command shop is a small web shop: a list of products and the price of a basket. It
// listens on 127.0.0.1:$PORT and ends on TERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"shop/price"
)

type product struct {
	Name  string      `json:"name"`
	Price price.Cents `json:"price"` // of one, in cents
}

// products is what the shop sells.
var products = []product{{"anvil", 12500}, {"rope", 450}, {"lantern", 1999}}

// newHandler serves the shop as one version in one environment.
func newHandler(version, environment string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"version": version, "environment": environment, "products": products})
	})
	mux.HandleFunc("GET /total", total)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// total prices a basket: /total?anvil=2&rope=10.
func total(w http.ResponseWriter, r *http.Request) {
	var basket []price.Line
	for _, p := range products {
		text := r.FormValue(p.Name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			http.Error(w, p.Name+" needs a number", http.StatusBadRequest)
			return
		}
		basket = append(basket, price.Line{Unit: p.Price, Count: int(n)})
	}
	sum, err := price.Total(basket)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, map[string]string{"total": sum.String()})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print("reply: ", err)
	}
}

// run serves until ctx ends, then lets the requests under way finish.
func run(ctx context.Context, address string, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	log.Print("listening on ", l.Addr())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(stop)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	h := newHandler(os.Getenv("VERSION"), os.Getenv("ENVIRONMENT"))
	if err := run(ctx, net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), h); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
