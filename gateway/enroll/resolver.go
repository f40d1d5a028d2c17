package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/fhir"
	"github.com/portico-fhir/portico/internal/fault"
)

// Rule says from which claim the people of a source are known.
type Rule uint8

const (
	// FHIRUser reads references to the person at the EHR: "Patient/x" is the
	// person, "RelatedPerson/y" acts for the patient that the EHR names in it.
	// References are relative or absolute on the source's own base.
	FHIRUser Rule = iota + 1
	// PatientID reads Patient ids. Alone, one id is the person, and several
	// mean nobody, since nothing says which of them is the person and by what
	// right the others are named. With the claim fhirUser beside it, the ids
	// only narrow what FHIRUser gives.
	PatientID
	// Identifier reads one value that exactly one Patient at the EHR must have
	// as an identifier of the configured system.
	Identifier
)

// SourceRule is the rule of one source.
type SourceRule struct {
	Rule   Rule
	Claim  string // name of the claim; "" is fhirUser for FHIRUser and patient for PatientID
	System string // Identifier: Identifier.system
	Base   string // FHIR base of the upstream, against which references are resolved
}

// Lookup fetches from the EHR of a source. A missing resource is a fault of
// kind NotFound; an EHR that fails is Upstream, UpstreamTimeout or Unavailable.
type Lookup interface {
	Read(ctx context.Context, source, typ, id string) ([]byte, error)
	// Search gives what is found, all of it unless there is more than one, or an
	// error when that cannot be told; query is encoded.
	Search(ctx context.Context, source, typ, query string) ([][]byte, error)
}

// Options is what the resolver needs.
type Options struct {
	Sources map[string]SourceRule
	Lookup  Lookup
	Store   Store
	Now     func() time.Time
}

// Resolver turns claims into links.
type Resolver struct {
	sources map[string]rule
	lookup  Lookup
	store   Store
	now     func() time.Time
}

// rule is a SourceRule ready for use.
type rule struct {
	SourceRule
	base fhir.Base
}

// New makes a resolver.
func New(o Options) (*Resolver, error) {
	if o.Lookup == nil || o.Store == nil || o.Now == nil {
		return nil, errors.New("enroll: Lookup, Store and Now are required")
	}
	r := &Resolver{sources: make(map[string]rule, len(o.Sources)), lookup: o.Lookup, store: o.Store, now: o.Now}
	for id, configured := range o.Sources {
		ready, err := configured.ready()
		if err != nil {
			return nil, fmt.Errorf("enroll: source %q: %w", id, err)
		}
		r.sources[id] = ready
	}
	return r, nil
}

func (s SourceRule) ready() (rule, error) {
	base, err := fhir.ParseBase(s.Base)
	if err != nil {
		return rule{}, err
	}
	switch s.Rule {
	case FHIRUser, PatientID:
		if s.System != "" {
			return rule{}, errors.New("an identifier system goes with the identifier rule only")
		}
	case Identifier:
		if s.Claim == "" || s.System == "" || strings.ContainsAny(s.System, `|,\$ `) {
			return rule{}, errors.New("the identifier rule needs a claim and a system without |, comma, backslash, $ and space")
		}
	default:
		return rule{}, errors.New("no rule says how its people are known")
	}
	s.Claim = s.claim()
	return rule{s, base}, nil
}

func (s SourceRule) claim() string {
	switch {
	case s.Claim != "":
		return s.Claim
	case s.Rule == PatientID:
		return "patient"
	}
	return fhirUserClaim
}

const fhirUserClaim = "fhirUser"

// Claims names the claims that the rule reads. All of them must have been asked
// for before SignedIn is called: a fhirUser that says "RelatedPerson" and was
// left at the provider would make a patient of a parent.
func (s SourceRule) Claims() []string {
	if s.Rule == PatientID && s.claim() != fhirUserClaim {
		return []string{s.claim(), fhirUserClaim}
	}
	return []string{s.claim()}
}

// SignedIn makes links from what the identity provider said of p and puts them
// in the place of those p had at source. When there is nothing to link, the old
// links go and the error is a fault of kind NotFound whose Public says why.
// When the EHR cannot be asked, the links stay as they were, since nothing is
// known against them, and the error is of another kind: the caller must not
// let this sign-in use them.
func (r *Resolver) SignedIn(ctx context.Context, source string, p Person, claims map[string]any) error {
	rule, known := r.sources[source]
	if !known {
		return fault.Wrap(errors.New("enroll: a source without a rule"), fault.Internal, "This site is not set up for that health record.")
	}
	if p.Issuer == "" || p.Subject == "" {
		return fault.Wrap(errors.New("enroll: a person without issuer or subject"), fault.Internal, "The sign-in does not say who you are.")
	}
	at := &inquiry{source: source, rule: rule, lookup: r.lookup, now: r.now(), seen: make(map[string]answer)}
	links, err := at.links(ctx, claims)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	working, failed := at.practitioner(ctx, claims)
	switch {
	case failed != nil && fault.KindOf(failed) != fault.NotFound:
		return failed
	case failed == nil:
		links, err = append(links, working), nil
	}
	if stored := r.store.ReplaceLinks(ctx, p, source, links); stored != nil {
		return fault.Wrap(stored, fault.Unavailable, "Your access could not be kept. Please try again in a few minutes.")
	}
	return err
}

// Links gives whom p may act for at source now.
func (r *Resolver) Links(ctx context.Context, p Person, source string) ([]Link, error) {
	links, err := r.kept(ctx, p, source)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(links, func(l Link) bool { return l.Relationship == Practitioner }), nil
}

func (r *Resolver) kept(ctx context.Context, p Person, source string) ([]Link, error) {
	links, err := r.store.Links(ctx, p, source, r.now())
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "Your access could not be looked up. Please try again in a few minutes.")
	}
	return links, nil
}

// Launched gives the link of a practitioner to a patient for whom the EHR has
// launched an app; that it has, the caller knows. The patient is looked up, so
// that nobody agrees to anything about a record that is not in use. A person
// who is no practitioner there, and a patient who is not there, is a fault of
// kind NotFound.
func (r *Resolver) Launched(ctx context.Context, p Person, source, patient string) (Link, error) {
	links, err := r.kept(ctx, p, source)
	if err != nil {
		return Link{}, err
	}
	i := slices.IndexFunc(links, func(l Link) bool { return l.Relationship == Practitioner })
	rule, known := r.sources[source]
	if i < 0 || !known {
		return Link{}, noLink("You are not known as a practitioner here.", "no practitioner")
	}
	at := &inquiry{source: source, rule: rule, lookup: r.lookup, now: r.now(), seen: make(map[string]answer)}
	l, err := at.self(ctx, patient)
	if err != nil {
		return Link{}, err
	}
	l.Relationship, l.FHIRUser, l.Until = Practitioner, links[i].FHIRUser, links[i].Until
	return l, nil
}

// noLink is an error of kind NotFound: public for the person, reason for the
// log. Neither holds a claim or anything of a record.
func noLink(public, reason string) error {
	return fault.Wrap(errors.New("enroll: "+reason), fault.NotFound, public)
}
