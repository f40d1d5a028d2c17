package authz

import (
	"errors"
	"net/http"

	"github.com/portico-fhir/portico/smart/client"
)

// audiences are the names of this server that the aud of a client assertion may
// have: the URL of the token endpoint, as SMART App Launch 2.2 wants it, and the
// issuer, which clients of OpenID Connect put there (RFC 7523 §3 leaves it
// open); or the endpoint that it is sent to. There is one authorization server
// behind all, so nobody else's assertion can be meant, and each is good once.
func (s *Server) audiences() []string {
	return []string{s.url(pathToken), s.o.Issuer, s.url(pathIntrospect), s.url(pathRevoke), s.url(pathPAR)}
}

// authenticateByAssertion is client authentication with private_key_jwt
// (RFC 7523 §2.2; SMART App Launch 2.2, "Client Authentication: Asymmetric").
// Why an assertion is refused is for the log: the answer is the same always.
func (s *Server) authenticateByAssertion(r *http.Request, p params) (client.Client, error) {
	if r.Header.Get("Authorization") != "" || p.get("client_secret") != "" {
		return client.Client{}, refuse(invalidRequest, "The client authenticates in two ways.") // RFC 6749 §2.3
	}
	if p.get("client_assertion_type") != client.AssertionType {
		return client.Client{}, badAssertion(errors.New("client_assertion_type is not " + client.AssertionType))
	}
	assertion, err := client.ReadAssertion(p.get("client_assertion"))
	if err != nil {
		return client.Client{}, badAssertion(err)
	}
	// RFC 7521 §4.2: client_id is not needed, but must not say otherwise.
	if id := p.get("client_id"); id != "" && id != assertion.Issuer() {
		return client.Client{}, badAssertion(errors.New("client_id is not the iss of the assertion"))
	}
	app, err := s.o.Clients.Client(r.Context(), assertion.Issuer())
	switch {
	case errors.Is(err, client.ErrUnknown):
		return client.Client{}, badAssertion(err)
	case err != nil:
		return client.Client{}, unavailable(err, "look up a client")
	}
	switch err := s.assertions.Check(r.Context(), app, assertion); {
	case errors.Is(err, client.ErrAssertion):
		return client.Client{}, badAssertion(err)
	case err != nil:
		return client.Client{}, unavailable(err, "check a client assertion")
	}
	return app, nil
}

func badAssertion(cause error) error {
	return &Error{
		Code: invalidClient, Description: "The client is unknown or did not authenticate.",
		Status: http.StatusUnauthorized, Err: cause,
	}
}
