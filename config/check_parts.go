package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkListener judges the keys that decide how Portico is reached, together:
// each alone may be right while the whole would serve patient data in the clear.
func (c *Config) checkListener(r *report, env environment) {
	secure := true
	if c.PublicURL == "" {
		r.add("public_url", "is missing; give the URL at which browsers and apps reach Portico, such as https://portico.example.org")
	} else if checkURL(r, "public_url", c.PublicURL, urlRule{insecure: c.InsecurePlainHTTP, unless: unlessInsecure}) {
		secure = strings.HasPrefix(c.PublicURL, "https:")
	}
	host, port, err := net.SplitHostPort(c.Listen)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		r.add("listen", "must be an address and a port, such as 127.0.0.1:8080 or :8443")
		return
	}
	if c.TLS != nil {
		c.checkTLS(r, env)
		if !secure {
			r.add("public_url", "must be https, since tls is given")
		}
		return
	}
	if !Loopback(host) && !c.InsecurePlainHTTP {
		r.add("listen", "would serve plain HTTP to other machines; give tls, or listen on 127.0.0.1, or set insecure_plain_http: true")
	}
	if c.PublicURL != "" && secure && len(c.TrustedProxies) == 0 {
		r.add("public_url", "is https, but Portico serves plain HTTP: give tls, or name in trusted_proxies the proxy that speaks TLS in front of it")
	}
}

func (c *Config) checkTLS(r *report, env environment) {
	for _, f := range []struct {
		key  string
		path *string
	}{{"tls.cert_file", &c.TLS.CertFile}, {"tls.key_file", &c.TLS.KeyFile}} {
		if *f.path == "" {
			r.add(f.key, "is missing; TLS needs the certificate chain and its key, each in a PEM file")
			continue
		}
		*f.path = env.path(*f.path)
		if !isFile(env, *f.path) {
			r.add(f.key, "there is no file %s; create it or correct the path", *f.path)
		}
	}
	// CONFORMANCE: TLS 1.0 and 1.1 are deprecated by RFC 8996.
	if !slices.Contains([]string{"1.2", "1.3"}, c.TLS.MinVersion) {
		r.add("tls.min_version", `must be "1.2" or "1.3", with the quotes`)
	}
}

const idForm = "1 to 40 of a-z, 0-9 and -"

func (c *Config) checkProviders(r *report) {
	const list = "identity_providers"
	if len(c.IdentityProviders) == 0 {
		r.add(list, "is missing; Portico needs an OpenID provider at which people sign in")
	}
	ids(r, list, len(c.IdentityProviders), func(i int) string { return c.IdentityProviders[i].ID }, idPattern, idForm)
	for i, p := range c.IdentityProviders {
		key := item(list, i)
		if p.Issuer == "" {
			r.add(key+".issuer", "is missing; give the issuer exactly as the provider's discovery document has it")
		} else {
			// OpenID Connect Discovery §4.3 compares issuers exactly, and some end with a slash.
			checkURL(r, key+".issuer", p.Issuer, urlRule{insecure: p.InsecurePlainHTTP, unless: unlessInsecure, path: true, slash: true})
		}
		if p.ClientID == "" {
			r.add(key+".client_id", "is missing; give the client id under which Portico is registered there")
		}
		c.checkScopes(r, key+".scopes", p.Scopes)
		if !slices.Contains(p.Scopes, "openid") {
			r.add(key+".scopes", "must hold openid: without it the provider does not say who signed in")
		}
	}
}

// scopePattern is scope-token of RFC 6749 §3.3.
var scopePattern = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`)

func (c *Config) checkScopes(r *report, key string, scopes []string) {
	for i, s := range scopes {
		switch {
		case s == "": // reported while reading
		case !scopePattern.MatchString(s):
			r.add(item(key, i), "must be one scope, without space; write one line for each")
		case slices.Contains(scopes[:i], s):
			r.add(item(key, i), "stands there twice; remove one")
		}
	}
}

// checkAppScopes checks scopes of apps, which have a grammar of their own.
func (c *Config) checkAppScopes(r *report, key string, scopes []string) {
	c.checkScopes(r, key, scopes)
	for i, s := range scopes {
		if s == "" || r.more.Scope == nil {
			continue
		}
		if err := r.more.Scope(s); err != nil {
			r.add(item(key, i), "is not a scope that apps can have here (%v); write it as in patient/Observation.rs", err)
		}
	}
}

func (c *Config) checkSources(r *report, env environment) {
	const list = "sources"
	if len(c.Sources) == 0 {
		r.add(list, "is missing; name at least one EHR")
	}
	ids(r, list, len(c.Sources), func(i int) string { return c.Sources[i].ID }, idPattern, idForm)
	for i := range c.Sources {
		s := &c.Sources[i]
		key := item(list, i)
		if s.Name == "" {
			r.add(key+".name", "is missing; people read it on the pages: the health system's name")
		}
		if s.FHIRBase == "" {
			r.add(key+".fhir_base", "is missing; give the base URL of the EHR's FHIR R4 server")
		} else {
			checkURL(r, key+".fhir_base", s.FHIRBase, urlRule{insecure: s.InsecurePlainHTTP, unless: unlessInsecure, path: true})
		}
		c.checkProviderOf(r, key, s)
		c.checkSignIn(r, key, s)
		c.checkLaunch(r, key+".ehr_launch", i)
		checkConnection(r, env, key, s)
		checkSourceLimits(r, key+".limits", s)
		checkWrites(r, key+".write", s.Write)
		checkPatientFrom(r, key+".patient_from", s.PatientFrom)
		checkSensitivity(r, key+".sensitivity", s.Sensitivity)
		checkAttachments(r, key+".attachments", s)
		between(r, key+".timeout", s.Timeout, time.Second, 5*time.Minute)
		if s.MaxPageSize < 1 || s.MaxPageSize > 1000 {
			r.add(key+".max_page_size", "must be between 1 and 1000")
		}
	}
}

func checkPatientFrom(r *report, key string, p PatientFrom) {
	switch {
	case !slices.Contains([]string{AsReference, AsID, AsIdentifier}, p.As):
		r.add(key+".as", "must be reference (Patient/…), id or identifier")
	case p.Claim == "fhirUser" && p.As != AsReference:
		r.add(key+".as", "must be reference: SMART defines fhirUser as the URL or reference of a resource")
	case p.As == AsIdentifier && p.System == "":
		r.add(key+".system", "is missing; an identifier is only unique within its system")
	case p.As != AsIdentifier && p.System != "":
		r.add(key+".system", "does nothing with as: %s; remove it, or set as: identifier", p.As)
	case strings.ContainsAny(p.System, "|,\\$ "):
		r.add(key+".system", "must be a plain URI such as http://hospital.example/mrn")
	}
}

// clientPattern is the unreserved characters of RFC 3986 §2.3: the same in a
// form, a URL and a log.
var clientPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// minSecret is the length of a client's secret below which only its SHA-256
// would not protect it: 32 characters of base64 are 192 bits.
const minSecret = 32

func (c *Config) checkClients(r *report, env environment) {
	const list = "clients"
	ids(r, list, len(c.Clients), func(i int) string { return c.Clients[i].ID }, clientPattern,
		"1 to 128 of letters, digits and . _ ~ -")
	for i, cl := range c.Clients {
		key := item(list, i)
		if cl.Name == "" {
			r.add(key+".name", "is missing; people read it when they are asked to agree")
		}
		if cl.URL != "" {
			checkURL(r, key+".url", cl.URL, urlRule{path: true, slash: true})
		}
		checkCredentials(r, env, key, &c.Clients[i])
		checkClientExtras(r, key, cl)
		checkRedirects(r, key, cl)
		c.checkAppScopes(r, key+".scopes", cl.Scopes)
		for j, id := range cl.Sources {
			switch {
			case id == "": // reported while reading
			case !slices.ContainsFunc(c.Sources, func(s Source) bool { return s.ID == id }):
				r.add(item(key+".sources", j), "no source has this id; use an id from sources")
			case slices.Contains(cl.Sources[:j], id):
				r.add(item(key+".sources", j), "stands there twice; remove one")
			}
		}
	}
}

func checkRedirects(r *report, key string, cl Client) {
	if len(cl.RedirectURIs) == 0 && !cl.service() {
		r.add(key+".redirect_uris", "is missing; give every URI to which the app wants to be sent back, exactly")
	}
	loopback := false
	for i, s := range cl.RedirectURIs {
		if s == "" { // reported while reading
			continue
		}
		at := item(key+".redirect_uris", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || !u.IsAbs():
			r.add(at, "must be a whole URI such as https://app.example.org/callback")
		case strings.Contains(s, "#"):
			r.add(at, "must have no fragment (RFC 6749 §3.1.2)")
		case strings.ContainsAny(s, "*\\ ") || u.User != nil:
			r.add(at, "must be one exact URI, without *, space or user name")
		case slices.Contains(cl.RedirectURIs[:i], s):
			r.add(at, "stands there twice; remove one")
		case u.Scheme == "https" && u.Host != "":
		case u.Scheme == "http" && u.Hostname() != "" && Loopback(u.Hostname()):
			// localhost too, which is not recommended and may be used (RFC 8252 §8.3).
			loopback = loopback || anyPort(u)
		case u.Scheme == "http":
			r.add(at, "must be https; http is for loopback addresses alone")
		case !strings.Contains(u.Scheme, "."):
			r.add(at, "must be https, or a scheme in reverse domain order such as org.example.app (RFC 8252 §7.1)")
		case cl.Type == ClientConfidential:
			r.add(at, "is for an app on a device, which cannot keep a secret; use https or type: public")
		}
	}
	if cl.AnyLoopbackPort && !loopback {
		r.add(key+".any_loopback_port", "does nothing without a redirect URI on http://127.0.0.1, http://[::1] or http://localhost; add one or remove this")
	}
}

// anyPort names the hosts of which the port may vary, as they are compared.
func anyPort(u *url.URL) bool {
	switch u.Hostname() {
	case "127.0.0.1", "::1", "localhost":
		return true
	}
	return false
}
