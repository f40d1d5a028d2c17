// Package fault is the one neutral error of Portico: what went wrong in a word
// (Kind), what the caller may be told (Public) and what only the operator may
// see (the wrapped error). It knows no protocol: gateway/outcome.go turns it
// into an OperationOutcome, smart/authz/error.go into an OAuth error, and
// smart/authz/problem.go and gateway/login/party.go into a page.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what went wrong, independent of any protocol.
type Kind uint8

// The kinds. Internal is the zero value on purpose: an error that nobody
// classified says nothing to the outside.
const (
	Internal         Kind = iota // a defect or an unclassified failure
	Invalid                      // the request cannot be understood as it stands
	Unauthenticated              // no token, or one that is not (or no longer) good
	Forbidden                    // understood, but the token does not cover it
	NotFound                     // absent, foreign and withheld alike
	MethodNotAllowed             // the interaction does not exist here
	NotAcceptable                // no representation the client accepts
	UnsupportedMedia             // a body in a format that is not read
	Conflict                     // the state does not allow it
	Precondition                 // If-Match and the like failed
	TooLarge                     // a body or URL beyond its limit
	Unsupported                  // valid FHIR that Portico does not do
	TooMany                      // a budget is used up
	Upstream                     // the upstream answered something unusable
	UpstreamTimeout              // the upstream did not answer in time
	Unavailable                  // a part needed to answer safely is down
	Unprocessable                // a well-formed body that says what is not taken
)

// String gives the kind as it stands in the log.
func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not-found"
	case MethodNotAllowed:
		return "method-not-allowed"
	case NotAcceptable:
		return "not-acceptable"
	case UnsupportedMedia:
		return "unsupported-media"
	case Conflict:
		return "conflict"
	case Precondition:
		return "precondition"
	case TooLarge:
		return "too-large"
	case Unsupported:
		return "unsupported"
	case TooMany:
		return "too-many"
	case Upstream:
		return "upstream"
	case UpstreamTimeout:
		return "upstream-timeout"
	case Unavailable:
		return "unavailable"
	case Unprocessable:
		return "unprocessable"
	default:
		return "internal"
	}
}

// Error carries a Kind, a sentence for the caller and, unless nil, the cause.
// Public must never hold patient data, upstream details or a secret.
type Error struct {
	Kind   Kind
	Public string
	Err    error
	// RetryAfter is how long the caller should wait before it asks again; 0 when
	// nothing is known. Only TooMany and Unavailable have a use for it.
	RetryAfter time.Duration
}

// Error is for the operational log; protocol writers send Public only.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Public
	}
	return e.Public + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error whose message is fit for the caller.
func New(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Public: fmt.Sprintf(format, args...)}
}

// Wrap classifies err and adds the sentence for the caller. A nil err stays nil.
func Wrap(err error, k Kind, public string) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Public: public, Err: err}
}

// Later is New for what may be asked again after a while.
func Later(k Kind, after time.Duration, public string) error {
	return &Error{Kind: k, Public: public, RetryAfter: after}
}

// RetryAfterOf gives how long the outermost error in err's chain asks to wait, 0
// when it does not say.
func RetryAfterOf(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// KindOf gives the outermost kind in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// PublicOf gives the sentence for the caller, or "" when there is none.
func PublicOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Public
	}
	return ""
}
