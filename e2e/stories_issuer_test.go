package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// cmdIssuer starts an issuer of identity tokens, another CI's; ISSUER is its address. At
// /actions it gives a job its token as GitHub does.
func cmdIssuer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "issuer")
	w := worldOf(ts)
	w.issuer = identitytest.NewIssuer(w.t)
	ts.Setenv("ISSUER", w.issuer.URL)
	w.issuer.Answer("/actions", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret-of-the-job" {
			http.Error(rw, "who are you?", http.StatusForbidden)
			return
		}
		now := time.Now().Unix()
		token := w.issuer.Sign(w.t, map[string]any{
			"sub": "repo:acme/shop:ref:refs/heads/main", "aud": r.URL.Query().Get("audience"), "iat": now, "exp": now + 300,
		})
		_ = json.NewEncoder(rw).Encode(map[string]string{"value": token})
	})
}

// cmdIDToken writes the identity token of a job into a file: it holds for five minutes.
func cmdIDToken(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "id-token FILE SUBJECT AUDIENCE [CLAIM=VALUE]...")
	w := worldOf(ts)
	now := time.Now()
	claims := map[string]any{"sub": args[1], "aud": args[2], "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for _, pair := range args[3:] {
		k, v, _ := strings.Cut(pair, "=")
		claims[k] = v
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			claims[k] = now.Unix() + n // a time: seconds from now
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(w.issuer.Sign(w.t, claims)), 0o600))
}

// cmdExchange shows an identity token as a program without drawbridge does.
func cmdExchange(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "exchange NAME FILE APPLICATION")
	c, err := client.New(client.Config{Server: ts.Getenv("DRAWBRIDGE_SERVER")})
	ts.Check(err)
	var got api.ExchangedToken
	request := api.ExchangeRequest{Token: ts.ReadFile(args[1]), Application: args[2]}
	ts.Check(c.Send(context.Background(), http.MethodPost, "/api/v1/token/exchange", request, &got))
	worldOf(ts).tokens[args[0]] = got.Token
}
