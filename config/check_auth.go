package config

import (
	"slices"
	"strings"
)

// Where a client secret is sent (RFC 6749 §2.3.1).
const (
	SecretInHeader = "header"
	SecretInBody   = "body"
)

// The algorithms of SMART App Launch 2.2 for private_key_jwt.
const (
	algRS384 = "RS384"
	algES384 = "ES384"
)

func (a *Auth) fillIn() {
	if !a.ClientSecret.IsZero() && a.SecretIn == "" {
		a.SecretIn = SecretInHeader
	}
	if a.Key != "" && a.KeyFile == "" && a.Alg == "" {
		a.Alg = algRS384
	}
}

// checkConnection judges how Portico reaches a source's EHR and signs in there.
func checkConnection(r *report, env environment, key string, s *Source) {
	checkAuth(r, env, key+".auth", s)
	checkSourceTLS(r, env, key+".tls", s)
	seen := map[string]int{}
	for i, h := range s.Headers {
		at := item(key+".headers", i)
		switch {
		case h.Name == "":
			r.add(at+".name", "is missing; name the header")
			continue
		case h.Value.IsZero():
			r.add(at+".value", "is missing; write {file: path} or {env: NAME}")
			continue
		}
		if j, twice := seen[strings.ToLower(h.Name)]; twice {
			r.add(at+".name", "is the header of %s already; remove one", item("headers", j))
		}
		seen[strings.ToLower(h.Name)] = i
		if r.more.Header == nil {
			continue
		}
		if why := r.more.Header(h.Name, h.Value.Reveal()); why != "" {
			r.add(at+".name", "%s; use auth for credentials, or another header", why)
		}
	}
}

func checkAuth(r *report, env environment, key string, s *Source) {
	a := &s.Auth
	needs := func(name string, given, wanted bool) {
		switch {
		case given && !wanted:
			r.add(key+"."+name, "does nothing with type: %s; remove it or change the type", a.Type)
		case !given && wanted:
			r.add(key+"."+name, "is missing; type: %s needs it", a.Type)
		}
	}
	if !slices.Contains([]string{AuthNone, AuthBasic, AuthBearer, AuthClient}, a.Type) {
		r.add(key+".type", "must be none, basic, bearer or client_credentials")
		return
	}
	needs("username", a.Username != "", a.Type == AuthBasic)
	needs("password", !a.Password.IsZero(), a.Type == AuthBasic)
	needs("token", !a.Token.IsZero(), a.Type == AuthBearer)
	needs("client_id", a.ClientID != "", a.Type == AuthClient)
	// RFC 7617 §2: the first colon ends the user name.
	if strings.Contains(a.Username, ":") {
		r.add(key+".username", "must not hold a colon")
	}
	if a.Type == AuthClient {
		checkClientCredentials(r, env, key, s)
		return
	}
	for name, given := range map[string]bool{
		"token_url": a.TokenURL != "", "client_secret": !a.ClientSecret.IsZero(), "secret_in": a.SecretIn != "", "key": a.Key != "",
		"key_file": a.KeyFile != "", "alg": a.Alg != "", "scopes": a.Scopes != nil,
	} {
		needs(name, given, false)
	}
}

func checkClientCredentials(r *report, env environment, key string, s *Source) {
	a := &s.Auth
	if a.TokenURL != "" {
		checkURL(r, key+".token_url", a.TokenURL, urlRule{insecure: s.InsecurePlainHTTP, unless: unlessInsecure, path: true, slash: true})
	}
	for i, scope := range a.Scopes {
		switch {
		case scope == "": // reported while reading
		case !scopePattern.MatchString(scope):
			r.add(item(key+".scopes", i), "must be one scope, without space; write one line for each")
		case slices.Contains(a.Scopes[:i], scope):
			r.add(item(key+".scopes", i), "stands there twice; remove one")
		}
	}
	switch {
	case a.ClientSecret.IsZero() && a.Key == "":
		r.add(key+".client_secret", "is missing; give the secret, or key: jwt to sign in with a key (SMART Backend Services)")
	case !a.ClientSecret.IsZero() && a.Key != "":
		r.add(key+".client_secret", "does nothing beside key; remove one of them")
	case a.Key == "":
		oneOf(r, key+".secret_in", a.SecretIn, SecretInHeader, SecretInBody)
		for name, given := range map[string]bool{"key_file": a.KeyFile != "", "alg": a.Alg != ""} {
			if given {
				r.add(key+"."+name, "does nothing without key: jwt; add it or remove this")
			}
		}
		return
	case a.Key != KeyJWT:
		r.add(key+".key", "must be jwt")
	case a.SecretIn != "":
		r.add(key+".secret_in", "does nothing without client_secret; remove it")
	}
	if a.KeyFile != "" {
		a.KeyFile = env.path(a.KeyFile)
		if !isFile(env, a.KeyFile) {
			r.add(key+".key_file", "there is no file %s; create it or correct the path", a.KeyFile)
		}
		if a.Alg != "" {
			r.add(key+".alg", "does nothing beside key_file: the key tells it; remove it")
		}
	} else if a.Alg != "" {
		oneOf(r, key+".alg", a.Alg, algRS384, algES384)
	}
}

func checkSourceTLS(r *report, env environment, key string, s *Source) {
	t := &s.TLS
	if *t == (SourceTLS{}) {
		return
	}
	if strings.HasPrefix(s.FHIRBase, "http:") {
		r.add(key, "does nothing for an http fhir_base; remove it or use https")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		r.add(key, "needs cert_file and key_file together, for a client certificate")
	}
	for _, f := range []struct {
		name string
		path *string
	}{{"ca_file", &t.CAFile}, {"cert_file", &t.CertFile}, {"key_file", &t.KeyFile}} {
		if *f.path == "" {
			continue
		}
		*f.path = env.path(*f.path)
		if !isFile(env, *f.path) {
			r.add(key+"."+f.name, "there is no file %s; create it or correct the path", *f.path)
		}
	}
}
