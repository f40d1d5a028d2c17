package authz

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/portico-fhir/portico/smart/token"
)

// A pending request is bound to the browser that began it by a cookie, of which
// the request keeps the digest. Without it, an attacker could begin a request
// and let somebody else finish it (login CSRF, consent phishing). One cookie
// serves all requests of a browser, so that two tabs do not disturb each other
// and nobody can fill the cookie jar by starting requests.

// cookieName has the __Host- prefix where browsers accept it, so that no
// sibling domain can plant a cookie.
func (s *Server) cookieName() string {
	const name = "portico_request"
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// browserSecret gives the secret of the browser; two cookies of the name mean
// that somebody put one there, so neither counts.
func (s *Server) browserSecret(r *http.Request) (string, bool) {
	cookies := r.CookiesNamed(s.cookieName())
	if len(cookies) != 1 {
		return "", false
	}
	secret := cookies[0].Value
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	return secret, err == nil && len(raw) == sha256.Size
}

// bindBrowser gives the browser a secret, or the one it has for a while longer.
// A post from another site comes without SameSite=Lax cookies and gets a new
// one; what the browser had begun before it begins again.
func (s *Server) bindBrowser(w http.ResponseWriter, r *http.Request) string {
	secret, ok := s.browserSecret(r)
	if !ok {
		secret, _ = token.NewSecret(s.o.Rand)
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure follows the scheme of the issuer: the demo is plain HTTP on loopback
		Name: s.cookieName(), Value: secret, Path: "/", MaxAge: int(pendingTTL.Seconds()),
		Secure: s.secure, HttpOnly: true,
		// Lax and not Strict: the way back from the identity provider is a
		// navigation from another site.
		SameSite: http.SameSiteLaxMode,
	})
	return secret
}

func browserDigest(secret string) []byte {
	d := token.DigestOf(secret)
	return d[:]
}

// sameBrowser tells whether r comes from the browser that began p.
func (s *Server) sameBrowser(r *http.Request, p Pending) (secret string, ok bool) {
	secret, ok = s.browserSecret(r)
	if !ok || subtle.ConstantTimeCompare(browserDigest(secret), p.Browser) != 1 {
		return "", false
	}
	return secret, true
}

// keyed gives a keyed digest of parts, of which none can run into the next.
func keyed(key string, parts ...string) string {
	mac := hmac.New(sha256.New, []byte(key))
	for _, part := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
