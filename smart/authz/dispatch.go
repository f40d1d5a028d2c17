package authz

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// step is a pending request with all that is known about it now.
type step struct {
	pending  Pending
	secret   string // of the browser
	app      client.Client
	source   Source
	scopes   scope.Set
	person   Person
	patients []Patient
	patient  Patient // the chosen one; its ID is "" until then

	next stage
}

// stage is what a pending request needs next.
type stage uint8

const (
	stageSignIn stage = iota
	stageNoRecord
	stageChoose
	stageConsent
	stageNotTheirs // a launch for somebody else
)

// serveContinue is the dispatcher: every page, and the sign-in, comes back to
// it, and it alone decides what is next, from stored state.
func (s *Server) serveContinue(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if err != nil {
		return err
	}
	switch st.next {
	case stageSignIn:
		return s.signIn(w, r, st)
	case stageNoRecord:
		return s.noRecord(st)
	case stageNotTheirs:
		return s.notTheirs(w, r, st)
	case stageChoose:
		seeOther(w, s.local(pathPatient, st.pending.ID))
	case stageConsent:
		said, known, err := s.remembered(r.Context(), st)
		if err != nil {
			return err
		}
		if known {
			return s.repeat(w, r, st, said)
		}
		seeOther(w, s.local(pathConsent, st.pending.ID))
	}
	return nil
}

// signIn sends the person to the identity provider, once: when they come back
// and are still not signed in, or not freshly enough, another round would not
// help.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, st step) error {
	back := s.local(pathContinue, st.pending.ID) + "&" + paramAfterSignIn + "=" + valueAfterSignIn
	switch r.URL.Query().Get(paramAfterSignIn) {
	case valueAfterSignIn:
	case valueGaveUp:
		// A link is enough: a no gives nothing away.
		if _, err := s.o.Pending.UsePending(r.Context(), st.pending.ID, s.o.Now()); err != nil {
			return usedUp(err)
		}
		return s.answerError(w, r, st.answer(), refuse(accessDenied, "The person did not sign in."))
	default:
		secureHeaders(w)
		q := st.signInRequest(back)
		q.Leave = s.local(pathContinue, st.pending.ID) + "&" + paramAfterSignIn + "=" + valueGaveUp
		// Who signed out to make room for somebody else must be asked who they
		// are, also by a provider that would still know them. Anybody may write
		// such a link: it can only ask for more.
		if r.URL.Query().Get(paramSomebodyElse) == valueSomebodyElse {
			q.Login, q.LoginHint = true, ""
		}
		if err := s.o.SignIn.Start(w, r, q); err != nil {
			return unavailable(err, "start the sign-in")
		}
		return nil
	}
	if st.person.Subject == "" {
		return &problem{kind: fault.Forbidden, title: "You are not signed in",
			detail: "You came back from signing in, but this browser does not know you. Please switch on cookies for this site, go back to the app and start again."}
	}
	// OpenID Connect Core 1.0 §3.1.2.1: when the person cannot be made to sign
	// in again, prompt=login and max_age are answered with an error.
	if _, err := s.o.Pending.UsePending(r.Context(), st.pending.ID, s.o.Now()); err != nil {
		return usedUp(err)
	}
	if !st.assured() {
		// OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
		return s.answerError(w, r, st.answer(), refuse(unmetAuthentication, "The person did not sign in as securely as this needs."))
	}
	return s.answerError(w, r, st.answer(), refuse(loginRequired, "The person did not sign in again."))
}

func (st step) answer() answer {
	return answer{redirectURI: st.pending.RedirectURI, state: st.pending.State}
}

// signOut is where a person comes back to who signs out in the middle of a
// request: to sign in for it as somebody else.
func (s *Server) signOut(st step) string {
	return s.local(pathContinue, st.pending.ID) + "&" + paramSomebodyElse + "=" + valueSomebodyElse
}

// noRecord is the end for a person without a record: they can sign in as
// somebody else, or go back to the app with a no.
func (s *Server) noRecord(st step) error {
	return &problem{
		kind: fault.Forbidden, title: "We found no record for you",
		detail: "You are signed in, but there is no health record here that you may open. Nothing was shared with the app. Please ask " + st.source.Name + " for help.",
		person: st.person.Name, signOut: s.signOut(st),
		leave: &LeaveView{
			Action: s.local(pathPatient, st.pending.ID), CSRF: st.formToken(formPatient),
			App: st.app.Name, ReturnTo: origin(st.pending.RedirectURI),
		},
	}
}

// resume loads the request that r is about and finds what it needs next. Every
// page begins with it, so none can be reached out of turn.
func (s *Server) resume(r *http.Request) (step, error) {
	ctx := r.Context()
	id := r.URL.Query().Get(paramRequest)
	p, err := s.o.Pending.Pending(ctx, id, s.o.Now())
	if err != nil {
		return step{}, usedUp(err)
	}
	st := step{pending: p}
	var ok bool
	if st.secret, ok = s.sameBrowser(r, p); !ok {
		return step{}, anotherBrowser()
	}
	if st.app, err = s.stillGood(ctx, p); err != nil {
		return step{}, err
	}
	if st.source, ok = s.source(p.Source); !ok {
		return step{}, gone()
	}
	if st.scopes, err = scope.Parse(p.Scopes); err != nil {
		return step{}, err
	}
	event := reqctx.From(ctx)
	event.SetClient(st.app.ID)
	event.SetSource(st.source.ID)
	return s.decide(r, st)
}

// stillGood finds the client again: it may have been suspended, or have lost
// the redirect URI, while the person was reading.
func (s *Server) stillGood(ctx context.Context, p Pending) (client.Client, error) {
	app, err := s.o.Clients.Client(ctx, p.Client)
	if err != nil && !errors.Is(err, client.ErrUnknown) {
		return client.Client{}, unavailable(err, "look up a client")
	}
	if err != nil || !app.AllowsRedirect(p.RedirectURI) || !app.AllowsSource(p.Source) {
		return client.Client{}, gone()
	}
	return app, nil
}

// decide finds what is next.
func (s *Server) decide(r *http.Request, st step) (step, error) {
	ctx := r.Context()
	person, ok := s.o.SignIn.Current(r, st.source.ID)
	if !ok || person.Subject == "" {
		return st, nil // stageSignIn
	}
	st.person = person
	if !st.satisfied() {
		return st, nil
	}
	if st.pending.Launch != nil {
		return s.decideLaunched(ctx, st)
	}
	patients, err := s.o.Patients.For(ctx, person, st.source.ID)
	if err != nil {
		return step{}, unavailable(err, "find the records of a person")
	}
	st.patients = patients
	// The choice counts only while it is this person's to make: the session may
	// have changed since.
	chosen := func(p Patient) bool { return p.ID != "" && p.ID == st.pending.Patient }
	switch i := slices.IndexFunc(patients, chosen); {
	case len(patients) == 0:
		st.next = stageNoRecord
	case i >= 0:
		st.next, st.patient = stageConsent, patients[i]
	case len(patients) == 1 && patients[0].ID != "":
		if err := s.choose(ctx, st.pending.ID, patients[0].ID); err != nil {
			return step{}, err
		}
		st.next, st.patient = stageConsent, patients[0]
	default:
		st.next = stageChoose
	}
	return st, nil
}

func (s *Server) choose(ctx context.Context, request, patient string) error {
	err := s.o.Pending.ChoosePatient(ctx, request, patient)
	if err != nil {
		return usedUp(err)
	}
	return nil
}

// usedUp is what a store's error about a pending request means to a person.
func usedUp(err error) error {
	if errors.Is(err, token.ErrNotFound) {
		return gone()
	}
	return unavailable(err, "look up an authorization request")
}

// formOf reads a page's form and proves that it was drawn for st.
func (s *Server) formOf(w http.ResponseWriter, r *http.Request, st step, form string) ([]field, error) {
	fields, err := readFields(w, r)
	if err != nil {
		return nil, err
	}
	if !goodToken(st.formToken(form), only(fields, "csrf")) {
		return nil, forged()
	}
	return fields, nil
}

func readFields(w http.ResponseWriter, r *http.Request) ([]field, error) {
	body, err := readForm(w, r)
	if err != nil {
		return nil, unreadable(err)
	}
	fields, err := parseFields(body)
	if err != nil {
		return nil, unreadable(err)
	}
	return fields, nil
}

// formToken is what a form carries to prove that it was drawn here, for this
// browser, this request and exactly what the page said: the person and the
// patient. If either has changed since, the form is worth nothing.
func (st step) formToken(form string) string {
	return keyed(st.secret, "portico form 1", form, st.pending.ID, st.person.Issuer, st.person.Subject, st.patient.ID)
}
