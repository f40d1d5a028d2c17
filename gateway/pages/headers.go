package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var (
	schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	hostPattern   = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]{1,5})?$`)
)

// secure sets the headers of every page. formTarget is what a form's answer may
// lead to beside this origin, already checked by formTarget below.
func secure(h http.Header, formTarget string) {
	form := "'self'"
	if formTarget != "" {
		form += " " + formTarget
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action "+form+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// formTarget turns the origin of a redirect_uri into a CSP source expression.
// Chromium checks form-action against redirects too, so without it the answer
// of the consent form could not reach the app. Whatever cannot be written as
// exactly one source is an error: a stray ";" or space would rewrite the policy.
func formTarget(returnTo string) (string, error) {
	if returnTo == "" {
		return "", nil
	}
	u, err := url.Parse(returnTo)
	if err != nil {
		return "", fmt.Errorf("pages: origin of the app: %w", err)
	}
	scheme := strings.ToLower(u.Scheme)
	if !schemePattern.MatchString(scheme) {
		return "", fmt.Errorf("pages: origin of the app has no usable scheme")
	}
	switch scheme {
	case "javascript", "data", "blob", "vbscript", "file", "about":
		return "", fmt.Errorf("pages: origin of the app has a forbidden scheme")
	case "http", "https":
	default: // a native app (RFC 8252 section 7.1): CSP knows its scheme only
		return scheme + ":", nil
	}
	if strings.HasPrefix(u.Host, "[") { // CSP has no syntax for IPv6 hosts
		return scheme + ":", nil
	}
	host := strings.ToLower(u.Host)
	if !hostPattern.MatchString(host) || u.User != nil {
		return "", fmt.Errorf("pages: origin of the app has no usable host")
	}
	return scheme + "://" + host, nil
}
