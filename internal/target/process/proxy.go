package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ServeHTTP answers a request to the environment's address by the version whose turn it is.
// The answer names it in X-Drawbridge-Release and X-Drawbridge-Version.
func (e *environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hasBody := r.Body != nil && r.Body != http.NoBody
	if hasBody {
		// Without it an answer would wait until the whole request has been read.
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1 always can
	}
	if r.Method == http.MethodConnect {
		answer(w, hasBody, http.StatusMethodNotAllowed, "this is no forward proxy")
		return
	}
	if limit := e.target.config.MaxBody; r.ContentLength > limit {
		answer(w, hasBody, http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes here", limit))
		return
	}
	v := e.balance.pick()
	if v == nil {
		w.Header().Set("Retry-After", "1")
		answer(w, hasBody, http.StatusServiceUnavailable, fmt.Sprintf("no version runs in %s", e.ref))
		return
	}
	defer v.inflight.leave()
	x := &exchange{version: v, began: e.target.config.Now()}
	if hasBody {
		x.body = &clientBody{ReadCloser: http.MaxBytesReader(w, r.Body, e.target.config.MaxBody)}
		r.Body = x.body
	}
	b := v.backend.Load()
	if b == nil {
		x.fail(w, http.StatusBadGateway, "is being started again")
		return
	}
	b.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// backend is one process of a version with its pool of connections.
type backend struct {
	address   string
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

func newBackend(v *version, port int) *backend {
	b := &backend{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	b.transport = &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		DisableCompression:     true, // what the client asked for is passed on as it is
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        2 * time.Second, // below what common servers keep: a POST on a connection just closed would be lost
		ResponseHeaderTimeout:  2 * time.Minute,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:        b.rewrite,
		Transport:      b.transport,
		ModifyResponse: modifyResponse,
		ErrorHandler:   handleError,
		BufferPool:     &v.target.buffers,
		ErrorLog:       slog.NewLogLogger(v.target.config.Log.Handler(), slog.LevelDebug),
	}
	return b
}

// rewrite sends the request as it came, but for what names the client: X-Forwarded-* are
// ours alone, a client's own are dropped.
func (b *backend) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", b.address
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.SetXForwarded()
}

// exchange is one request on its way through the proxy.
type exchange struct {
	version *version
	began   time.Time
	body    *clientBody // nil: the request has none
	counted bool
	failed  atomic.Bool // counted as an error
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		panic("process: a request without an exchange") // ServeHTTP sets it
	}
	return x
}

// count counts the request once, before the client sees any of the answer: whoever got an
// answer finds it in the figures.
func (x *exchange) count(failed bool) {
	if x.counted { // an upgrade that failed after it was answered
		return
	}
	x.counted = true
	x.failed.Store(failed)
	x.version.figures.answered(x.version.target.config.Now().Sub(x.began), failed)
}

// stamp names the version that answers.
func (x *exchange) stamp(h http.Header) {
	h.Set("X-Drawbridge-Release", x.version.want.Release)
	h.Set("X-Drawbridge-Version", x.version.want.Name)
}

// fail counts an error of the version and answers in its place.
func (x *exchange) fail(w http.ResponseWriter, status int, what string) {
	x.count(true)
	x.answer(w, status, fmt.Sprintf("version %s %s", x.version.want.Name, what))
}

func (x *exchange) answer(w http.ResponseWriter, status int, message string) {
	x.stamp(w.Header())
	answer(w, x.body != nil, status, message)
}

// answer answers in place of a version. A client that is still sending is not waited for:
// what it sends is not read any more, and the connection ends with the answer.
func answer(w http.ResponseWriter, hasBody bool, status int, message string) {
	if hasBody {
		w.Header().Set("Connection", "close")
		past := time.Unix(1, 0)
		_ = http.NewResponseController(w).SetReadDeadline(past) // where that cannot be, it only takes longer
	}
	http.Error(w, message, status)
}

// modifyResponse counts and stamps what a version answered.
func modifyResponse(res *http.Response) error {
	x := exchangeOf(res.Request)
	x.count(res.StatusCode >= http.StatusInternalServerError)
	x.stamp(res.Header)
	if res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &serverBody{ReadCloser: res.Body, exchange: x}
	}
	return nil
}

// handleError answers where the version did not. What the client did wrong, or that it
// went away, is no error of the version.
func handleError(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	var timeout net.Error
	switch {
	case r.Context().Err() != nil:
		x.count(false)
		x.answer(w, http.StatusBadGateway, "the client went away") // nobody reads it
	case errors.As(err, new(*http.MaxBytesError)):
		x.count(false)
		x.answer(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes here", x.version.target.config.MaxBody))
	case x.body != nil && x.body.broken.Load():
		x.count(false)
		x.answer(w, http.StatusBadRequest, "the request's body is malformed or was cut off")
	case errors.As(err, &timeout) && timeout.Timeout():
		x.fail(w, http.StatusGatewayTimeout, "did not answer in time")
	default:
		x.fail(w, http.StatusBadGateway, "did not answer")
	}
}

// clientBody notes whether reading the request's body failed at the client's end.
type clientBody struct {
	io.ReadCloser
	broken atomic.Bool
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.broken.Store(true)
	}
	return n, err
}

// serverBody counts an answer that breaks off as an error of the version.
type serverBody struct {
	io.ReadCloser
	exchange *exchange
}

// Read implements io.Reader.
func (b *serverBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) && b.exchange.failed.CompareAndSwap(false, true) {
		b.exchange.version.figures.broke()
	}
	return n, err
}

// buffers are the proxy's copy buffers. It implements httputil.BufferPool.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get gives a buffer of bufferSize bytes.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, bufferSize)
}

// Put takes a buffer back.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
