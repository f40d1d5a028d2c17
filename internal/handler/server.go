package handler

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// DefaultMaxURL bounds the request target. RFC 9110 §4.1 asks for at least
// 8000 octets; FHIR clients send long searches by POST.
const DefaultMaxURL = 8192

// Options say what Wrap needs.
type Options struct {
	Next   http.Handler // the routes
	Log    *slog.Logger
	Route  func(path string) string     // normalises a path for the log; see reqctx.Router
	Error  ErrorWriter                  // for what is refused here; Plain when nil
	Addr   func(r *http.Request) string // the client's address for the log; none when nil
	HSTS   bool                         // the public URL is https
	Now    func() time.Time             // time.Now when nil
	Rand   io.Reader                    // crypto/rand when nil
	MaxURL int                          // DefaultMaxURL when 0
	// Observe, when not nil, is told of each request when it begins. What it gives
	// back is told when it has ended, before the line in the log; the context is
	// the request's from then on.
	Observe func(r *http.Request, e *reqctx.Event) (context.Context, func(status int, took time.Duration))
	// LongURL answers a URL beyond MaxURL, with status 414; false leaves it to a
	// line of text. Nil: always that.
	LongURL func(w http.ResponseWriter, r *http.Request) bool
}

// Wrap puts around the routes what every request gets, whatever it is: an id,
// safe headers, limits, a last resort for panics, and one line in the log.
func Wrap(o Options) (http.Handler, error) {
	switch {
	case o.Next == nil:
		return nil, errors.New("handler: Next is needed")
	case o.Log == nil:
		return nil, errors.New("handler: Log is needed")
	case o.Route == nil:
		return nil, errors.New("handler: Route is needed, since paths as asked must not reach the log")
	case o.MaxURL < 0:
		return nil, errors.New("handler: MaxURL must not be negative")
	}
	if o.Error == nil {
		o.Error = Plain
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.MaxURL == 0 {
		o.MaxURL = DefaultMaxURL
	}
	return &outer{o: o}, nil
}

type outer struct{ o Options }

// ServeHTTP is the first and the last that sees a request.
func (h *outer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := h.o.Now()
	rec := &recorder{ResponseWriter: w}
	id, err := reqctx.NewID(h.o.Rand)
	if err != nil {
		// Without randomness there are no tokens either; nothing may be served.
		h.o.Log.LogAttrs(r.Context(), slog.LevelError, "no random numbers", slog.String("error", err.Error()))
		http.Error(rec, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	event := reqctx.New(id, start)
	event.SetMethod(r.Method)
	event.SetRoute(h.o.Route(r.URL.Path))
	if h.o.Addr != nil {
		event.SetRemote(h.o.Addr(r))
	}
	r = r.WithContext(reqctx.With(r.Context(), event))
	h.headers(rec.Header(), id)
	ended := func(int, time.Duration) {}
	if h.o.Observe != nil {
		var ctx context.Context
		ctx, ended = h.o.Observe(r, event)
		r = r.WithContext(ctx)
	}

	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a sentinel that is panicked with, never wrapped
			v = http.ErrAbortHandler // an error writer that panics itself: nothing more can be said
			event.Fail(fault.New(fault.Internal, "panic outside a handler"))
		}
		if v != nil {
			event.SetOutcome("aborted")
		}
		end := h.o.Now()
		ended(rec.status, end.Sub(start))
		event.Log(r.Context(), h.o.Log, rec.status, rec.bytes, end)
		if v != nil {
			panic(v)
		}
	}()
	h.serve(rec, r)
}

// serve applies the limits and calls the routes. Their panics are answered
// here when no Adapt below did.
func (h *outer) serve(w *recorder, r *http.Request) {
	Adapt(func(w http.ResponseWriter, r *http.Request) error {
		if n := len(r.RequestURI); n > h.o.MaxURL {
			return errURLTooLong
		}
		h.o.Next.ServeHTTP(w, r)
		return nil
	}, func(w http.ResponseWriter, r *http.Request, err error) {
		if errors.Is(err, errURLTooLong) {
			if h.o.LongURL != nil && h.o.LongURL(w, r) {
				return
			}
			// RFC 9110 §15.5.15; no protocol error says it better than the status.
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusRequestURITooLong)
			fmt.Fprintln(w, LongURLText) //nolint:errcheck // the client is gone if this fails
			return
		}
		h.o.Error(w, r, err)
	}).ServeHTTP(w, r)
}

var errURLTooLong = fault.New(fault.TooLarge, LongURLText)

// LongURLText is what to do about a URL beyond MaxURL.
const LongURLText = "The URL is too long. Send long searches as POST to _search."

// headers sets the defaults that are safe for an API answer; pages widen the
// Content-Security-Policy for themselves.
func (h *outer) headers(header http.Header, id string) {
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	// RFC 6749 §5.1 asks it of token answers; patient data wants it as well.
	header.Set("Cache-Control", "no-store")
	if h.o.HSTS {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
