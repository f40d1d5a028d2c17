package apps

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
)

// registration is the answer of RFC 7591 §3.2.1 and RFC 7592 §3.
type registration struct {
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"client_id_issued_at"`
	Secret   string `json:"client_secret,omitempty"`
	// REQUIRED beside a secret; 0: it does not expire.
	SecretExpires *int64 `json:"client_secret_expires_at,omitempty"`
	Token         string `json:"registration_access_token"`
	URI           string `json:"registration_client_uri"`
	State         string `json:"registration_state"` // ours: pending, approved or suspended
	Metadata
}

// serveRegister is the registration endpoint (RFC 7591 §3).
func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return notAllowed(w, "POST")
	}
	// 1. How much, before what: a flood must cost little.
	now := s.o.Now()
	if wait, ok := s.limit.Allow(s.o.Addr(r), now); !ok {
		return &Error{Code: temporarilyOut, Description: "Too many registrations from this address. Try again later.", Status: http.StatusTooManyRequests, after: wait}
	}
	waiting, err := s.o.Store.Apps(r.Context(), client.Pending, maxWaiting)
	if err != nil {
		return down(err)
	}
	if len(waiting) >= maxWaiting {
		return &Error{Code: temporarilyOut, Description: "Too many apps wait for review. Try again later.", Status: http.StatusServiceUnavailable}
	}

	// 2. Read and check.
	m, err := s.readRegistration(w, r)
	if err != nil {
		return err
	}
	a := client.App{Origin: client.ByItself, State: client.Pending, Created: now, Decided: now, DecidedBy: "registration", Why: "registered itself"}
	if err := s.apply(r.Context(), &a, m); err != nil {
		return err
	}
	if s.o.Mode == ApproveAll {
		a.State, a.Why = client.Approved, "whoever registers is approved here"
	}

	// 3. Name it. Ids are random: nobody can take one that was somebody's.
	if a.ID, err = s.random(); err != nil {
		return err
	}
	secret, err := s.secretFor(&a)
	if err != nil {
		return err
	}
	token, err := s.random()
	if err != nil {
		return err
	}
	a.Registration = digestOf(token)

	// 4. Keep it, and answer.
	if err := s.o.Store.CreateApp(r.Context(), a); err != nil {
		return down(err)
	}
	reqctx.From(r.Context()).SetClient(a.ID)
	s.answer(w, http.StatusCreated, a, secret, token)
	return nil
}

func (s *Server) answer(w http.ResponseWriter, status int, a client.App, secret, token string) {
	out := registration{
		ClientID: a.ID, IssuedAt: a.Created.Unix(), Secret: secret, Token: token, URI: s.manageURL(a.ID),
		State: string(a.State), Metadata: describe(a),
	}
	if secret != "" {
		out.SecretExpires = new(int64)
	}
	writeJSON(w, status, out)
}

// readRegistration reads the body of a registration.
func (s *Server) readRegistration(w http.ResponseWriter, r *http.Request) (Metadata, error) {
	var m Metadata
	body, err := readJSON(w, r)
	if err != nil {
		return m, err
	}
	return m, readMetadata(body, &m)
}

func readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, refuse(invalidMetadata, "The body must be application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &Error{Code: invalidMetadata, Description: "The body is too large.", Status: http.StatusRequestEntityTooLarge}
	case err != nil:
		return nil, &Error{Code: invalidMetadata, Description: "The body could not be read.", Status: http.StatusBadRequest, Err: err}
	}
	return body, nil
}

// secretFor gives a confidential app without a secret one, to be shown once.
func (s *Server) secretFor(a *client.App) (string, error) {
	if a.Auth != client.SecretBasic {
		a.SecretHash = ""
		return "", nil
	}
	if a.SecretHash != "" {
		return "", nil
	}
	secret, hash, err := client.NewSecret(s.o.Rand)
	if err != nil {
		return "", err
	}
	a.SecretHash = hash
	return secret, nil
}

// random gives 256 bits as text.
func (s *Server) random() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(s.o.Rand, b[:]); err != nil {
		return "", fmt.Errorf("apps: the random source: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func digestOf(token string) []byte {
	d := sha256.Sum256([]byte(token))
	return d[:]
}
