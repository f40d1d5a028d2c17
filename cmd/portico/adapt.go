package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/pages"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/authz"
)

// Each type here makes one package's part fit where another package states what
// it needs; none decides anything.

// What is read of an EHR to find out who somebody is.
const (
	maxLooked      = 8 << 20 // bytes of one resource
	maxLookedPages = 5       // of one search
)

const unusable = "The record system gave an unusable answer."

// lookup is enroll.Lookup over the upstreams.
type lookup struct{ upstreams map[string]upstream.Reader }

var _ enroll.Lookup = lookup{}

func (l lookup) at(source string) (upstream.Reader, error) {
	u, ok := l.upstreams[source]
	if !ok {
		return nil, fault.New(fault.Internal, "There is no such source.")
	}
	return u, nil
}

// Read implements enroll.Lookup.
func (l lookup) Read(ctx context.Context, source, typ, id string) ([]byte, error) {
	u, err := l.at(source)
	if err != nil {
		return nil, err
	}
	answer, err := u.Read(ctx, typ, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxLooked+1))
	if err != nil || len(raw) > maxLooked {
		return nil, fault.Wrap(errors.New("portico: reading a person's resource failed"), fault.Upstream, unusable)
	}
	return raw, nil
}

// Search implements enroll.Lookup. It reads on until there are two hits or no
// more pages: who is meant must be certain, and the second could stand there.
func (l lookup) Search(ctx context.Context, source, typ, query string) ([][]byte, error) {
	u, err := l.at(source)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	answer, err := u.Search(ctx, typ, query)
	for page := 1; err == nil; page++ {
		var next string
		if out, next, err = readPage(answer, out); err != nil || next == "" || len(out) > 1 {
			return out, err
		}
		if page == maxLookedPages {
			return nil, fault.Wrap(errors.New("portico: a search for a person has too many pages"), fault.Upstream, unusable)
		}
		answer, err = u.Next(ctx, next)
	}
	return nil, err
}

// readPage adds the resources of a searchset to found and says where the next
// page is.
func readPage(answer *upstream.Answer, found [][]byte) (all [][]byte, next string, err error) {
	defer func() { _ = answer.Body.Close() }()
	reader := fhir.NewBundleReader(answer.Body, maxLooked)
	for {
		entry, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return found, reader.NextLink(), nil
		case err != nil:
			return nil, "", fault.Wrap(err, fault.Upstream, unusable)
		case entry.Mode == "outcome":
		case entry.Resource == nil:
			// One entry that cannot be read could be the second hit.
			return nil, "", fault.Wrap(errors.New("portico: an entry cannot be read"), fault.Upstream, unusable)
		case entry.Resource.Type() == "OperationOutcome": // remarks without a mode
		default:
			found = append(found, entry.Resource.Bytes())
		}
	}
}

// patients is authz.Patients over the links of enrolment.
type patients struct{ links *enroll.Resolver }

var _ authz.Patients = patients{}

// For implements authz.Patients.
func (p patients) For(ctx context.Context, person authz.Person, source string) ([]authz.Patient, error) {
	links, err := p.links.Links(ctx, enroll.Person{Issuer: person.Issuer, Subject: person.Subject}, source)
	if err != nil {
		return nil, err
	}
	out := make([]authz.Patient, 0, len(links))
	for _, l := range links {
		out = append(out, authz.Patient{ID: l.Patient, Label: l.Label, Self: l.Relationship == enroll.Self, FHIRUser: l.FHIRUser, Until: l.Until})
	}
	return out, nil
}

// Launched implements authz.Patients.
func (p patients) Launched(ctx context.Context, person authz.Person, source, patient string) (authz.Patient, bool, error) {
	l, err := p.links.Launched(ctx, enroll.Person{Issuer: person.Issuer, Subject: person.Subject}, source, patient)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return authz.Patient{}, false, nil
	case err != nil:
		return authz.Patient{}, false, err
	}
	return authz.Patient{ID: l.Patient, Label: l.Label, FHIRUser: l.FHIRUser, Until: l.Until}, true, nil
}

// decisions writes what people decide at the authorization server into the audit.
type decisions struct {
	sink audit.Sink
	now  func() time.Time
}

var _ authz.Recorder = decisions{}

// Record implements authz.Recorder.
func (d decisions) Record(ctx context.Context, e authz.Event) error {
	id, err := reqctx.NewID(rand.Reader)
	if err != nil {
		return fmt.Errorf("portico: event id: %w", err)
	}
	return d.sink.Record(ctx, audit.Event{
		ID: id, Time: d.now(), RequestID: reqctx.ID(ctx), Source: e.Source, Client: e.Client,
		PersonIss: e.Person.Issuer, PersonSub: e.Person.Subject, Patient: e.Patient, Grant: e.Grant,
		Interaction: e.What, Scopes: e.Scopes, Outcome: audit.Decided, Status: http.StatusOK,
	})
}

// signOutPage draws the page about signing out.
func signOutPage(drawn *pages.Pages) login.SignOutPage {
	return func(w http.ResponseWriter, r *http.Request, v login.SignOutView) error {
		return drawn.SignOut(w, r, pages.SignOutView(v))
	}
}

// signInProblem draws what went wrong at sign-in on Portico's own error page.
func signInProblem(drawn *pages.Pages) login.ProblemPage {
	return login.ProblemFunc(func(w http.ResponseWriter, r *http.Request, f login.Failure) error {
		return drawn.Problem(w, r, authz.ProblemView{Status: f.Status, Title: f.Title, Detail: f.Detail, RequestID: reqctx.ID(r.Context()), Retry: f.Retry, Back: f.Leave, SomebodyElse: f.SomebodyElse})
	})
}
