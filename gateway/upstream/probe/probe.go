// Package probe finds out what an EHR's search can do by asking it, with a test
// patient, and proposes a profile. It owns the questions and the report; what it
// reads of the patient's record it compares and forgets: nothing of it is in a
// report, a log or an error.
package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/fhir/search"
	"github.com/portico-fhir/portico/fhir/uscore"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/gateway/upstream/profiles"
	"github.com/portico-fhir/portico/gateway/upstream/quirks"
	"github.com/portico-fhir/portico/internal/fault"
)

// Options configures a run.
type Options struct {
	// Connect gives the EHR as a profile's http section has it.
	Connect func(profiles.HTTP) (upstream.Reader, error)
	Base    fhir.Base
	Set     *profiles.Set // the profiles there are
	Patient string        // the id of the test patient
	Name    string        // of the proposed profile
	// Add is what the EHR wants with every search; see profiles.Search.
	Add map[string]string
	Now func() time.Time
}

// The verdicts on one search or ability.
const (
	Works       = "works"       // as R4 says
	Synthesised = "synthesised" // Portico does it with the proposed profile
	Missing     = "missing"     // it will not work, or not find all
	Untried     = "untried"     // the test patient has nothing to try it with
)

// Finding is one thing that was tried.
type Finding struct {
	What    string `json:"what"` // constant words, types and parameters
	Verdict string `json:"verdict"`
	Note    string `json:"note,omitempty"`
}

// Report is what was found.
type Report struct {
	Server   []Finding         `json:"server"`   // about the server as a whole
	Searches []Finding         `json:"searches"` // about each search of US Core
	Nearest  string            `json:"nearest"`  // the profile that the proposal extends
	Profile  *profiles.Profile `json:"-"`
	YAML     string            `json:"profile"`
	Requests int               `json:"requests"`
}

// Missing says whether something that US Core says SHALL work will not.
func (r *Report) Missing() bool {
	return slices.ContainsFunc(slices.Concat(r.Server, r.Searches), func(f Finding) bool { return f.Verdict == Missing })
}

// maxRequests bounds what a run asks of the EHR.
const maxRequests = 5000

// run is one run.
type run struct {
	o      Options
	ctx    context.Context
	up     upstream.Reader // the EHR as it is, behind the counter
	report *Report
	found  profiles.Profile // what differs, so far
	types  map[string]profiles.Type
	known  *upstream.Capabilities // nil when the EHR states nothing

	records map[string][]*fhir.Resource // of the patient, by type, as far as they were found
	asked   atomic.Int64                // some is asked at once
}

// Run probes. An EHR that cannot be reached, or that does not have the patient,
// is an error; everything else is a finding.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Connect == nil || o.Set == nil || o.Base == (fhir.Base{}) || !fhir.ValidID(o.Patient) {
		return nil, errors.New("probe: Connect, Base, Set and the id of a Patient are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{o: o, ctx: ctx, report: &Report{}, types: map[string]profiles.Type{}, records: map[string][]*fhir.Resource{}}
	if err := r.connect(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{r.statement, r.patients, r.ways, r.links, r.owned, r.enough, r.parameters, r.shapes, r.judge} {
		if err := step(); err != nil {
			if errors.Is(err, errEnough) {
				return nil, errEnough // whatever read it at the time
			}
			return nil, err
		}
	}
	r.report.Requests = int(r.asked.Load())
	return r.report, r.propose()
}

func (r *run) note(what, verdict, format string, args ...any) {
	r.report.Server = append(r.report.Server, Finding{what, verdict, fmt.Sprintf(format, args...)})
}

// connect finds the way in which the EHR gives the patient at all.
func (r *run) connect() error {
	naive, ok := r.o.Set.Get("naive")
	if !ok {
		return errors.New("probe: the profile naive is needed")
	}
	var failed error
	for i, attempt := range []profiles.Profile{{}, {HTTP: naive.HTTP, Files: profiles.Files{Read: naive.Files.Read}}} {
		up, err := r.o.Connect(attempt.HTTP)
		if err != nil {
			return err
		}
		r.up = counted{up, r}
		reader, err := r.reader(&attempt)
		if err != nil {
			return err
		}
		_, err = readOne(r.ctx, reader, "Patient", r.o.Patient)
		if err == nil {
			r.found.HTTP, r.found.Files.Read = attempt.HTTP, attempt.Files.Read
			verdict := []string{Works, Synthesised}[i]
			r.note("read", verdict, "%s", []string{"", "as files"}[i])
			return nil
		}
		if failed == nil || fault.KindOf(failed) == fault.NotFound {
			failed = err
		}
	}
	return fmt.Errorf("the EHR does not give the test patient by its id: %w%s", failed, hint(failed))
}

func (r *run) reader(p *profiles.Profile) (upstream.Reader, error) {
	return quirks.New(quirks.Options{Upstream: r.up, Base: r.o.Base, Profile: p, Now: r.o.Now})
}

// statement reads the CapabilityStatement.
func (r *run) statement() error {
	known, err := r.up.Capabilities(r.ctx)
	if err != nil || len(known.Types) == 0 {
		r.found.Metadata = profiles.Absent
		r.note("CapabilityStatement", Synthesised, "there is none; the proposed profile takes its place")
		return nil //nolint:nilerr // a finding
	}
	r.known = known
	r.note("CapabilityStatement", Works, "FHIR %s, %d types", known.FHIRVersion, len(known.Types))
	return nil
}

// counted bounds what is asked.
type counted struct {
	up upstream.Reader
	r  *run
}

// errEnough ends a run.
var errEnough = errors.New("the EHR was asked 5,000 times, and that is the limit: take a patient with less in the record; of a server of files put each type into one list, such as Observation.json with a resource a line")

func (c counted) one() error {
	if c.r.asked.Add(1) > maxRequests {
		return fault.Wrap(errEnough, fault.Internal, "The probe has asked enough.")
	}
	return nil
}

func (c counted) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	if err := c.one(); err != nil {
		return nil, err
	}
	return c.up.Read(ctx, typ, id)
}

func (c counted) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	if err := c.one(); err != nil {
		return nil, err
	}
	return c.up.Search(ctx, typ, profiles.Search{Add: c.r.o.Add}.With(query))
}

func (c counted) Next(ctx context.Context, url string) (*upstream.Answer, error) {
	if err := c.one(); err != nil {
		return nil, err
	}
	return c.up.Next(ctx, url)
}

func (c counted) Capabilities(ctx context.Context) (*upstream.Capabilities, error) {
	return c.up.Capabilities(ctx)
}

// typesToTry are the types of US Core that a patient has resources of.
func typesToTry() []string {
	return slices.DeleteFunc(uscore.Types(), func(typ string) bool {
		_, mine := search.Lookup(typ, "patient")
		return !mine
	})
}
