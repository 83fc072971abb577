package forge

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cgi" //nolint:gosec // G504: the fault was mended in Go 1.6.3
	"os"
	"regexp"
	"time"

	"drawbridge/internal/fault"
)

const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"

	pushedTime = 30 * time.Second // for Pushed
	maxReport  = 1 << 20          // bytes of git's answer to a push
)

// service is the whole of smart HTTP: three paths of a repository, nothing else.
var service = regexp.MustCompile(`^/git/([^/]+)\.git/(info/refs|git-upload-pack|git-receive-pack)$`)

// request is a request that Git's protocol knows.
type request struct {
	repository string
	service    string // uploadPack or receivePack
	advertise  bool   // asks which refs there are
	pusher     string
}

// ServeHTTP serves /git/NAME.git/ by smart HTTP. It authenticates by itself.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.serve(w, r); err != nil {
		f.fail(w, r, err)
	}
}

func (f *Forge) serve(w http.ResponseWriter, r *http.Request) error {
	name, push, err := f.cfg.Authorize(r)
	if err != nil {
		return err
	}
	req, err := parse(r)
	if err != nil {
		return err
	}
	req.pusher = name
	if err := f.find(req.repository); err != nil {
		return err
	}
	if req.service == receivePack && !push {
		return fault.New(fault.Forbidden, "%s may not push to repositories", name).WithHint("ask an admin for a token with the role developer")
	}
	if req.service == receivePack && !req.advertise {
		return f.receive(w, r, req)
	}
	f.backend(req).ServeHTTP(w, clean(r, r.Body))
	return nil
}

func parse(r *http.Request) (request, error) {
	m := service.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return request{}, fault.New(fault.NotFound, "nothing is served at %.200q", r.URL.Path).WithHint("a repository is /git/NAME.git")
	}
	req := request{repository: m[1], service: m[2]}
	method := http.MethodPost
	if m[2] == "info/refs" {
		req.service, req.advertise, method = r.URL.Query().Get("service"), true, http.MethodGet
	}
	if req.service != uploadPack && req.service != receivePack {
		return request{}, fault.New(fault.Forbidden, "only smart HTTP is served").WithHint("use git 1.6.6 or newer")
	}
	if r.Method != method {
		return request{}, fault.New(fault.Invalid, "%s is not served here", r.Method)
	}
	return req, nil
}

// backend is git http-backend as CGI, with an environment of its own.
func (f *Forge) backend(req request, settings ...[2]string) *cgi.Handler {
	return &cgi.Handler{
		Path: f.git, Args: []string{"http-backend"}, Root: "/git", Dir: f.cfg.Dir,
		Env:    append(f.environ(settings...), "GIT_PROJECT_ROOT="+f.cfg.Dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+req.pusher),
		Logger: slog.NewLogLogger(f.cfg.Log.Handler(), slog.LevelWarn),
		Stderr: &limited{left: 0, cut: true}, // git tells its client what is wrong
	}
}

// clean is r with body and without what git must not see: the token above all. Git is not
// told the body's length and reads to its end: http-backend waits at full speed, for ever,
// for the rest of a body that has a length, as it is when the server dies in between.
// net/http/cgi refuses a body in chunks, so that it came in chunks is not told either.
func clean(r *http.Request, body io.Reader) *http.Request {
	c := r.Clone(r.Context())
	c.Header = http.Header{}
	for _, name := range []string{"Accept", "Content-Type", "Content-Encoding", "Git-Protocol"} {
		if v := r.Header.Get(name); v != "" {
			c.Header.Set(name, v)
		}
	}
	c.Body, c.TransferEncoding = io.NopCloser(body), nil
	if r.ContentLength != 0 {
		c.ContentLength = -1
	}
	return c
}

// receive takes a push: it is read whole, checked, given to git under the repository's
// lock, and what moved is handed on before the sender is answered.
func (f *Forge) receive(w http.ResponseWriter, r *http.Request, req request) error {
	spool, err := f.spool(w, r)
	if err != nil {
		return err
	}
	defer drop(spool)
	head, err := parseCommands(spool)
	if errors.Is(err, errPush) {
		return fault.New(fault.Invalid, "the push is malformed")
	}
	if err != nil {
		return err
	}
	protected := func(ref string) bool { return f.cfg.Protected(req.repository, ref) }
	refused, strict := map[string]string{}, false
	for _, c := range head.list {
		if why := refusal(c, protected); why != "" {
			refused[c.ref] = why
		}
		strict = strict || protected(c.ref)
	}
	if len(refused) > 0 {
		return answer(w, report(head, refused))
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a push again: %w", err)
	}
	again := clean(r, spool)
	again.Header.Del("Content-Encoding")
	var settings [][2]string
	if strict {
		// Git asks this per repository, not per branch: a push that moves a protected branch
		// forces no other one either.
		settings = [][2]string{{"receive.denyNonFastForwards", "true"}, {"receive.denyDeletes", "true"}}
	}
	out := &recorder{header: http.Header{}, body: limited{left: maxReport}}
	if err := f.take(again, req, out, settings); err != nil {
		return err
	}
	out.copyTo(w)
	return nil
}

// take lets git receive a push and hands on what it moved.
func (f *Forge) take(r *http.Request, req request, out *recorder, settings [][2]string) error {
	unlock, err := f.lock(r.Context(), req.repository)
	if err != nil {
		return err
	}
	defer unlock()
	// From here on the sender's going away stops nothing: refs may have moved.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), pushedTime)
	defer cancel()
	before, err := f.reconcile(ctx, req.repository)
	if err != nil {
		return err
	}
	f.backend(req, settings...).ServeHTTP(out, r)
	ctx, cancel = context.WithTimeout(context.WithoutCancel(r.Context()), pushedTime)
	defer cancel()
	after, err := f.Refs(ctx, req.repository)
	if err != nil {
		return err
	}
	changes := changed(before, after, req.pusher, f.cfg.Now().UTC().Truncate(time.Millisecond))
	if len(changes) == 0 {
		return nil
	}
	return f.cfg.Pushed(ctx, req.repository, changes)
}

// spool reads the body into a file, unpacked, and returns it at its start. The caller drops it.
func (f *Forge) spool(w http.ResponseWriter, r *http.Request) (_ *os.File, err error) {
	over := fault.New(fault.TooLarge, "a push has at most %d bytes", f.cfg.MaxPush)
	if r.ContentLength > f.cfg.MaxPush {
		return nil, over
	}
	var body io.Reader = http.MaxBytesReader(w, r.Body, f.cfg.MaxPush)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return nil, fault.New(fault.Invalid, "the push is malformed")
		}
	}
	file, err := os.CreateTemp(f.temporary(), "push-")
	if err != nil {
		return nil, fmt.Errorf("receive a push: %w", err)
	}
	size, err := io.Copy(file, io.LimitReader(body, f.cfg.MaxPush+1))
	if err == nil && size <= f.cfg.MaxPush {
		_, err = file.Seek(0, io.SeekStart)
		if err == nil {
			return file, nil
		}
	}
	drop(file)
	var limit *http.MaxBytesError
	if size > f.cfg.MaxPush || errors.As(err, &limit) {
		return nil, over
	}
	if _, disk := errors.AsType[*os.PathError](err); disk {
		return nil, fmt.Errorf("receive a push: %w", err)
	}
	return nil, fault.Wrap(fault.Invalid, err, "the push broke off")
}

// drop closes and removes a spooled push; New clears what is left.
func drop(file *os.File) {
	_ = file.Close()
	_ = os.Remove(file.Name())
}

func answer(w http.ResponseWriter, b []byte) error {
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b) // a sender that went away is nobody's fault
	return nil
}

// fail tells the sender what is wrong: git shows the text of a text/plain answer.
func (f *Forge) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	kind, text := fault.KindOf(err), "internal error"
	if e := fault.As(err); e != nil && kind != fault.Internal {
		text = e.Message
		if e.Hint != "" {
			text += "\nhint: " + e.Hint
		}
	}
	switch kind { //nolint:exhaustive // two kinds need more than their status
	case fault.Unauthenticated:
		w.Header().Set("WWW-Authenticate", `Basic realm="drawbridge", charset="UTF-8"`)
	case fault.Internal:
		f.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "git request failed",
			slog.String("path", r.URL.Path), slog.String("error", err.Error()))
	}
	http.Error(w, text, kind.Status())
}

// recorder holds an answer back until what it says is true.
type recorder struct {
	header http.Header
	status int
	body   limited
}

// Header is the header that will be sent.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader keeps the status.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write keeps the body.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	_, _ = io.Copy(w, bytes.NewReader(r.body.Bytes())) // a sender that went away is nobody's fault
}
