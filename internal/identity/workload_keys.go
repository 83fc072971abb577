package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"drawbridge/internal/fault"
)

// Limits of what is fetched from an issuer.
const (
	fetchTimeout  = 10 * time.Second // both documents together
	maxDocument   = 1 << 20          // bytes of one document
	maxKeys       = 100              // of one issuer
	minRSABits    = 2048
	keysHold      = 10 * time.Minute // then they are fetched again, so that a key that was withdrawn ends
	fetchDistance = 10 * time.Second // between two fetches from one issuer, whatever is asked
)

// Issuers fetches and keeps the public keys of issuers, found by OpenID Connect discovery.
// It is for issuers that a person named: never hand it one out of a token. Redirects are
// not followed. Make it with NewIssuers; it is safe for concurrent use.
type Issuers struct {
	client http.Client
	now    func() time.Time

	mu    sync.Mutex
	known map[string]*issuerKeys
}

// issuerKeys are the keys of one issuer. Who holds turn may read and change the rest.
type issuerKeys struct {
	turn    chan struct{}
	keys    []jose.JSONWebKey
	fetched time.Time // zero: never
	failed  time.Time // the last fetch, when it failed
	err     error     // its error
}

// NewIssuers returns Issuers that ask through client, nil means http.DefaultClient; now is the clock.
func NewIssuers(client *http.Client, now func() time.Time) *Issuers {
	s := &Issuers{now: now, known: map[string]*issuerKeys{}}
	if client != nil {
		s.client = *client
	}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// keys returns the signing keys of issuer. With again they are fetched anew, unless that
// was done a moment ago: who sends forged tokens does not make us ask the issuer each time.
func (s *Issuers) keys(ctx context.Context, issuer string, again bool) ([]jose.JSONWebKey, error) {
	k := s.of(issuer)
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	now, hold := s.now(), keysHold
	if again {
		hold = fetchDistance
	}
	switch {
	case !k.fetched.IsZero() && now.Sub(k.fetched) < hold:
		return k.keys, nil
	case k.err != nil && now.Sub(k.failed) < fetchDistance:
		return nil, k.err
	}
	keys, err := s.fetch(ctx, issuer)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx) // the caller went away: that says nothing about the issuer
	}
	if k.err = err; err != nil {
		k.failed = now
		return nil, err
	}
	k.keys, k.fetched = keys, now
	return keys, nil
}

func (s *Issuers) of(issuer string) *issuerKeys {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[issuer]
	if k == nil {
		k = &issuerKeys{turn: make(chan struct{}, 1)}
		s.known[issuer] = k
	}
	return k
}

// fetch reads the discovery document and the key set that it names.
// Format: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 7517.
func (s *Issuers) fetch(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var found struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.document(ctx, issuer, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &found); err != nil {
		return nil, err
	}
	if found.Issuer != issuer {
		return nil, unusable(issuer, "its discovery document is of another issuer")
	}
	u, err := url.Parse(found.Keys)
	if err != nil || u.Hostname() == "" || !secure(u) || u.Scheme == "http" && !strings.HasPrefix(issuer, "http://") {
		return nil, unusable(issuer, "its discovery document names no key set at an https address")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.document(ctx, issuer, found.Keys, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, unusable(issuer, fmt.Sprintf("it has more than %d keys", maxKeys))
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && signing(key) { // a kind of key that we do not know is somebody else's
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, unusable(issuer, "it has no public key to check signatures with")
	}
	return keys, nil
}

// document reads one JSON document of the issuer.
func (s *Issuers) document(ctx context.Context, issuer, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return unusable(issuer, "its address is malformed")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return unreachable(issuer, err, err.Error())
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return unreachable(issuer, nil, "it answers "+resp.Status)
	case resp.StatusCode != http.StatusOK:
		return unusable(issuer, "it answers "+resp.Status+" at "+req.URL.Path)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return unreachable(issuer, err, err.Error())
	case len(body) > maxDocument:
		return unusable(issuer, fmt.Sprintf("its document at %.80s has more than %d bytes", req.URL.Path, maxDocument))
	case json.Unmarshal(body, into) != nil:
		return unusable(issuer, fmt.Sprintf("its document at %.80s is malformed", req.URL.Path))
	}
	return nil
}

func unreachable(issuer string, cause error, why string) error {
	return fault.Wrap(fault.Unavailable, cause, "the keys of the issuer %s are out of reach: %s", issuer, why).WithHint("try again later")
}

func unusable(issuer, why string) error {
	return fault.New(fault.Refused, "the issuer %s cannot be used: %s", issuer, why).
		WithHint("the server reads ISSUER/.well-known/openid-configuration and the key set that it names, without redirects")
}
