package fetch

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter reads when a server wants to be asked again (RFC 9110 §10.2.3):
// seconds, or a date; 0 when it says nothing that can be read. How much of it is
// believed is the caller's to say.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// LastModified reads when what was answered was changed last (RFC 9110 §8.8.2),
// the zero time when the server does not say.
func LastModified(h http.Header) time.Time {
	at, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return at
}
