package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

// prover returns an identity token for the server; each call may give a new one.
type prover func(ctx context.Context) (string, error)

// Limits of what is read from a CI.
const (
	maxIDAnswer  = 64 << 10
	idTokenLimit = 30 * time.Second
)

// prover finds how the command proves who asks; nil means with the token that the
// connection has. What was named goes before what is found, and a data directory's admin
// token, which is found too, comes last.
func (o *submit) prover(explicit bool) (prover, error) {
	env := o.console.Getenv
	switch {
	case explicit:
		return nil, nil
	case o.idTokenFile != "":
		return o.fileIdentity, nil
	case env("ACTIONS_ID_TOKEN_REQUEST_URL") != "":
		return o.actionsIdentity, nil
	case env("DRAWBRIDGE_ID_TOKEN") != "":
		return func(context.Context) (string, error) { return env("DRAWBRIDGE_ID_TOKEN"), nil }, nil
	case o.token != "":
		return nil, nil
	}
	none := fault.New(fault.Unauthenticated, "nothing here proves who submits the image")
	switch {
	case env("GITHUB_ACTIONS") == "true":
		return nil, none.WithHint("give the job permissions: {id-token: write}, or a stored token in DRAWBRIDGE_TOKEN")
	case env("GITLAB_CI") == "true":
		return nil, none.WithHint("give the job id_tokens: {DRAWBRIDGE_ID_TOKEN: {aud: %s}}, or a stored token in DRAWBRIDGE_TOKEN", o.audience())
	}
	return nil, none.WithHint("give --token or DRAWBRIDGE_TOKEN (drawbridge token create NAME --role events), or --id-token-file")
}

// audience is whom identity tokens are for: as the server knows itself, unless it was said.
func (o *submit) audience() string {
	switch {
	case o.expect != "":
		return o.expect
	case strings.Contains(o.server, "://"):
		return o.server
	}
	return "http://" + o.server
}

func (o *submit) fileIdentity(context.Context) (string, error) {
	bad := func(err error) error {
		return fault.Wrap(fault.Invalid, err, "the identity token cannot be read: %v", err).WithField("--id-token-file")
	}
	f, err := os.Open(o.idTokenFile)
	if err != nil {
		return "", bad(err)
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, identity.MaxIDToken+1))
	if err != nil {
		return "", bad(err)
	}
	if len(b) > identity.MaxIDToken {
		return "", fault.New(fault.TooLarge, "an identity token has at most %d bytes", identity.MaxIDToken).WithField("--id-token-file")
	}
	return string(b), nil
}

// actionsIdentity asks GitHub for the identity token of this job. Source of the form:
// GitHub's documentation of OpenID Connect, "Methods for requesting the OIDC token".
func (o *submit) actionsIdentity(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, idTokenLimit)
	defer cancel()
	env := o.console.Getenv
	u, err := url.Parse(env("ACTIONS_ID_TOKEN_REQUEST_URL"))
	if err != nil || u.Host == "" {
		return "", fault.New(fault.Invalid, "is no URL").WithField("ACTIONS_ID_TOKEN_REQUEST_URL")
	}
	q := u.Query()
	q.Set("audience", o.audience())
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+env("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	req.Header.Set("Accept", "application/json")
	hc := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the secret goes to that host alone
	resp, err := hc.Do(req)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "%s does not give an identity token", u.Host)
	}
	defer resp.Body.Close() //nolint:errcheck // only what is read below matters
	var got struct {
		Value string `json:"value"`
	}
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", fault.New(fault.Unavailable, "%s answers %s instead of an identity token", u.Host, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return "", fault.New(fault.Unauthenticated, "%s answers %s instead of an identity token", u.Host, resp.Status).
			WithHint("give the job permissions: {id-token: write}")
	case json.NewDecoder(io.LimitReader(resp.Body, maxIDAnswer)).Decode(&got) != nil || got.Value == "":
		return "", fault.New(fault.Unavailable, "%s answers without an identity token", u.Host)
	}
	return got.Value, nil
}
