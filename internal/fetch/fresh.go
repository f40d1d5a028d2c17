package fetch

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// freshness reads how long an answer may be kept (RFC 9111 §4.2, §5.2.2, §5.3)
// and whether the server said anything about it. What cannot be read counts as
// not fresh, as RFC 9111 §4.2.1 advises.
func freshness(h http.Header, now time.Time) (time.Duration, bool) {
	keep, said := cacheControl(h.Values("Cache-Control"))
	if !said {
		if keep, said = expires(h, now); !said {
			return 0, false
		}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		keep -= time.Duration(age) * time.Second
	}
	return max(keep, 0), true
}

// cacheControl gives the shortest time that a directive names.
func cacheControl(values []string) (time.Duration, bool) {
	var keep time.Duration
	said := false
	for directive := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return 0, true
			}
			if d := time.Duration(seconds) * time.Second; !said || d < keep {
				keep = d
			}
			said = true
		}
	}
	return keep, said
}

// expires counts from the server's own clock where it tells it.
func expires(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Expires")
	if text == "" {
		return 0, false
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, true // "0" and the like mean: already over
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return at.Sub(now), true
}
