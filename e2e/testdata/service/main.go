// Command service is the application that the stories deploy. The file mode beside it
// says how it behaves, the file VERSION which version it is:
//
//	healthy     answers
//	dies        ends at once
//	broken      is healthy, and answers 500 in production
//	attack      answers /attack with what it could take from its host
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "attack" {
		report(os.Stdout, harmless(os.Args[2], os.Args[3]))
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	version, mode := line("VERSION"), line("mode")
	environment := os.Getenv("ENVIRONMENT")
	mux := http.NewServeMux()
	if mode == "dies" {
		return errors.New("it does not even start")
	}
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "broken" && environment == "production" {
			http.Error(w, "broken in production only", http.StatusInternalServerError)
			return
		}
		answer := map[string]string{"version": version, "environment": environment, "told": os.Getenv("VERSION"), "digest": os.Getenv("DIGEST")}
		_ = json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("GET /environ", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
	if mode == "attack" {
		mux.HandleFunc("GET /attack", func(w http.ResponseWriter, r *http.Request) {
			report(w, attacks(r.URL.Query().Get("data"), r.URL.Query().Get("pid")))
		})
	}
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// line is what a file beside the program says.
func line(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "healthy"
	}
	return strings.TrimSpace(string(text))
}

// report writes one line for each attack: its name, and how it ended.
func report(w io.Writer, list []attack) {
	for _, a := range list {
		if took, err := a.try(); err != nil {
			fmt.Fprintf(w, "%s: held: %v\n", a.name, err)
		} else {
			fmt.Fprintf(w, "%s: BROKEN: %s\n", a.name, took)
		}
	}
}
