package authz

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-fhir/portico/smart/client"
)

// credentials are what a client says of itself. Basic credentials may be read
// in two ways; see basicCredentials.
type credentials struct {
	ids, secrets []string // the readings, side by side
	basic        bool
}

// authenticateClient finds out which client calls (RFC 6749 §2.3, §3.2.1). All
// failures say the same.
func (s *Server) authenticateClient(r *http.Request, p params) (client.Client, error) {
	if p.get("client_assertion") != "" || p.get("client_assertion_type") != "" {
		return s.authenticateByAssertion(r, p)
	}
	c, err := readCredentials(r, p)
	if err != nil {
		return client.Client{}, err
	}
	failed := &Error{Code: invalidClient, Description: "The client is unknown or did not authenticate.", Status: http.StatusUnauthorized, basic: c.basic}
	for i, id := range c.ids {
		app, err := s.o.Clients.Client(r.Context(), id)
		if errors.Is(err, client.ErrUnknown) {
			continue
		}
		if err != nil {
			return client.Client{}, unavailable(err, "look up a client")
		}
		if authenticates(app, c.secrets[i]) {
			return app, nil
		}
	}
	return client.Client{}, failed
}

// authenticates holds a client to the method it is registered with: a public
// client that sends a secret is not the one it says it is.
func authenticates(app client.Client, secret string) bool {
	if app.Confidential() {
		return secret != "" && app.CheckSecret(secret)
	}
	return secret == ""
}

// readCredentials takes exactly one method (RFC 6749 §2.3).
func readCredentials(r *http.Request, p params) (credentials, error) {
	id, secret := p.get("client_id"), p.get("client_secret")
	if r.Header.Get("Authorization") == "" {
		return credentials{ids: []string{id}, secrets: []string{secret}}, nil
	}
	c, ok := basicCredentials(r)
	if !ok || len(r.Header.Values("Authorization")) > 1 {
		return credentials{}, &Error{Code: invalidClient, Description: "The Authorization header is not Basic.", Status: http.StatusUnauthorized, basic: true}
	}
	if secret != "" {
		return credentials{}, refuse(invalidRequest, "The client authenticates in two ways.")
	}
	if id != "" {
		for _, reading := range c.ids {
			if reading == id {
				return c, nil
			}
		}
		return credentials{}, refuse(invalidRequest, "client_id is not the one of the Authorization header.")
	}
	return c, nil
}

// basicCredentials decodes id and secret as RFC 6749 §2.3.1 says: both are
// form-urlencoded. Many clients leave that out, so the text as it stands is a
// second reading; it can be right for a client that knows its secret only.
func basicCredentials(r *http.Request) (credentials, bool) {
	id, secret, ok := r.BasicAuth()
	if !ok || strings.ContainsAny(id+secret, "\x00\r\n") {
		return credentials{}, false
	}
	c := credentials{basic: true}
	decodedID, errID := url.QueryUnescape(id)
	decodedSecret, errSecret := url.QueryUnescape(secret)
	if errID == nil && errSecret == nil {
		c.ids, c.secrets = append(c.ids, decodedID), append(c.secrets, decodedSecret)
	}
	if decodedID != id || decodedSecret != secret || len(c.ids) == 0 {
		c.ids, c.secrets = append(c.ids, id), append(c.secrets, secret)
	}
	return c, true
}
