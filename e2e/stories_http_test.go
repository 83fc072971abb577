package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver of the databases under test

	"drawbridge/internal/artifact"
	"drawbridge/internal/registry"
	"drawbridge/internal/web/api"
)

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 4, "http NAME METHOD PATH|HOST:PORT/PATH STATUS [BODYFILE [MEDIA]]")
	w := worldOf(ts)
	address, secret := "http://"+args[2], ""
	if strings.HasPrefix(args[2], "/") {
		address, secret = ts.Getenv("DRAWBRIDGE_SERVER")+args[2], w.tokens[args[0]]
	}
	media, body := "application/json", []byte(nil)
	if len(args) > 4 {
		body = []byte(ts.ReadFile(args[4]))
	}
	if len(args) > 5 {
		media = args[5]
	}
	status, answer, err := ask(args[1], address, secret, media, body)
	ts.Check(err)
	_, err = ts.Stdout().Write(answer)
	ts.Check(err)
	if strconv.Itoa(status) != args[3] {
		ts.Fatalf("%s %s: status %d, want %s: %.500s\n%s", args[1], args[2], status, args[3], answer, w.tail())
	}
}

// ask makes one request.
func ask(method, address, secret, media string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}

// cmdTraffic sends visitors to an address: requests one after the other, each of which
// may end in any way.
func cmdTraffic(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "traffic ADDRESS")
	w := worldOf(ts)
	ctx, cancel := context.WithCancel(context.Background())
	var visitors sync.WaitGroup
	for range 2 {
		visitors.Go(func() { visit(ctx, "http://"+args[0]+"/") })
	}
	w.visitors = append(w.visitors, func() { cancel(); visitors.Wait() })
}

func visit(ctx context.Context, address string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, _, _ = ask(http.MethodGet, address, "", "", nil)
	}
}

func cmdImage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: [!] image NAME IMAGE TAG TEXT")
	}
	err := worldOf(ts).image(ts, args[0], args[1], args[2], args[3])
	if neg != (err != nil) {
		ts.Fatalf("push %s:%s as %s: %v", args[1], args[2], args[0], err)
	}
	if err != nil {
		_, err = fmt.Fprintln(ts.Stderr(), err)
		ts.Check(err)
	}
}

// image pushes an image with one file by hand: nobody signs it.
func (w *world) image(ts *testscript.TestScript, name, image, tag, text string) error {
	ctx := context.Background()
	images, err := registry.NewClient(registry.ClientConfig{
		Local: ts.Getenv("DRAWBRIDGE_SERVER"), Temp: w.dir, Auth: func(string) (string, string) { return name, w.tokens[name] },
	})
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	if err := files.WriteHeader(&tar.Header{Name: "web", Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.WriteString(files, text); err != nil {
		return err
	}
	if err := files.Close(); err != nil {
		return err
	}
	ref := artifact.Reference{Repository: image}
	digest, err := images.Push(ctx, ref, &layer, registry.ImageConfig{Entrypoint: []string{"./web"}}, registry.Limits{})
	if err != nil {
		return err
	}
	return images.Tag(ctx, ref.WithDigest(digest), tag)
}

func cmdSQLite(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "sqlite FILE STATEMENT")
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close() //nolint:errcheck // the answer was read
	rows, err := db.QueryContext(context.Background(), args[1])
	ts.Check(err)
	defer rows.Close() //nolint:errcheck // read to its end
	for rows.Next() {
		var value string
		ts.Check(rows.Scan(&value))
		_, err := fmt.Fprintln(ts.Stdout(), value)
		ts.Check(err)
		ts.Setenv("VALUE", value)
	}
	ts.Check(rows.Err())
}

// cmdFill posts events until the server says that it is full. Each that was answered with
// 202 has to be there for ever.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "fill")
	w := worldOf(ts)
	for n := range 100_000 {
		event := fmt.Sprintf(`{"specversion": "1.0", "id": "fill-%d", "source": "/stories/%s", "type": "dev.cdevents.artifact.published.0.3.0",
			"datacontenttype": "application/json",
			"data": {"context": {"version": "0.5.0", "id": "fill-%[1]d", "source": "/stories", "type": "dev.cdevents.artifact.published.0.3.0", "timestamp": "2026-01-02T03:04:05Z"},
			"subject": {"id": "pkg:oci/other@sha256%%3A%064[1]d?repository_url=registry.invalid/other&tag=1.0.%[1]d", "type": "artifact", "content": {}}}}`,
			n, strings.Repeat("x", 240))
		status, answer, err := ask(http.MethodPost, ts.Getenv("DRAWBRIDGE_SERVER")+"/api/v1/events", w.tokens["admin"], api.CloudEventType, []byte(event))
		ts.Check(err)
		if status != http.StatusAccepted {
			_, err := ts.Stdout().Write(append([]byte(fmt.Sprintf("%d ", status)), answer...))
			ts.Check(err)
			ts.Setenv("ACCEPTED", strconv.Itoa(len(w.accepted)))
			return
		}
		var kept api.Received
		ts.Check(json.Unmarshal(answer, &kept))
		w.accepted = append(w.accepted, kept.ID)
	}
	ts.Fatalf("the server is never full")
}

// cmdKept reads every event again, and waits until the bridge has worked on each.
func cmdKept(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "kept")
	w := worldOf(ts)
	if len(w.accepted) == 0 {
		ts.Fatalf("no event was accepted")
	}
	for _, id := range slices.Sorted(slices.Values(w.accepted)) {
		w.until(ts, fmt.Sprintf("the end of event %d", id), func() (bool, string, error) {
			var e api.Event
			err := w.api(ts).Get(context.Background(), fmt.Sprintf("/api/v1/events/%d", id), &e)
			return e.State == "processed", string(e.State), err
		})
	}
}
