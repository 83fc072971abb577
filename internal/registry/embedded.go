package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the storage driver that Open names
	"github.com/sirupsen/logrus"
)

// commitTimeout bounds what is done for one manifest after its body was read. It does not
// end with the client's connection: what was begun is finished.
const commitTimeout = 30 * time.Second

// Config says how the embedded registry runs. Dir, Rows and Authorize must be set.
type Config struct {
	Dir       string                                // blobs and manifests go below it; made when missing
	Rows      Rows                                  // tags and referrers
	Authorize func(r *http.Request) (Access, error) // see Access; TokenOf reads the token
	Log       *slog.Logger                          // nil means slog.Default
	MaxBlob   int64                                 // bytes of one upload request; 0 means 4 GiB
	Secret    string                                // signs the state of uploads; replicas share one; empty: random
	Now       func() time.Time                      // nil means time.Now
}

// Embedded is this server's own registry: an http.Handler for everything below /v2/. It is
// safe for concurrent use; one process at a time may serve a directory, because it is the
// process that keeps writers of one tag apart.
type Embedded struct {
	config Config
	app    *handlers.App
	files  *os.Root // config.Dir, to read what the library keeps there
	locks  locks
}

// Open starts the embedded registry over config.Dir. The caller closes it after the HTTP
// server that uses it has ended.
func Open(config Config) (*Embedded, error) {
	if config.Dir == "" || config.Rows == nil || config.Authorize == nil {
		return nil, errors.New("open registry: directory, rows and authorization are needed")
	}
	config.Log = cmp.Or(config.Log, slog.Default())
	config.MaxBlob = cmp.Or(config.MaxBlob, 4<<30)
	if config.Now == nil {
		config.Now = time.Now
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	app, err := newApp(config)
	if err != nil {
		return nil, err
	}
	files, err := os.OpenRoot(config.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open registry: %w", err), app.Shutdown())
	}
	return &Embedded{config: config, app: app, files: files}, nil
}

// newApp makes distribution's handler. It panics on a configuration that it does not
// like; that becomes an error here.
func newApp(config Config) (app *handlers.App, err error) {
	defer func() {
		if p := recover(); p != nil {
			app, err = nil, fmt.Errorf("open registry: %v", p)
		}
	}()
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": config.Dir},
			"redirect":   {"disable": true},
			"cache":      {"blobdescriptor": "inmemory"},
		},
		Catalog: configuration.Catalog{MaxEntries: pageSize},
		Tags:    configuration.Tags{MaxTags: pageSize},
	}
	c.HTTP.Secret = config.Secret
	// Locations relative to the request work behind any proxy and trust no Host header.
	c.HTTP.RelativeURLs = true
	// The application lives until Close, longer than any request or caller.
	return handlers.NewApp(context.Background(), c), nil
}

// Close stops the registry's background work. Nothing waits to be written. One idle
// goroutine of the library, which it gives no way to end, stays until the process ends.
func (e *Embedded) Close() error {
	if err := errors.Join(e.app.Shutdown(), e.files.Close()); err != nil {
		return fmt.Errorf("close registry: %w", err)
	}
	return nil
}

// SilenceLogs sends what the distribution library logs to w, io.Discard for nowhere. The
// library logs on one process-wide logger: call it once, before the first Open.
func SilenceLogs(w io.Writer) { logrus.SetOutput(w) }

// ServeHTTP implements http.Handler. The caller routes /v2/ to it with the path unchanged.
func (e *Embedded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	access, err := e.config.Authorize(r)
	if err != nil {
		e.refuse(w, err)
		return
	}
	at, ok := parsePath(r.URL.Path)
	if !ok {
		writeError(w, http.StatusNotFound, "NAME_INVALID", "there is no such path in a registry")
		return
	}
	if !access.allows(at, r.Method) {
		what := "pull from"
		if pushes(r.Method) {
			what = "push to"
		}
		writeError(w, http.StatusForbidden, "DENIED", fmt.Sprintf("%s may not %s %s", cmp.Or(access.Name, "this identity"), what, cmp.Or(at.repository, "this registry")))
		return
	}
	if err := e.serve(w, r, access, at); err != nil {
		e.refuse(w, err)
	}
}

// serve answers an authorized request. An error means that nothing was written yet.
func (e *Embedded) serve(w http.ResponseWriter, r *http.Request, access Access, at place) error {
	switch {
	case r.Method == http.MethodDelete && at.kind != atUpload:
		return unsupported("nothing is deleted from this registry")
	case at.kind == atManifest && r.Method == http.MethodPut:
		return e.putManifest(w, r, access, at)
	case at.kind == atReferrers && r.Method == http.MethodGet:
		return e.getReferrers(w, r, at)
	case at.kind == atReferrers:
		return unsupported("referrers can only be listed")
	case at.kind == atUpload:
		return e.upload(w, r, access)
	case at.kind == atBlob && r.Method == http.MethodGet && e.getBlob(w, r, at):
		return nil
	}
	e.app.ServeHTTP(w, r)
	return nil
}

// upload passes on one request of a blob upload.
func (e *Embedded) upload(w http.ResponseWriter, r *http.Request, access Access) error {
	if r.ContentLength > e.config.MaxBlob {
		return &answer{http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("one upload request has at most %d bytes", e.config.MaxBlob)}
	}
	r.Body = http.MaxBytesReader(w, r.Body, e.config.MaxBlob)
	// Under a form's content type the library would read its parameters from the body.
	r.Header.Set("Content-Type", "application/octet-stream")
	if q := r.URL.Query(); q.Has("from") && !access.allows(place{kind: atBlob, repository: q.Get("from")}, http.MethodGet) {
		// The specification's answer to a mount that cannot be: go on as a plain upload.
		q.Del("from")
		q.Del("mount")
		r.URL.RawQuery = q.Encode()
	}
	e.app.ServeHTTP(w, r)
	return nil
}
