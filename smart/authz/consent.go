package authz

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
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

// drawConsent draws the page; again when a yes came with nothing ticked.
func (s *Server) drawConsent(w http.ResponseWriter, r *http.Request, st step, again bool) error {
	now, lasts := s.o.Now(), s.lifetimesAt(st)
	views := s.offerOf(st.scopes).views(st.scopes.Others)
	s.count(r.Context(), st, views)
	secureHeaders(w)
	err := s.o.Pages.Consent(w, r, ConsentView{
		Action: s.local(pathConsent, st.pending.ID), CSRF: st.formToken(formConsent),
		App: st.app.Name, AppOwner: st.app.Owner, AppURL: st.app.URL,
		Source: st.source.Name, Person: st.person.Name, Patient: st.patient,
		Scopes: views, Asked: strings.Fields(st.pending.Scopes), Until: lasts.shownEnd(now, st.scopes), Ends: lasts.ends(now, st.scopes),
		ReturnTo: origin(st.pending.RedirectURI), SignOut: s.signOut(st), NothingChosen: again,
	})
	return unavailable(err, "draw the consent page")
}

// takeConsent takes the decision.
func (s *Server) takeConsent(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if fault.KindOf(err) == fault.NotFound {
		return s.late(w, r, err)
	}
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
	said, err := s.decision(st, fields)
	if err != nil {
		return err
	}
	if said.nothing {
		return s.drawConsent(w, r, st, true) // a yes to nothing: the person is asked what they meant
	}
	return s.once(w, r, st, fields, func(ctx context.Context) error {
		used, err := s.o.Pending.UsePending(ctx, st.pending.ID, s.o.Now())
		if err != nil {
			return usedUp(err)
		}
		if used.Patient != st.patient.ID {
			return gone() // another tab chose another patient meanwhile
		}
		if !said.yes {
			return s.deny(ctx, w, r, st)
		}
		return s.allow(ctx, w, r, st, said)
	})
}

// verdict is what a person said.
type verdict struct {
	yes     bool
	nothing bool // a yes with every box unticked
	agreed  scope.Set
	until   time.Time // zero: as long as the scopes last
}

// decision reads the form.
func (s *Server) decision(st step, fields []field) (verdict, error) {
	switch only(fields, "decision") {
	case "deny":
		return verdict{}, nil
	case "allow":
	default:
		return verdict{}, forged()
	}
	said := ticked{scopes: all(fields, "scope"), parts: all(fields, "part")}
	offered := s.offerOf(st.scopes)
	if !offered.offers(said, st.scopes.Others) {
		return verdict{}, forged()
	}
	v := verdict{yes: true}
	for _, name := range st.scopes.Others {
		if !optional(name) || slices.Contains(said.scopes, name) {
			v.agreed.Others = append(v.agreed.Others, name)
		}
	}
	v.agreed.Resources = offered.resources(said)
	v.nothing = len(v.agreed.Resources) == 0 && len(st.scopes.Resources) > 0
	var err error
	v.until, err = s.lifetimesAt(st).chosenEnd(s.o.Now(), fields, st.scopes)
	return v, err
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
func (s *Server) allow(ctx context.Context, w http.ResponseWriter, r *http.Request, st step, said verdict) error {
	now := s.o.Now()
	agreed := said.agreed
	user := fhirUser(st.patient)
	if user == "" { // nothing could be said, so nothing is promised
		agreed.Others = slices.DeleteFunc(slices.Clone(agreed.Others), func(name string) bool {
			return name == scope.FHIRUser || name == scope.Profile
		})
	}
	launched, err := s.grantContext(st)
	if err != nil {
		return s.answerError(w, r, st.answer(), err)
	}
	id, _ := token.NewSecret(s.o.Rand)
	code, digest := token.NewSecret(s.o.Rand)
	grant := token.Grant{
		ID: id, Client: st.app.ID, Source: st.source.ID, Patient: st.patient.ID,
		PersonIssuer: st.person.Issuer, PersonSubject: st.person.Subject, FHIRUser: user, Context: launched,
		Scopes: agreed.String(), AuthTime: st.person.AuthTime, Created: now, Expires: s.lifetimesAt(st).grantEnd(now, agreed, said.until),
	}
	// Recorded first: a grant that nobody can account for must not exist.
	if err := s.o.Recorder.Record(ctx, st.event("granted", id, agreed)); err != nil {
		return s.answerError(w, r, st.answer(), unavailable(err, "record a decision"))
	}
	err = s.o.Tokens.CreateGrant(ctx, grant, token.Code{
		Digest: digest, RedirectURI: st.pending.RedirectURI, Challenge: st.pending.Challenge,
		Nonce: st.pending.Nonce, Expires: now.Add(codeTTL),
	})
	if err != nil {
		return s.answerError(w, r, st.answer(), unavailable(err, "keep a grant"))
	}
	s.remember(ctx, st, grant)
	reqctx.From(ctx).SetOutcome("granted")
	s.redirect(w, st.answer(), "code", code)
	return nil
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
