package targettest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serviceEnv is set where the test binary is to be the service; its value is a Behaviour.
const serviceEnv = "TARGETTEST_SERVICE"

// Behaviour is what a version of the test service does.
type Behaviour string

// The behaviours.
const (
	Good    Behaviour = "good"    // answers everything
	Sick    Behaviour = "sick"    // runs, but /healthz answers 500
	Crashes Behaviour = "crashes" // writes "no configuration found" to stderr and ends at once
	Failing Behaviour = "failing" // is healthy, but answers 500 to /
	Silent  Behaviour = "silent"  // runs, but listens on no port
)

// Init is the first call in TestMain: where the test binary was started as the service it
// serves and never returns, else it returns at once.
//
// The service answers, on 127.0.0.1 at PORT:
//
//	/             "VERSION ENVIRONMENT\n"; 500 where the behaviour is Failing
//	/healthz      200, or 500 after /sick or where the behaviour is Sick
//	/sick, /well  make the service unhealthy or healthy again
//	/status/N     status N
//	/echo         the request's body, each piece as it comes
//	/hold         the header at once, "held" once the request's body has ended
//	/wait         nothing until the request's body has ended
//	/waiting      how many requests are in /wait
//	/env          the environment, a line each
//	/headers      the request's headers and its host
//	/break        half an answer
//	/upgrade      101, then an echo
//	/die          ends the service
func Init() {
	b := Behaviour(os.Getenv(serviceEnv))
	if b == "" {
		return
	}
	go func() { // the service does not outlive the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	switch b {
	case Crashes:
		fmt.Fprintln(os.Stderr, "no configuration found")
		os.Exit(3)
	case Silent:
		select {}
	case Good, Sick, Failing:
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT")) //nolint:noctx // lives as long as the process
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := &http.Server{Handler: newService(b), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.Serve(l))
	os.Exit(1)
}

func newService(b Behaviour) http.Handler {
	var sick atomic.Bool
	sick.Store(b == Sick)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		if b == Failing {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = fmt.Fprintln(w, os.Getenv("VERSION"), os.Getenv("ENVIRONMENT"))
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/sick", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	mux.HandleFunc("/well", func(http.ResponseWriter, *http.Request) { sick.Store(false) })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = c.Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "held")
	})
	var waiting atomic.Int64
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		waiting.Add(1)
		defer waiting.Add(-1)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	mux.HandleFunc("/waiting", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, waiting.Load()) })
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Join(os.Environ(), "\n"))
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "Host: %s\nRequestURI: %s\n", r.Host, r.RequestURI) //nolint:gosec // plain text for a test
		_ = r.Header.Write(w)
	})
	mux.HandleFunc("/break", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/upgrade", upgrade)
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "told to die")
		os.Exit(7)
	})
	return mux
}

func echo(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex()
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Body.Read(buf)
		if _, writeErr := w.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
		_ = c.Flush()
	}
}

func upgrade(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	for lines := bufio.NewScanner(rw); lines.Scan(); {
		_, _ = fmt.Fprintf(conn, "%s\n", lines.Text())
	}
}
