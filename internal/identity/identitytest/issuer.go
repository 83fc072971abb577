package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is an issuer of identity tokens on a loopback address, with a discovery document and
// a key set. It is safe for concurrent use.
type Issuer struct {
	URL string

	mu      sync.Mutex
	key     crypto.Signer
	id      int                         // of key, in the order of keys
	fetches map[string]int              // by path
	other   map[string]http.HandlerFunc // answers instead of ours, by path
}

// Paths of an issuer's documents.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/keys"
)

// NewIssuer starts an issuer that ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{fetches: map[string]int{}, other: map[string]http.HandlerFunc{}}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.URL = s.URL
	i.Rotate(t)
	return i
}

// Rotate withdraws the key and makes another.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.id = key, i.id+1
}

// Answer has h answer at path from now on.
func (i *Issuer) Answer(path string, h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.other[path] = h
}

// Fetches is how often path was asked for.
func (i *Issuer) Fetches(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches[path]
}

// Key is the private key that signs now, and its id.
func (i *Issuer) Key() (crypto.Signer, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key, "key-" + strconv.Itoa(i.id)
}

// Sign is an identity token with these claims; iss is the issuer's own unless they have one.
func (i *Issuer) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	key, id := i.Key()
	all := map[string]any{"iss": i.URL}
	maps.Copy(all, claims)
	return Signed(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, all)
}

// Signed is a token with these claims, signed with key.
func Signed(t testing.TB, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ServeHTTP answers with the documents.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, id := i.Key()
	i.mu.Lock()
	i.fetches[r.URL.Path]++
	other := i.other[r.URL.Path]
	i.mu.Unlock()
	switch {
	case other != nil:
		other(w, r)
	case r.URL.Path == DiscoveryPath:
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + KeysPath})
	case r.URL.Path == KeysPath:
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: id, Use: "sig", Algorithm: string(jose.ES256)}}})
	default:
		http.NotFound(w, r)
	}
}
