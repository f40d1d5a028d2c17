package handler

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bearer gives the bearer token of a request (RFC 6750 §2.1); ok is false when
// there is no Authorization header, more than one, or one of another scheme. It
// is not held to the syntax of a token: credentials that operators choose may
// have blanks.
func Bearer(r *http.Request) (token string, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}

// SetRetryAfter says when to try again, in whole seconds and never too early
// (RFC 9110 §10.2.3).
func SetRetryAfter(header http.Header, wait time.Duration) {
	header.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
}
