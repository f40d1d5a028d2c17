package config

import (
	"slices"
	"strings"
)

// checkProviderOf checks where the people of a source sign in.
func (c *Config) checkProviderOf(r *report, key string, s *Source) {
	list := key + ".identity_providers"
	key += ".identity_provider"
	known := func(id string) bool {
		return slices.ContainsFunc(c.IdentityProviders, func(p IdentityProvider) bool { return p.ID == id })
	}
	switch {
	case len(s.IdentityProviders) > 0 && s.IdentityProvider != "":
		r.add(key, "does nothing beside identity_providers; remove one of the two")
	case len(s.IdentityProviders) > 0:
		for i, id := range s.IdentityProviders {
			switch {
			case id == "" || r.broken["identity_providers"]: // reported while reading
			case !known(id):
				r.add(item(list, i), "no identity provider has this id; use an id from identity_providers")
			case slices.Contains(s.IdentityProviders[:i], id):
				r.add(item(list, i), "stands there twice; remove one")
			}
		}
	case s.IdentityProvider == "" && len(c.IdentityProviders) == 1:
		s.IdentityProvider = c.IdentityProviders[0].ID
	case r.broken["identity_providers"]: // whether the choice is good cannot be said
	case s.IdentityProvider == "":
		r.add(key, "is missing; name the one of identity_providers at which this EHR's patients sign in")
	case !known(s.IdentityProvider):
		r.add(key, "no identity provider has this id; use an id from identity_providers")
	}
}

// checkSignIn checks how sure the sign-ins of a source must be.
func (c *Config) checkSignIn(r *report, key string, s *Source) {
	checkAssurance(r, key+".sign_in", s.SignIn)
	for i, up := range s.StepUp {
		at := item(key+".step_up", i)
		if len(up.Scopes) == 0 {
			r.add(at+".scopes", "is missing; name the scopes that need a surer sign-in, such as patient/DocumentReference.rs")
		}
		c.checkAppScopes(r, at+".scopes", up.Scopes)
		if len(up.ACR) == 0 && len(up.AMR) == 0 {
			r.add(at, "needs acr or amr: what the provider must say of such a sign-in")
		}
		checkAssurance(r, at, Assurance{ACR: up.ACR, AMR: up.AMR})
	}
}

func checkAssurance(r *report, key string, a Assurance) {
	for name, values := range map[string][]string{".acr": a.ACR, ".amr": a.AMR} {
		for i, v := range values {
			switch {
			case v == "": // reported while reading
			case strings.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c > '~' }):
				r.add(item(key+name, i), "must be one value, without space; write one line for each")
			case slices.Contains(values[:i], v):
				r.add(item(key+name, i), "stands there twice; remove one")
			}
		}
	}
}

// checkLaunch checks what lets an EHR launch apps. Each EHR has a credential of
// its own: with it goes for which source it may speak.
func (c *Config) checkLaunch(r *report, key string, i int) {
	e := c.Sources[i].EHRLaunch
	switch {
	case r.broken[key+".token"]: // reported while reading
	case e.Token.IsZero() && e.Style != (Style{}):
		r.add(key+".style", "does nothing without token; add one or remove this")
		return
	case e.Token.IsZero():
		return
	case len(e.Token.Reveal()) < minSecret:
		r.add(key+".token", "is too short to be safe; use %d characters or more: openssl rand -base64 32", minSecret)
	case strings.ContainsFunc(e.Token.Reveal(), func(c rune) bool { return c <= ' ' || c > '~' }):
		r.add(key+".token", "must be plain ASCII without space, since it travels in a header: openssl rand -base64 32")
	}
	for j, s := range c.Sources[:i] {
		if s.EHRLaunch.Token.Reveal() == e.Token.Reveal() {
			r.add(key+".token", "is the token of %s already; each EHR needs its own", item("sources", j))
		}
	}
}
