package handler

import (
	"net/http"
	"time"
)

// RetryShed is when those who found no room should come again.
const RetryShed = time.Second

// Shedding says how many requests are served at once.
type Shedding struct {
	Next   http.Handler
	Most   int                                                          // at least 1
	Exempt func(r *http.Request) bool                                   // is always served, such as health checks
	Refuse func(http.ResponseWriter, *http.Request, time.Duration) bool // answers one too many, with 503; false leaves it to a line of text
}

// Shed refuses what is beyond Most at once instead of letting everybody wait: those
// within are served as fast as before, and nothing piles up.
func Shed(s Shedding) http.Handler {
	if s.Next == nil || s.Most < 1 {
		panic("handler.Shed: a handler and a limit are needed") // a defect of the wiring, met at start
	}
	places := make(chan struct{}, s.Most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Exempt != nil && s.Exempt(r) {
			s.Next.ServeHTTP(w, r)
			return
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			s.Next.ServeHTTP(w, r)
		default:
			if s.Refuse != nil && s.Refuse(w, r, RetryShed) {
				return
			}
			SetRetryAfter(w.Header(), RetryShed)
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		}
	})
}
