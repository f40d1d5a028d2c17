package authz

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

const formConsent = "consent"

// showConsent is the page that says who asks for what.
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if err != nil {
		return err
	}
	if st.next != stageConsent {
		seeOther(w, s.local(pathContinue, st.pending.ID))
		return nil
	}
	return s.drawConsent(w, r, st, false)
}

func (s *Server) drawConsent(w http.ResponseWriter, r *http.Request, st step, nothingChosen bool) error {
	secureHeaders(w)
	err := s.o.Pages.Consent(w, r, ConsentView{
		Action: s.local(pathConsent, st.pending.ID), CSRF: st.formToken(formConsent),
		App: st.app.Name, AppOwner: st.app.Owner, AppURL: st.app.URL,
		Source: st.source.Name, Person: st.person.Name, Patient: st.patient,
		Scopes: scopeViews(st.scopes), Until: s.grantEnd(s.o.Now()), ReturnTo: origin(st.pending.RedirectURI),
		NothingChosen: nothingChosen,
	})
	return unavailable(err, "draw the consent page")
}

func scopeViews(set scope.Set) []ScopeView {
	var out []ScopeView
	for _, name := range set.Others {
		out = append(out, ScopeView{Value: name, Required: true})
	}
	for _, r := range set.Resources {
		out = append(out, ScopeView{
			Value: r.String(), Type: r.Type,
			Read: r.Access&scope.ReadSearch != 0, Write: r.Access&scope.Write != 0,
		})
	}
	return out
}

// takeConsent takes the decision.
func (s *Server) takeConsent(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if err != nil {
		return err
	}
	if st.next != stageConsent {
		seeOther(w, s.local(pathContinue, st.pending.ID))
		return nil
	}
	fields, err := s.formOf(w, r, st, formConsent)
	if err != nil {
		return err
	}
	agreed, yes, err := decision(st.scopes, fields)
	if err != nil {
		return err
	}
	if yes && len(agreed.Resources) == 0 && len(st.scopes.Resources) > 0 {
		// A yes to nothing is a mistake more often than a no: nothing is
		// granted, and the person is asked again.
		return s.drawConsent(w, r, st, true)
	}
	// From here the request can be finished once; and since the person has
	// decided, their browser going away changes nothing.
	ctx := context.WithoutCancel(r.Context())
	used, err := s.o.Pending.UsePending(ctx, st.pending.ID, s.o.Now())
	if err != nil {
		return usedUp(err)
	}
	if used.Patient != st.patient.ID {
		return gone() // another tab chose another patient meanwhile
	}
	if !yes {
		return s.deny(ctx, w, r, st)
	}
	return s.allow(ctx, w, r, st, agreed)
}

// decision reads the form: the scopes agreed to and whether there is a yes at
// all.
func decision(asked scope.Set, fields []field) (scope.Set, bool, error) {
	switch only(fields, "decision") {
	case "deny":
		return scope.Set{}, false, nil
	case "allow":
	default:
		return scope.Set{}, false, forged()
	}
	ticked := all(fields, "scope")
	agreed := scope.Set{Others: asked.Others}
	for _, r := range asked.Resources {
		if slices.Contains(ticked, r.String()) {
			agreed.Resources = append(agreed.Resources, r)
		}
	}
	// The form can only take away. What the page did not offer was put there by
	// somebody else.
	for _, value := range ticked {
		offered := asked.Has(value) || slices.ContainsFunc(asked.Resources, func(r scope.Resource) bool { return r.String() == value })
		if !offered {
			return scope.Set{}, false, forged()
		}
	}
	return agreed, true, nil
}

func (s *Server) deny(ctx context.Context, w http.ResponseWriter, r *http.Request, st step) error {
	// Nothing is given away by a no, so it stands even when it cannot be
	// recorded.
	if err := s.o.Recorder.Record(ctx, st.event("denied", "", st.scopes)); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "record a refusal"))
	}
	return s.answerError(w, r, st.answer(), refuse(accessDenied, "The person said no."))
}

// allow makes the grant and its code.
func (s *Server) allow(ctx context.Context, w http.ResponseWriter, r *http.Request, st step, agreed scope.Set) error {
	now := s.o.Now()
	user := fhirUser(st.patient)
	if user == "" { // nothing could be said, so nothing is promised
		agreed.Others = slices.DeleteFunc(slices.Clone(agreed.Others), func(name string) bool {
			return name == scope.FHIRUser || name == scope.Profile
		})
	}
	id, _ := token.NewSecret(s.o.Rand)
	code, digest := token.NewSecret(s.o.Rand)
	grant := token.Grant{
		ID: id, Client: st.app.ID, Source: st.source.ID, Patient: st.patient.ID,
		PersonIssuer: st.person.Issuer, PersonSubject: st.person.Subject, FHIRUser: user,
		Scopes: agreed.String(), AuthTime: st.person.AuthTime, Created: now, Expires: s.grantEnd(now),
	}
	// Recorded first: a grant that nobody can account for must not exist.
	if err := s.o.Recorder.Record(ctx, st.event("granted", id, agreed)); err != nil {
		return s.answerError(w, r, st.answer(), unavailable(err, "record a decision"))
	}
	err := s.o.Tokens.CreateGrant(ctx, grant, token.Code{
		Digest: digest, RedirectURI: st.pending.RedirectURI, Challenge: st.pending.Challenge,
		Nonce: st.pending.Nonce, Expires: now.Add(codeTTL),
	})
	if err != nil {
		return s.answerError(w, r, st.answer(), unavailable(err, "keep a grant"))
	}
	reqctx.From(ctx).SetOutcome("granted")
	s.redirect(w, st.answer(), "code", code)
	return nil
}

// grantEnd is when a grant made at now ends: without a refresh token nobody can
// use it after its access token.
func (s *Server) grantEnd(now time.Time) time.Time {
	return now.Add(min(s.o.GrantTTL, codeTTL+s.o.AccessTTL))
}

// fhirUser is who the person is in the FHIR sense; about themselves, the
// patient.
func fhirUser(p Patient) string {
	if p.FHIRUser == "" && p.Self {
		return "Patient/" + p.ID
	}
	return p.FHIRUser
}

func (st step) event(what, grant string, scopes scope.Set) Event {
	return Event{
		What: what, Client: st.app.ID, Source: st.source.ID, Person: st.person,
		Patient: st.patient.ID, Grant: grant, Scopes: scopes.String(),
	}
}
