package apps

import (
	"crypto/subtle"
	"errors"
	"net/http"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
)

// serveManage is the client configuration endpoint (RFC 7592 §2).
func (s *Server) serveManage(w http.ResponseWriter, r *http.Request) error {
	a, token, err := s.manager(r)
	if err != nil {
		return err
	}
	reqctx.From(r.Context()).SetClient(a.ID)
	if r.Method != http.MethodGet && a.State == client.Suspended {
		return &Error{Code: accessDenied, Description: "The app is suspended; its registration can only be read.", Status: http.StatusForbidden}
	}
	switch r.Method {
	case http.MethodGet:
		s.answer(w, http.StatusOK, a, "", token)
		return nil
	case http.MethodPut:
		return s.replace(w, r, a, token)
	case http.MethodDelete:
		if err := s.o.Store.DeleteApp(r.Context(), a.ID, s.o.Now()); err != nil && !errors.Is(err, client.ErrUnknown) {
			return down(err)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return notAllowed(w, "GET, PUT, DELETE")
	}
}

// manager finds the app whose registration access token comes with the request.
// An unknown app and a wrong token are answered alike (RFC 7592 §2: 401).
func (s *Server) manager(r *http.Request) (client.App, string, error) {
	failed := &Error{Code: invalidToken, Description: "The registration access token is missing or not this app's.", Status: http.StatusUnauthorized}
	token, _ := handler.Bearer(r)
	if token == "" {
		return client.App{}, "", failed
	}
	a, err := s.o.Store.App(r.Context(), named(r))
	switch {
	case errors.Is(err, client.ErrUnknown):
		return client.App{}, "", failed
	case err != nil:
		return client.App{}, "", down(err)
	case !Manages(a, token):
		return client.App{}, "", failed
	}
	return a, token, nil
}

// Manages tells whether a token is the registration access token of an app.
func Manages(a client.App, token string) bool {
	return token != "" && len(a.Registration) > 0 && subtle.ConstantTimeCompare(digestOf(token), a.Registration) == 1
}

// update is the body of an update (RFC 7592 §2.2).
type update struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
	Metadata

	// What must not be sent.
	Token         any `json:"registration_access_token"`
	URI           any `json:"registration_client_uri"`
	SecretExpires any `json:"client_secret_expires_at"`
	IssuedAt      any `json:"client_id_issued_at"`
}

// replace replaces the whole registration (RFC 7592 §2.2: what is left out is
// deleted). What a reviewer has approved is another app when it changes, so it
// waits for review again.
func (s *Server) replace(w http.ResponseWriter, r *http.Request, a client.App, token string) error {
	body, err := readJSON(w, r)
	if err != nil {
		return err
	}
	var u update
	if err := readMetadata(body, &u); err != nil {
		return err
	}
	switch {
	case u.ClientID != a.ID:
		return refuse(invalidRequest, "client_id must be the one of this registration.")
	case u.Token != nil || u.URI != nil || u.SecretExpires != nil || u.IssuedAt != nil:
		return refuse(invalidRequest, "registration_access_token, registration_client_uri, client_secret_expires_at and client_id_issued_at must be left out.")
	case u.Secret != "" && !a.CheckSecret(u.Secret):
		return refuse(invalidRequest, "client_secret is not the one of this app.")
	}
	next := a
	if err := s.apply(r.Context(), &next, u.Metadata); err != nil {
		return err
	}
	secret, err := s.secretFor(&next)
	if err != nil {
		return err
	}
	if changes := difference(a, next); changes != "" {
		next.Decided, next.DecidedBy, next.Why = s.o.Now(), "registration", "changed by itself: "+changes
		next.State = client.Pending
		if s.o.Mode == ApproveAll {
			next.State = client.Approved
		}
	}
	switch err := s.o.Store.UpdateApp(r.Context(), next); {
	case errors.Is(err, client.ErrChanged):
		return &Error{Code: invalidRequest, Description: "The registration was changed meanwhile. Read it again.", Status: http.StatusConflict}
	case err != nil:
		return down(err)
	}
	s.answer(w, http.StatusOK, next, secret, token)
	return nil
}
