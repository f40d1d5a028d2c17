package authz

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

// takeLaunch uses up the handle that an app presents; nil without one. The
// scope launch must be asked for with it (SMART App Launch 2.2, "Scopes for
// requesting context data").
func (s *Server) takeLaunch(ctx context.Context, p params, asked scope.Set, source Source, app client.Client) (*launch.Context, error) {
	secret := p.get("launch")
	switch {
	case secret == "":
		return nil, nil
	case !asked.Has(scope.Launch):
		return nil, refuse(invalidRequest, "launch needs the scope launch, which the app did not ask for or may not have.")
	case !s.launches(source):
		return nil, refuse(invalidRequest, "launch is not known, used or too old.")
	}
	h, err := s.o.Launches.UseLaunch(ctx, token.DigestOf(secret), source.ID, app.ID, s.o.Now())
	if errors.Is(err, launch.ErrUnknown) {
		return nil, refuse(invalidRequest, "launch is not known, used or too old.")
	}
	if err != nil {
		return nil, unavailable(err, "use up a launch")
	}
	return &h.Context, nil
}

// launchScopes leaves out the context scopes that this request has no context
// for: launch without a launch, launch/encounter without an encounter, of which
// nobody can choose one here.
func launchScopes(set scope.Set, said *launch.Context) scope.Set {
	set.Others = slices.DeleteFunc(slices.Clone(set.Others), func(name string) bool {
		return (name == scope.Launch && said == nil) || (name == scope.LaunchEncounter && (said == nil || said.Encounter == ""))
	})
	return set
}

// decideLaunched finds what is next in a launch from the EHR: the patient is the
// one of the launch, and the person must be allowed to open that one, by a link
// of their own or as a practitioner.
func (s *Server) decideLaunched(ctx context.Context, st step) (step, error) {
	said := st.pending.Launch
	st.next = stageNotTheirs
	may := func(p Patient) bool {
		return p.ID == said.Patient && (said.User == "" || said.User == fhirUser(p))
	}
	patients, err := s.o.Patients.For(ctx, st.person, st.source.ID)
	if err != nil {
		return step{}, unavailable(err, "find the records of a person")
	}
	i := slices.IndexFunc(patients, may)
	if i >= 0 {
		st.next, st.patient = stageConsent, patients[i]
		return st, nil
	}
	patient, ok, err := s.o.Patients.Launched(ctx, st.person, st.source.ID, said.Patient)
	if err != nil {
		return step{}, unavailable(err, "find the patient of a launch")
	}
	if ok && may(patient) {
		st.next, st.patient = stageConsent, patient
	}
	return st, nil
}

// notTheirs ends a launch that somebody else should have come with.
func (s *Server) notTheirs(w http.ResponseWriter, r *http.Request, st step) error {
	ctx := context.WithoutCancel(r.Context())
	if _, err := s.o.Pending.UsePending(ctx, st.pending.ID, s.o.Now()); err != nil {
		return usedUp(err)
	}
	event := st.event("launch-refused", "", st.scopes)
	event.Patient = st.pending.Launch.Patient
	if err := s.o.Recorder.Record(ctx, event); err != nil {
		reqctx.From(ctx).Fail(unavailable(err, "record a refused launch"))
	}
	return s.answerError(w, r, st.answer(), refuse(accessDenied, "The person who signed in may not open the patient of this launch."))
}

// contextMembers stand beside access_token after a launch from the EHR (SMART
// App Launch 2.2, "Launch context arrives with your access_token").
type contextMembers struct {
	Encounter         string            `json:"encounter,omitempty"`
	FHIRContext       []json.RawMessage `json:"fhirContext,omitempty"`
	Intent            string            `json:"intent,omitempty"`
	NeedPatientBanner *bool             `json:"need_patient_banner,omitempty"`
	StyleURL          string            `json:"smart_style_url,omitempty"`
	Tenant            string            `json:"tenant,omitempty"`
}

// grantContext gives the members as a grant keeps them. The source's own style
// is not among them: see contextOf.
func (s *Server) grantContext(st step) (string, error) {
	said := st.pending.Launch
	if said == nil {
		return "", nil
	}
	m := contextMembers{
		Encounter: said.Encounter, FHIRContext: said.FHIRContext, Intent: said.Intent,
		NeedPatientBanner: &said.NeedPatientBanner, StyleURL: said.StyleURL, Tenant: said.Tenant,
	}
	text, err := json.Marshal(m)
	return string(text), err
}

// contextOf reads what grantContext wrote and adds the source's style, unless
// the launch came with another: as it is now, since its address changes with its
// content and a grant outlives both.
func (s *Server) contextOf(g token.Grant) (contextMembers, error) {
	var m contextMembers
	if g.Context == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(g.Context), &m); err != nil {
		return m, fault.Wrap(err, fault.Internal, "The context of this launch cannot be read.")
	}
	if src, ok := s.source(g.Source); ok && m.StyleURL == "" {
		m.StyleURL = s.styleURL(src)
	}
	return m, nil
}
