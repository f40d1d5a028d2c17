package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
)

// The error codes of RFC 7591 §3.2.2, and two of RFC 6749.
const (
	invalidRedirectURI    = "invalid_redirect_uri"
	invalidMetadata       = "invalid_client_metadata"
	invalidStatement      = "invalid_software_statement"
	unapprovedStatement   = "unapproved_software_statement"
	invalidToken          = "invalid_token" // RFC 6750 §3.1
	accessDenied          = "access_denied"
	temporarilyOut        = "temporarily_unavailable"
	serverError           = "server_error"
	invalidRequest        = "invalid_request"
	realmOfRegistrations  = `Bearer realm="registration"`
	realmOfFailedRegister = realmOfRegistrations + `, error="invalid_token"`
)

// Error is a refusal as a value, for the developer of an app or an operator.
type Error struct {
	Code        string
	Description string
	Status      int
	Err         error

	after time.Duration // Retry-After
}

func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// Error is for the operational log.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Description + ": " + e.Err.Error()
	}
	return e.Code + ": " + e.Description
}

// Unwrap classifies the error for the log.
func (e *Error) Unwrap() error {
	kind := fault.Invalid
	switch e.Status {
	case http.StatusUnauthorized:
		kind = fault.Unauthenticated
	case http.StatusForbidden:
		kind = fault.Forbidden
	case http.StatusNotFound:
		kind = fault.NotFound
	case http.StatusMethodNotAllowed:
		kind = fault.MethodNotAllowed
	case http.StatusConflict:
		kind = fault.Conflict
	case http.StatusTooManyRequests:
		kind = fault.TooMany
	case http.StatusServiceUnavailable:
		kind = fault.Unavailable
	case http.StatusInternalServerError:
		kind = fault.Internal
	}
	return &fault.Error{Kind: kind, Public: e.Description, Err: e.Err}
}

func down(err error) *Error {
	return &Error{Code: temporarilyOut, Description: "A part that is needed to answer is down. Try again later.", Status: http.StatusServiceUnavailable, Err: err}
}

// writeError is the one writer of refusals (RFC 7591 §3.2.2, RFC 7592 §2).
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: serverError, Description: "Something went wrong on this server.", Status: http.StatusInternalServerError}
	}
	if e.Code == invalidToken {
		w.Header().Set("WWW-Authenticate", realmOfFailedRegister)
	}
	if e.after > 0 {
		handler.SetRetryAfter(w.Header(), e.after)
	}
	writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // only our own types come here
		panic(fmt.Errorf("apps: encode an answer: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that hung up needs no answer
}

func notAllowed(w http.ResponseWriter, allow string) error {
	w.Header().Set("Allow", allow)
	return &Error{Code: invalidRequest, Description: "This URL takes " + allow + ".", Status: http.StatusMethodNotAllowed}
}
