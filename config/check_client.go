package config

import "strings"

// The algorithms of id_tokens that a client may choose.
const (
	algRS256 = "RS256"
	algES256 = "ES256"
)

// checkCredentials judges how a client proves who it is: a public one does not,
// a confidential one with a secret or with a key.
func checkCredentials(r *report, env environment, key string, cl *Client) {
	hasKeys := cl.JWKSFile != "" || cl.JWKSURI != ""
	switch {
	case cl.Type == "":
		r.add(key+".type", "is missing; write confidential if the app runs on a server that can keep a secret, otherwise public")
	case cl.Type != ClientPublic && cl.Type != ClientConfidential:
		r.add(key+".type", "must be public or confidential")
	case cl.Type == ClientPublic && !cl.Secret.IsZero():
		r.add(key+".secret", "does nothing for a public client; remove it or set type: confidential")
	case cl.Type == ClientPublic && hasKeys:
		r.add(key+"."+keyName(cl), "does nothing for a public client; remove it or set type: confidential")
	case cl.Type == ClientPublic:
	case !cl.Secret.IsZero() && hasKeys:
		r.add(key+".secret", "does nothing for a client that has a key (%s); remove one of them", keyName(cl))
	case cl.Secret.IsZero() && !hasKeys:
		r.add(key+".secret", "is missing; a confidential client needs one, made by openssl rand -base64 32, or its public keys in jwks_file or jwks_uri")
	case !hasKeys && len(cl.Secret.Reveal()) < minSecret:
		r.add(key+".secret", "is too short to be safe; use %d characters or more: openssl rand -base64 32", minSecret)
	}
	if cl.Type == ClientPublic && cl.Introspects {
		r.add(key+".introspects", "is for clients that can prove who they are; remove it or set type: confidential")
	}
	checkKeys(r, env, key, cl)
	if cl.IDTokenAlg != "" {
		oneOf(r, key+".id_token_signed_response_alg", cl.IDTokenAlg, algRS256, algES256)
	}
}

func checkKeys(r *report, env environment, key string, cl *Client) {
	if cl.JWKSFile != "" && cl.JWKSURI != "" {
		r.add(key+".jwks_uri", "does nothing beside jwks_file; remove one of them")
	}
	if cl.JWKSURI != "" {
		checkURL(r, key+".jwks_uri", cl.JWKSURI, urlRule{path: true, slash: true})
	}
	if cl.JWKSFile != "" {
		cl.JWKSFile = env.path(cl.JWKSFile)
		if !isFile(env, cl.JWKSFile) {
			r.add(key+".jwks_file", "there is no file %s; create it or correct the path", cl.JWKSFile)
		}
	}
}

func keyName(cl *Client) string {
	if cl.JWKSFile != "" {
		return "jwks_file"
	}
	return "jwks_uri"
}

// service says that a client works for itself alone: it has a key and nothing
// but system scopes, so no person is ever sent back to it.
func (cl Client) service() bool {
	if cl.JWKSFile == "" && cl.JWKSURI == "" || len(cl.Scopes) == 0 {
		return false
	}
	for _, s := range cl.Scopes {
		if !strings.HasPrefix(s, "system/") {
			return false
		}
	}
	return true
}
