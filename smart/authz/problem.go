package authz

import (
	"errors"
	"net/http"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
)

// problem is an error that a person sees, since it must not go to the app
// (RFC 6749 §4.1.2.1) or there is no app to send it to.
type problem struct {
	kind          fault.Kind
	title, detail string
	err           error

	person, signOut string     // who is signed in, and where signing out leads back to
	leave           *LeaveView // nil: there is no app to go back to
}

func (p *problem) Error() string {
	if p.err == nil {
		return p.title
	}
	return p.title + ": " + p.err.Error()
}

// Unwrap classifies the problem for the status and the log.
func (p *problem) Unwrap() error {
	return &fault.Error{Kind: p.kind, Public: p.title, Err: p.err}
}

// The problems that come up in more than one place.
func gone() error {
	return &problem{kind: fault.NotFound, title: "This request is over",
		detail: "It was answered already, or too much time has passed. Please go back to the app and start again."}
}

func alreadyAnswered() error {
	return &problem{kind: fault.Conflict, title: "You have answered already",
		detail: "Your answer was taken and sent to the app. You can close this page and go back to the app."}
}

func anotherBrowser() error {
	return &problem{kind: fault.Forbidden, title: "This request was started in another browser",
		detail: "For your safety it can only be finished where it was started, with cookies switched on. If somebody sent you this link, do not use it. Otherwise please go back to the app and start again."}
}

func forged() error {
	return &problem{kind: fault.Forbidden, title: "This form cannot be accepted",
		detail: "It is too old, or it did not come from this page. Please go back to the app and start again."}
}

func unreadable(err error) error {
	return &problem{kind: fault.Invalid, title: "This request cannot be understood", err: err,
		detail: "The app sent you here with a request that is broken. Please tell the makers of the app."}
}

// notInUse is an app that is registered and may not be used: it waits for
// approval, or was stopped.
func notInUse(err error) error {
	if errors.Is(err, client.ErrSuspended) {
		return &problem{kind: fault.Forbidden, err: err, title: "This app has been stopped here",
			detail: "The health system does not let it be used at the moment. Nothing was shared with it."}
	}
	return &problem{kind: fault.Forbidden, err: err, title: "This app is not approved yet",
		detail: "It is registered, and waits until the health system has looked at it. Nothing was shared with it."}
}

// writeProblem is the one writer of errors for people.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	view := ProblemView{
		Status: handler.Status(err), RequestID: reqctx.ID(r.Context()),
		Title: "Something went wrong", Detail: "This is not your fault. Please try again in a few minutes.",
	}
	var p *problem
	if errors.As(err, &p) {
		view.Title, view.Detail = p.title, p.detail
		view.Person, view.SignOut, view.Leave = p.person, p.signOut, p.leave
	}
	secureHeaders(w)
	if err := s.o.Pages.Problem(w, r, view); err != nil {
		reqctx.From(r.Context()).Fail(err)
		handler.Plain(w, r, err)
	}
}

// secureHeaders are on every answer to a browser; pages add theirs. A page in a
// frame could be clicked unseen (RFC 9700 §4.16), a Referer would carry the
// request's id.
func secureHeaders(w http.ResponseWriter) {
	noStore(w)
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// seeOther redirects with 303, so that a form is never posted on (RFC 9700
// §4.12).
func seeOther(w http.ResponseWriter, location string) {
	secureHeaders(w)
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}
