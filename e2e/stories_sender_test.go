package e2e_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdReceiver has the admin make a receiver and keeps its secret; SECRET_NAME holds it. The
// address goes to HOOK_NAME; a secret that is the end of the address is in it.
func cmdReceiver(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "receiver NAME TYPE APPLICATION [FLAG...]")
	w := worldOf(ts)
	flags := append([]string{"receiver", "add", args[0], "--type", args[1], "--application", args[2]}, args[3:]...)
	cmdAs(ts, false, append([]string{"admin"}, flags...))
	said := strings.TrimSpace(ts.ReadFile("stdout"))
	address := ts.Getenv("DRAWBRIDGE_SERVER") + "/hooks/" + args[0]
	w.secrets[args[0]] = said
	if secret, inPath := strings.CutPrefix(said, address+"/"); inPath {
		w.secrets[args[0]], address = secret, said
	}
	ts.Setenv("SECRET_"+args[0], w.secrets[args[0]])
	ts.Setenv("HOOK_"+args[0], address)
}

// cmdNewSecret keeps the secret that a receiver has from now on.
func cmdNewSecret(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "new-secret NAME FILE")
	secret := strings.TrimSpace(ts.ReadFile(args[1]))
	worldOf(ts).secrets[args[0]] = secret
	ts.Setenv("SECRET_"+args[0], secret)
}

// cmdFixture writes the body of a recorded delivery, and its headers beside it, with some of
// its texts replaced.
func cmdFixture(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "fixture SENDER/NAME FILE [OLD NEW]...")
	text, err := os.ReadFile(filepath.Join("..", "internal", "webhook", "testdata", filepath.FromSlash(args[0])+".json"))
	ts.Check(err)
	if len(args)%2 != 0 {
		ts.Fatalf("fixture: what replaces %s?", args[len(args)-1])
	}
	var fixture struct {
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	}
	ts.Check(json.Unmarshal(text, &fixture))
	body := string(fixture.Body)
	for pairs := args[2:]; len(pairs) > 1; pairs = pairs[2:] {
		if !strings.Contains(body, pairs[0]) {
			ts.Fatalf("fixture %s does not say %q", args[0], pairs[0])
		}
		body = strings.ReplaceAll(body, pairs[0], pairs[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(body), 0o600))
	headers, err := json.Marshal(fixture.Headers)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".headers"), headers, 0o600))
}

// cmdExpand writes $NAME in files out.
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "expand FILE...")
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// proofs is how a sender proves a delivery, by the scheme's name.
var proofs = map[string]func(h http.Header, secret string, body []byte){
	"none":   func(http.Header, string, []byte) {},
	"bearer": func(h http.Header, secret string, _ []byte) { h.Set("Authorization", "Bearer "+secret) },
	"plain":  func(h http.Header, secret string, _ []byte) { h.Set("Authorization", secret) },
	"github": func(h http.Header, secret string, body []byte) {
		h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum([]byte(secret), body)))
	},
	"nexus": func(h http.Header, secret string, body []byte) {
		m := hmac.New(sha1.New, []byte(secret))
		m.Write(body)
		h.Set("X-Nexus-Webhook-Signature", hex.EncodeToString(m.Sum(nil)))
	},
	"generic": func(h http.Header, secret string, body []byte) {
		h.Set("X-Signature-256", "sha256="+hex.EncodeToString(sum([]byte(secret), body)))
	},
	"standard": signStandard,
}

func sum(key []byte, text []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	return m.Sum(nil)
}

// signStandard signs as https://www.standardwebhooks.com/ prescribes, now unless the
// delivery names its time.
func signStandard(h http.Header, secret string, body []byte) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		key = []byte(secret)
	}
	if h.Get("Webhook-Id") == "" {
		h.Set("Webhook-Id", "msg_"+hex.EncodeToString(sum(nil, body))[:16])
	}
	if h.Get("Webhook-Timestamp") == "" {
		h.Set("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	}
	signed := h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "." + string(body)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum(key, []byte(signed))))
}

// cmdHook posts a delivery as a sender does. SECRETOF names the receiver whose secret signs.
func cmdHook(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 4, "hook ADDRESS|RECEIVER SCHEME:SECRETOF STATUS FILE [HEADER=VALUE]...")
	w := worldOf(ts)
	address := args[0]
	if !strings.Contains(address, "://") {
		address = ts.Getenv("DRAWBRIDGE_SERVER") + "/hooks/" + address
	}
	scheme, of, _ := strings.Cut(args[1], ":")
	prove := proofs[scheme]
	if prove == nil {
		ts.Fatalf("hook: there is no scheme %q", scheme)
	}
	secret, known := w.secrets[of]
	if !known {
		secret = of
	}
	body := []byte(ts.ReadFile(args[3]))
	header := headersOf(ts, args[3], args[4:])
	prove(header, secret, body)
	status, answer, err := post(address, header, body)
	ts.Check(err)
	_, err = ts.Stdout().Write(answer)
	ts.Check(err)
	if strconv.Itoa(status) != args[2] {
		ts.Fatalf("hook %s: status %d, want %s: %.500s\n%s", args[0], status, args[2], answer, w.tail())
	}
}

// headersOf are those that a fixture has, and those that the story names.
func headersOf(ts *testscript.TestScript, file string, more []string) http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	if text, err := os.ReadFile(ts.MkAbs(file + ".headers")); err == nil {
		var kept map[string]string
		ts.Check(json.Unmarshal(text, &kept))
		for k, v := range kept {
			header.Set(k, v)
		}
	}
	for _, pair := range more {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			ts.Fatalf("hook: %q is no HEADER=VALUE", pair)
		}
		header.Set(k, v)
	}
	return header
}

func post(address string, header http.Header, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}
