package web

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// sessionLife is how long a login lasts; its token may end sooner.
const sessionLife = 12 * time.Hour

const sessionContext = "drawbridge session v1"

// sessions seals tokens into cookies. The cookie holds the token itself, encrypted: the
// server keeps no state, and a token that is revoked ends its sessions at once.
type sessions struct {
	aead   cipher.AEAD
	secure bool
}

// sealed is what a cookie holds.
type sealed struct {
	Secret  string `json:"secret"`
	Expires int64  `json:"expires"` // milliseconds UTC
}

func newSessions(key []byte, secure bool) (*sessions, error) {
	if key == nil {
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sessions{aead: aead, secure: secure}, err
}

func (s *sessions) name() string {
	if s.secure {
		return "__Host-drawbridge"
	}
	return "drawbridge"
}

// cookie is the session cookie; a life of zero ends the session.
func (s *sessions) cookie(value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // G124: Secure follows the scheme of the server's own address
		Name: s.name(), Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteStrictMode,
	}
	if life == 0 {
		c.MaxAge = -1
	}
	return c
}

func (s *sessions) seal(secret string, expires time.Time) (string, error) {
	plain, err := json.Marshal(sealed{secret, expires.UnixMilli()}) //nolint:gosec // G117: it is encrypted before it leaves
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(sessionContext))), nil //nolint:gosec // G407: that is the additional data; the nonce is random
}

// open is the secret in r's cookie; empty when there is none that holds.
func (s *sessions) open(r *http.Request, now time.Time) string {
	c, err := r.Cookie(s.name())
	if err != nil {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	plain, err := s.aead.Open(nil, nil, raw, []byte(sessionContext))
	if err != nil {
		return ""
	}
	var v sealed
	if json.Unmarshal(plain, &v) != nil || now.UnixMilli() >= v.Expires {
		return ""
	}
	return v.Secret
}

// authenticate finds who sent r: by its Authorization header if it has one, else by its cookie.
func (s *Server) authenticate(r *http.Request) (identity.Token, error) {
	secret := identity.Secret(r)
	if r.Header.Get("Authorization") == "" {
		secret = s.session.open(r, time.Now())
	}
	return s.cfg.Verify(r.Context(), secret)
}

//go:embed page static
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page/*.html"))

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) error {
	return render(w, http.StatusOK, "login.html", map[string]string{"Next": localPath(r.URL.Query().Get("next"))})
}

// login takes the form of the login page: token and next.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		if f := tooLarge(err); f != nil {
			return f
		}
		return fault.New(fault.Invalid, "malformed form")
	}
	secret, next := strings.TrimSpace(r.PostForm.Get("token")), localPath(r.PostForm.Get("next"))
	token, err := s.verifyLogin(r.Context(), secret)
	if f := fault.As(err); f != nil && wantsPage(r) && (f.Kind == fault.Unauthenticated || f.Kind == fault.Forbidden) {
		return render(w, f.Kind.Status(), "login.html", map[string]string{"Next": next, "Problem": f.Message})
	}
	if err != nil {
		return err
	}
	now := time.Now()
	life := sessionLife
	if !token.Expires.IsZero() {
		life = min(life, token.Expires.Sub(now))
	}
	value, err := s.session.seal(secret, now.Add(life))
	if err != nil {
		return err
	}
	http.SetCookie(w, s.session.cookie(value, life))
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // G710: localPath leads to this server alone
	return nil
}

func (s *Server) verifyLogin(ctx context.Context, secret string) (identity.Token, error) {
	token, err := s.cfg.Verify(ctx, secret)
	if err != nil {
		return token, err
	}
	return token, token.Require(identity.Read)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, s.session.cookie("", 0))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// localPath is p when it is a path of this server, else "/": a login never leads elsewhere.
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return "/"
	}
	return p
}

// render writes a page.
func render(w http.ResponseWriter, status int, page string, data any) error {
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, page, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String())) // a client that went away is nobody's fault
	return nil
}

func renderProblem(w http.ResponseWriter, p api.Problem) {
	if err := render(w, p.Status, "problem.html", p); err != nil {
		writeProblem(w, p)
	}
}
