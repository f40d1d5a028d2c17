package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/portico-fhir/portico/internal/fault"
)

// The error codes this server uses, with where they are defined.
const (
	invalidRequest          = "invalid_request"           // RFC 6749 §4.1.2.1, §5.2
	invalidClient           = "invalid_client"            // RFC 6749 §5.2
	invalidToken            = "invalid_token"             // RFC 6750 §3.1
	invalidGrant            = "invalid_grant"             // RFC 6749 §5.2
	invalidScope            = "invalid_scope"             // RFC 6749 §4.1.2.1
	unauthorizedClient      = "unauthorized_client"       // RFC 6749 §4.1.2.1
	accessDenied            = "access_denied"             // RFC 6749 §4.1.2.1
	unsupportedGrantType    = "unsupported_grant_type"    // RFC 6749 §5.2
	unsupportedResponseType = "unsupported_response_type" // RFC 6749 §4.1.2.1
	invalidTarget           = "invalid_target"            // RFC 8707 §2
	serverError             = "server_error"              // RFC 6749 §4.1.2.1
	temporarilyUnavailable  = "temporarily_unavailable"   // RFC 6749 §4.1.2.1
	loginRequired           = "login_required"            // OpenID Connect Core 1.0 §3.1.2.6
	consentRequired         = "consent_required"          // OpenID Connect Core 1.0 §3.1.2.6
	unmetAuthentication     = "unmet_authentication_requirements"
	requestNotSupported     = "request_not_supported"     // OpenID Connect Core 1.0 §3.1.2.6
	requestURINotSupported  = "request_uri_not_supported" // OpenID Connect Core 1.0 §3.1.2.6
	registrationUnsupported = "registration_not_supported"
)

// Error is an OAuth error as a value. Description is for the app's developer:
// no patient data, no secret, and only the characters of RFC 6749 §5.2.
type Error struct {
	Code        string
	Description string
	Status      int   // at the token endpoint; in a redirect it has no place
	Err         error // the cause, for the operator

	uri    string // where the developer learns more (error_uri of RFC 6749 §5.2), "" for nowhere
	basic  bool   // answer with a challenge (RFC 6749 §5.2, invalid_client)
	bearer bool   // or with that of RFC 6750 §3
}

// refuse makes an error the app caused.
func refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// Error is for the operational log.
func (e *Error) Error() string {
	text := e.Code + ": " + e.Description
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap classifies the error for the log.
func (e *Error) Unwrap() error {
	kind := fault.Invalid
	switch {
	case e.Status == http.StatusUnauthorized:
		kind = fault.Unauthenticated
	case e.Status == http.StatusMethodNotAllowed:
		kind = fault.MethodNotAllowed
	case e.Status == http.StatusTooManyRequests:
		kind = fault.TooMany
	case e.Status == http.StatusServiceUnavailable:
		kind = fault.Unavailable
	case e.Status >= http.StatusInternalServerError:
		kind = fault.Internal
	}
	return &fault.Error{Kind: kind, Public: e.Description, Err: e.Err}
}

// oauthError gives any error as an OAuth error. What nobody classified says
// nothing.
func oauthError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if fault.KindOf(err) == fault.Unavailable {
		return &Error{
			Code: temporarilyUnavailable, Description: "A part that is needed to answer is down. Try again later.",
			Status: http.StatusServiceUnavailable, Err: err,
		}
	}
	return &Error{Code: serverError, Description: "Something went wrong on this server.", Status: http.StatusInternalServerError, Err: err}
}

// unavailable wraps the failure of a store, a recorder or a page.
func unavailable(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fmt.Errorf("%s: %w", doing, err), fault.Unavailable, "A part that is needed to answer is down. Please try again later.")
}

// writeError is the one writer of OAuth errors in JSON (RFC 6749 §5.2).
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	e := oauthError(err)
	if e.basic {
		// RFC 6749 §5.2: the challenge matches the scheme the client used.
		w.Header().Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
	}
	if e.bearer {
		challenge := `Bearer realm="token"`
		if e.Code == invalidToken {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	body := map[string]string{"error": e.Code, "error_description": e.Description}
	if e.uri != "" {
		body["error_uri"] = e.uri
	}
	writeJSON(w, e.Status, body)
}

// writeJSON answers with what no cache may keep (RFC 6749 §5.1).
func writeJSON(w http.ResponseWriter, status int, body any) {
	noStore(w)
	sendJSON(w, status, body)
}

func sendJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // only our own types come here
		panic(fmt.Errorf("authz: encode an answer: %w", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that hung up needs no answer
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}
