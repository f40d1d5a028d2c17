// Package idp is the demo's OpenID provider: an independent, certified
// implementation (zitadel/oidc) with a sign-in page, made-up people and keys
// that live as long as the process. It is what Portico is tried against, so it
// shares no code with Portico's own OpenID parts and knows nothing of records:
// whom a person may act for is a claim that it is given. It serves loopback
// addresses only.
package idp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// Person is somebody who can sign in.
type Person struct {
	Login, Password string
	Name, Email     string
	Story           string   // one sentence for the sign-in page
	FHIRUser        []string // "Patient/…", "RelatedPerson/…"; empty: no record
}

// Client is an application that may send people here to sign in. It is
// confidential: without a secret it is refused.
type Client struct {
	ID, Secret             string
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
}

// Options is what the provider needs.
type Options struct {
	Issuer  string // http or https on a loopback host, without path
	Name    string // of the health system, for the page; "" has a default
	People  []Person
	Clients []Client
	Now     func() time.Time // nil: time.Now
}

var loginForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (o Options) check() error {
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("idp: issuer %q must be scheme, host and port only", o.Issuer)
	case !loopback(u.Hostname()):
		return fmt.Errorf("idp: issuer %q is not a loopback address; everybody who reaches this provider can sign in as anyone", o.Issuer)
	case len(o.Clients) == 0:
		return errors.New("idp: no client")
	}
	for _, c := range o.Clients {
		if c.ID == "" || c.Secret == "" || len(c.RedirectURIs) == 0 {
			return fmt.Errorf("idp: client %q needs an id, a secret and a redirect URI", c.ID)
		}
		for _, uri := range slices.Concat(c.RedirectURIs, c.PostLogoutRedirectURIs) {
			if target, err := url.Parse(uri); err != nil || !loopback(target.Hostname()) || target.Fragment != "" {
				return fmt.Errorf("idp: client %q has a redirect URI that is not on a loopback address", c.ID)
			}
		}
	}
	logins := make(map[string]bool)
	for _, p := range o.People {
		if !loginForm.MatchString(p.Login) || logins[p.Login] || p.Password == "" || p.Name == "" {
			return fmt.Errorf("idp: person %q needs a login of its own (letters, digits, dot, dash, underscore), a password and a name", p.Login)
		}
		logins[p.Login] = true
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
