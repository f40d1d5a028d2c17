package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// writeOutcome is the one place where errors become FHIR: an OperationOutcome
// with the sentence for the caller and nothing else.
func writeOutcome(w http.ResponseWriter, r *http.Request, err error) {
	writeOutcomeStatus(w, r, err, statusOf(err))
}

// LongURL answers a URL beyond MaxLink with 414 (RFC 9110 §15.5.15), if it is
// one of the FHIR API: no handler below sees it.
func LongURL(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/fhir/") {
		return false
	}
	cors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeOutcomeStatus(w, r, fault.New(fault.TooLarge, handler.LongURLText), http.StatusRequestURITooLong)
	})).ServeHTTP(w, r)
	return true
}

// When apps may try again if nothing better is known: soon after an outage,
// later when there were too many requests (RFC 9110 §10.2.3).
const (
	retryUnavailable = 10 * time.Second
	retryTooMany     = 30 * time.Second
	maxRetryAfter    = time.Hour // what the EHR may make of it
)

// retryAfter writes when to try again, by the error or else as given.
func retryAfter(header http.Header, err error, unless time.Duration) {
	wait := fault.RetryAfterOf(err)
	if wait <= 0 {
		wait = unless
	}
	handler.SetRetryAfter(header, min(wait, maxRetryAfter))
}

func writeOutcomeStatus(w http.ResponseWriter, r *http.Request, err error, status int) {
	text := fault.PublicOf(err)
	kind := fault.KindOf(err)
	if text == "" || kind == fault.Internal {
		text = "Something went wrong here. The request id in X-Request-Id names it to the operator."
	}
	code := issueType(kind)
	switch {
	case errors.Is(err, errSuppressed):
		code = r4.IssueTypeSuppressed
	case errors.Is(err, errSeveral):
		code = r4.IssueTypeMultipleMatches
	case errors.Is(err, upstream.ErrCostly):
		code = r4.IssueTypeTooCostly
	}
	body, encodeErr := outcome(r4.IssueSeverityError, code, text)
	if encodeErr != nil {
		reqctx.From(r.Context()).Fail(encodeErr)
		body = nil
	}
	header := w.Header()
	header.Set("Content-Type", fhir.JSON)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	switch kind {
	case fault.Unauthenticated:
		header.Set("WWW-Authenticate", challenge(r))
	case fault.Forbidden:
		header.Set("WWW-Authenticate", `Bearer error="insufficient_scope"`) // RFC 6750 §3.1
	case fault.Unavailable:
		retryAfter(header, err, retryUnavailable)
	case fault.TooMany:
		retryAfter(header, err, retryTooMany)
	default:
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone if this fails
	}
}

// challenge follows RFC 6750 §3: no error code for a request without a token.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

// statusOf is the status of an error on the FHIR API. What is valid FHIR but
// not done here is the client's to change: 400, not 501, which would have it
// try again.
func statusOf(err error) int {
	if fault.KindOf(err) == fault.Unsupported {
		return http.StatusBadRequest
	}
	return handler.Status(err)
}

// issueType maps kinds to the required value set issue-type.
func issueType(k fault.Kind) r4.IssueType {
	switch k {
	case fault.Invalid:
		return r4.IssueTypeInvalid
	case fault.TooLarge:
		return r4.IssueTypeTooLong
	case fault.Unauthenticated:
		return r4.IssueTypeLogin
	case fault.Forbidden:
		return r4.IssueTypeForbidden
	case fault.NotFound:
		return r4.IssueTypeNotFound
	case fault.MethodNotAllowed, fault.NotAcceptable, fault.UnsupportedMedia, fault.Unsupported:
		return r4.IssueTypeNotSupported
	case fault.Conflict, fault.Precondition:
		return r4.IssueTypeConflict
	case fault.TooMany:
		return r4.IssueTypeThrottled
	case fault.UpstreamTimeout:
		return r4.IssueTypeTimeout
	case fault.Upstream, fault.Unavailable:
		return r4.IssueTypeTransient
	case fault.Unprocessable:
		return r4.IssueTypeBusinessRule
	case fault.Internal:
	}
	return r4.IssueTypeException
}

func outcome(severity r4.IssueSeverity, code r4.IssueType, text string) ([]byte, error) {
	body, err := json.Marshal(r4.OperationOutcome{
		Issue: []r4.OperationOutcomeIssue{{Severity: severity, Code: code, Diagnostics: &text}},
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: encoding an OperationOutcome: %w", err)
	}
	return body, nil
}

// warnings go with an answer as entries of their own.
func (x *exchange) warnings() ([][]byte, error) {
	var out [][]byte
	if len(x.ignored) > 0 {
		one, err := ignoredOutcome(x.ignored)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if len(x.unasked) > 0 {
		one, err := outcome(r4.IssueSeverityWarning, r4.IssueTypeNotSupported,
			"The record system does not let these types be searched for everything, so they are not in this answer: "+strings.Join(slices.Compact(x.unasked), ", "))
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	if x.told && !x.counting() {
		one, err := suppressedOutcome()
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// ignoredOutcome is the warning that goes with a search of which parameters
// were dropped under handling=lenient. Names are the app's own words, so only
// harmless ones are repeated.
func ignoredOutcome(names []string) ([]byte, error) {
	shown := make([]string, 0, len(names))
	for _, n := range names {
		if len(n) <= 64 && strings.IndexFunc(n, func(c rune) bool { return !nameRune(c) }) < 0 {
			shown = append(shown, n)
		}
	}
	return outcome(r4.IssueSeverityWarning, r4.IssueTypeNotSupported,
		"These parameters are not known here and were not applied: "+strings.Join(shown, ", "))
}

func nameRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':'
}
