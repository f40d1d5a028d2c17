package authz

import (
	"context"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/internal/fault"
)

const formPatient = "patient"

// showPatients is the page on which a person who may act for several chooses
// one.
func (s *Server) showPatients(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if err != nil {
		return err
	}
	if !st.mayChoose() {
		seeOther(w, s.local(pathContinue, st.pending.ID))
		return nil
	}
	secureHeaders(w)
	err = s.o.Pages.ChoosePatient(w, r, ChooseView{
		Action: s.local(pathPatient, st.pending.ID), CSRF: st.formToken(formPatient),
		App: st.app.Name, Source: st.source.Name, Person: st.person.Name, Patients: st.patients,
		SignOut: s.signOut(st), ReturnTo: origin(st.pending.RedirectURI),
	})
	return unavailable(err, "draw the choose-patient page")
}

// takePatient takes the choice and goes back to the dispatcher; or the no of
// somebody who wants none of the records, or has none.
func (s *Server) takePatient(w http.ResponseWriter, r *http.Request) error {
	st, err := s.resume(r)
	if fault.KindOf(err) == fault.NotFound {
		return s.late(w, r, err)
	}
	if err != nil {
		return err
	}
	if !st.mayChoose() && st.next != stageNoRecord {
		seeOther(w, s.local(pathContinue, st.pending.ID))
		return nil
	}
	fields, err := s.formOf(w, r, st, formPatient)
	if err != nil {
		return err
	}
	if only(fields, "decision") == "deny" {
		return s.leave(w, r, st, fields)
	}
	chosen := only(fields, "patient")
	// Only one of those shown: the form is text from outside.
	if chosen == "" || !slices.ContainsFunc(st.patients, func(p Patient) bool { return p.ID == chosen }) {
		return forged()
	}
	if err := s.choose(r.Context(), st.pending.ID, chosen); err != nil {
		return err
	}
	seeOther(w, s.local(pathContinue, st.pending.ID))
	return nil
}

// leave goes back to the app with a no before anything was decided.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, st step, fields []field) error {
	return s.once(w, r, st, fields, func(ctx context.Context) error {
		if _, err := s.o.Pending.UsePending(ctx, st.pending.ID, s.o.Now()); err != nil {
			return usedUp(err)
		}
		return s.deny(ctx, w, r, st)
	})
}

// mayChoose is true as long as nothing was agreed to: a person may come back
// and choose another.
func (st step) mayChoose() bool {
	return st.next == stageChoose || (st.next == stageConsent && len(st.patients) > 1)
}
