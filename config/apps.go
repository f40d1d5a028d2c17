package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outside says what may be fetched of the URLs that apps register.
type Outside struct {
	AllowAddresses    []netip.Prefix `yaml:"allow_addresses"` // beyond the public ones
	InsecurePlainHTTP bool           `yaml:"insecure_plain_http"`
}

// What becomes of apps that register themselves.
const (
	RegistrationClosed     = "closed"
	RegistrationReview     = "review"
	RegistrationApproveAll = "approve_all"
)

// Registration says whether apps may register themselves (RFC 7591).
type Registration struct {
	Mode             string      `yaml:"mode"`
	PerHour          int         `yaml:"per_hour"` // from one address
	Statements       []Statement `yaml:"software_statements"`
	RequireStatement bool        `yaml:"require_software_statement"`
}

// Statement is an issuer of software statements that is believed.
type Statement struct {
	Issuer  string `yaml:"issuer"`
	JWKSURI string `yaml:"jwks_uri"`
}

// Admin is the listener of the operator's API.
type Admin struct {
	Listen     string `yaml:"listen"`
	Credential Secret `yaml:"credential"`
}

// DefaultAdminListen is where the operator's API listens when nothing is said.
const DefaultAdminListen = "127.0.0.1:8090"

func (c *Config) fillInApps() {
	if c.Registration.Mode == "" {
		c.Registration.Mode = RegistrationClosed
	}
	if c.Registration.PerHour == 0 {
		c.Registration.PerHour = 20
	}
	if c.Admin != nil && c.Admin.Listen == "" {
		c.Admin.Listen = DefaultAdminListen
	}
}

// checkApps judges how apps come to be registered.
func (c *Config) checkApps(r *report) {
	oneOf(r, "registration.mode", c.Registration.Mode, RegistrationClosed, RegistrationReview, RegistrationApproveAll)
	if u, err := url.Parse(c.PublicURL); c.Registration.Mode == RegistrationApproveAll && err == nil && !Loopback(u.Hostname()) {
		r.add("registration.mode", "approve_all lets in whoever comes, so it works with a public_url on loopback only; use review")
	}
	if c.Registration.PerHour < 1 || c.Registration.PerHour > 10000 {
		r.add("registration.per_hour", "must be between 1 and 10000")
	}
	for i, s := range c.Registration.Statements {
		key := item("registration.software_statements", i)
		if s.Issuer == "" {
			r.add(key+".issuer", "is missing; give the iss of the software statements to believe")
		} else if slices.ContainsFunc(c.Registration.Statements[:i], func(b Statement) bool { return b.Issuer == s.Issuer }) {
			r.add(key+".issuer", "stands there twice; remove one")
		}
		if s.JWKSURI == "" {
			r.add(key+".jwks_uri", "is missing; give the URL of the issuer's public keys")
		} else {
			checkURL(r, key+".jwks_uri", s.JWKSURI, urlRule{insecure: c.Outside.InsecurePlainHTTP, path: true, slash: true})
		}
	}
	if c.Registration.RequireStatement && len(c.Registration.Statements) == 0 {
		r.add("registration.require_software_statement", "does nothing good without software_statements: nobody could register; name an issuer")
	}
	c.checkAdmin(r)
}

func (c *Config) checkAdmin(r *report) {
	if c.Admin == nil {
		if c.Registration.Mode == RegistrationReview {
			r.add("registration.mode", "is review, but nobody could approve; add an admin section")
		}
		return
	}
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	n, numErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || numErr != nil || n == 0:
		r.add("admin.listen", "must be an address and a port, such as 127.0.0.1:8090")
	case !Loopback(host):
		r.add("admin.listen", "must be on loopback, such as 127.0.0.1:8090: it speaks plain HTTP and decides who may see records")
	case c.Admin.Listen == c.Listen:
		r.add("admin.listen", "is the public listener; use another port")
	}
	switch {
	case c.Admin.Credential.IsZero():
		r.add("admin.credential", "is missing; make one with: openssl rand -base64 32")
	case len(c.Admin.Credential.Reveal()) < minSecret:
		r.add("admin.credential", "is too short to be safe; use %d characters or more: openssl rand -base64 32", minSecret)
	}
}

// checkClientExtras checks what an app may have besides what it needs.
func checkClientExtras(r *report, key string, cl Client) {
	for name, u := range map[string]string{".logo": cl.Logo, ".terms": cl.Terms, ".policy": cl.Policy} {
		if u != "" {
			checkURL(r, key+name, u, urlRule{path: true, slash: true})
		}
	}
	for i, u := range cl.LaunchURIs {
		if u != "" {
			checkURL(r, item(key+".launch_uris", i), u, urlRule{path: true, slash: true})
		}
	}
	for i, contact := range cl.Contacts {
		if contact != "" && !strings.Contains(contact, "@") {
			r.add(item(key+".contacts", i), "must be an e-mail address")
		}
	}
	if cl.AccessLifetime != 0 {
		between(r, key+".access_lifetime", cl.AccessLifetime, 5*time.Minute, time.Hour)
	}
	if cl.GrantLifetime != 0 {
		between(r, key+".grant_lifetime", cl.GrantLifetime, time.Hour, 400*day)
	}
}
