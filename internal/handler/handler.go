// Package handler owns what every HTTP handler of Portico has in common: it may
// return an error, its panics are caught, its request has an id and leaves one
// line in the log. It must not know any protocol: how an error looks is decided
// by the writer that the caller passes in.
package handler

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// Func is a handler that returns its error instead of writing it.
type Func func(w http.ResponseWriter, r *http.Request) error

// ErrorWriter answers an error in one protocol: an OperationOutcome, an OAuth
// error or a page. It is called only while nothing has been written.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, err error)

// Adapt makes an http.Handler of f. An error or a panic of f goes to write, and
// its kind and scrubbed text into the request's log event. When the answer had
// already begun, the connection is broken instead: a client must never take
// half an answer for a whole one.
func Adapt(f Func, write ErrorWriter) http.Handler {
	if f == nil || write == nil {
		panic("handler.Adapt: a handler and an error writer are needed") // a defect of the wiring, met at start
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := record(w)
		err := call(f, rec, r)
		if err == nil {
			return
		}
		event := reqctx.From(r.Context())
		event.Fail(err)
		if rec.begun() {
			event.SetOutcome("aborted")
			panic(http.ErrAbortHandler)
		}
		// What the handler said of the answer it meant to give is not true of the
		// error; http.Error clears the same.
		for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Range", "Etag", "Last-Modified"} {
			rec.Header().Del(name)
		}
		write(rec, r, err)
	})
}

// Panic is what a handler's panic becomes. Its text names the type of the
// value alone for anything but errors, since a value could hold data of the
// request.
type Panic struct {
	Value any
	stack string
}

// StackTrace is for the log event. Go prints arguments in stacks as words of
// memory, not as text.
func (p *Panic) StackTrace() string { return p.stack }

// Error names what panicked without printing arbitrary values.
func (p *Panic) Error() string {
	if err, ok := p.Value.(error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic of type %T", p.Value)
}

// Unwrap gives the error that was thrown, if it was one.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// call runs f and turns a panic into an error of kind Internal.
// http.ErrAbortHandler is how net/http breaks a connection on purpose and goes
// on its way.
func call(f Func, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err = &fault.Error{
				Kind:   fault.Internal,
				Public: "Something went wrong on this server.",
				Err:    &Panic{Value: v, stack: string(debug.Stack())},
			}
		}
	}()
	return f(w, r)
}

// Plain is an ErrorWriter for where no protocol applies: the status by kind and
// one line of text.
func Plain(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	text := fault.PublicOf(err)
	if text == "" || fault.KindOf(err) == fault.Internal {
		text = http.StatusText(status)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintln(w, text) //nolint:errcheck // the client is gone if this fails
	}
}

// Status gives the HTTP status for an error's kind (RFC 9110 §15); a kind that
// is not in the table is 500 and says nothing.
func Status(err error) int {
	switch fault.KindOf(err) {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case fault.NotAcceptable:
		return http.StatusNotAcceptable
	case fault.UnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case fault.Conflict:
		return http.StatusConflict
	case fault.Precondition:
		return http.StatusPreconditionFailed
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Unsupported:
		return http.StatusNotImplemented
	case fault.TooMany:
		return http.StatusTooManyRequests
	case fault.Upstream:
		return http.StatusBadGateway
	case fault.UpstreamTimeout:
		return http.StatusGatewayTimeout
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Unprocessable:
		return http.StatusUnprocessableEntity
	default:
		return http.StatusInternalServerError
	}
}
