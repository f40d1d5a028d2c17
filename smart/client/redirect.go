package client

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// loopback is an http redirect URI to this machine, without its port.
type loopback struct {
	host string
	rest string // path and query
}

// parseLoopback cuts a loopback URI by hand, so that there is no second reading
// of it: "http://", one of three hosts, a port or none, then a path, a query or
// nothing. User info, other hosts, fragments and other spellings do not fit.
func parseLoopback(uri string) (loopback, bool) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok || strings.ContainsAny(uri, `#\`) || !printable(uri) {
		return loopback{}, false
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			n := 0
			for n < len(port) && port[n] >= '0' && port[n] <= '9' {
				n++
			}
			if !validPort(port[:n]) {
				return loopback{}, false
			}
			rest = port[n:]
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return loopback{host: host, rest: rest}, true
		}
	}
	return loopback{}, false
}

// validPort takes 1 to 65535 without leading zeros.
func validPort(s string) bool {
	const maxDigits, maxPort = 5, 65535
	if s == "" || len(s) > maxDigits || s[0] == '0' {
		return false
	}
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n <= maxPort
}

// printable tells whether s has ASCII without spaces and controls only.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// responseParams are what the authorization response adds to a redirect URI
// (RFC 6749 §4.1.2, RFC 9207); one that has them already could not be told apart.
func responseParams() []string {
	return []string{"code", "state", "iss", "error", "error_description", "error_uri", "response"}
}

// maxRedirect bounds what every authorization request has to carry.
const maxRedirect = 2000

// hostForm is what a Content-Security-Policy can name too, as the consent page
// has to: letters, digits, dots, hyphens and a port, or an IPv6 address.
var hostForm = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?$`)

// checkRedirect says why uri cannot be registered (RFC 6749 §3.1.2, RFC 8252
// §7, RFC 9700 §2.1); nil when it can.
func checkRedirect(uri string) error {
	if len(uri) > maxRedirect {
		return fmt.Errorf("it must not be longer than %d characters", maxRedirect)
	}
	if uri == "" || !printable(uri) || strings.ContainsAny(uri, `\"<>^{|}`+"`") {
		return errors.New("it must be printable ASCII without spaces, backslashes and quotes")
	}
	if strings.Contains(uri, "#") {
		return errors.New("it must not have a fragment")
	}
	u, err := url.Parse(uri)
	if err != nil {
		return errors.New("it is not a URL")
	}
	if u.Scheme != "" && !strings.HasPrefix(uri, u.Scheme+":") {
		return errors.New("write its scheme in lower case")
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return errors.New("it must not have user information")
	}
	if strings.Contains(u.Host, "*") {
		return errors.New("it must name its host; there are no wildcards")
	}
	if segments := strings.Split(u.Path, "/"); slices.Contains(segments, "..") || slices.Contains(segments, ".") {
		return errors.New("write its path without . and .. segments")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("its query cannot be read")
	}
	for _, name := range responseParams() {
		if query.Has(name) {
			return fmt.Errorf("its query has %q, which the authorization response adds", name)
		}
	}
	return checkScheme(uri, u)
}

// checkScheme decides by scheme: https anywhere, http to this machine only, and
// private-use schemes of native apps, which are a reversed domain name and so
// have a dot (RFC 8252 §7.1). javascript:, data: and the like have none.
func checkScheme(uri string, u *url.URL) error {
	switch {
	case u.Scheme == "":
		return errors.New("it must be absolute")
	case u.Scheme == "https":
		if u.Hostname() == "" {
			return errors.New("it has no host")
		}
		if !hostForm.MatchString(u.Host) {
			return errors.New("its host must be a name or an address")
		}
		return nil
	case u.Scheme == "http":
		if _, ok := parseLoopback(uri); !ok {
			return errors.New("http is for http://localhost, http://127.0.0.1 and http://[::1] only: use https")
		}
		return nil
	case strings.Contains(u.Scheme, "."):
		if u.Host != "" {
			return errors.New("a private-use scheme has no host: write it as com.example.app:/path")
		}
		return nil
	default:
		return fmt.Errorf("the scheme %q is neither https, http to this machine, nor a private-use scheme like com.example.app", u.Scheme)
	}
}
