// Package enroll owns links: which patients of which source a person who signed
// in may act for, and as what. It knows identity claims and asks the EHR where
// a claim must be looked up there; it knows no tokens, scopes or pages.
package enroll

import (
	"context"
	"time"
)

// Person is who signed in at an identity provider.
type Person struct {
	Issuer  string // iss
	Subject string // sub
	Name    string // for greeting only
}

// Relationship says as what a person acts for a patient.
type Relationship string

// Self is the patient; Proxy acts for somebody else. A Practitioner acts for no
// patient by this link alone: they may open those for whom the EHR launches an
// app.
const (
	Self         Relationship = "self"
	Proxy        Relationship = "proxy"
	Practitioner Relationship = "practitioner"
)

// Link says that a person may act for a patient at a source.
type Link struct {
	Source       string
	Patient      string // Patient id at the source; "" for a Practitioner
	Relationship Relationship
	FHIRUser     string    // relative reference of the person: Patient/…, RelatedPerson/… or Practitioner/…
	Label        string    // the patient's name for the choose-patient page
	Until        time.Time // zero: as long as the provider says so
}

// Store keeps links. Times are kept to the second at least.
type Store interface {
	// ReplaceLinks makes links the only ones that person has at source, all or
	// none. A link whose Source is another, or two for one patient, are an
	// error and change nothing.
	ReplaceLinks(ctx context.Context, p Person, source string, links []Link) error
	// Links gives the person's links at source that have not ended (now is
	// before Until, or there is none), in the order in which they were given;
	// none is not an error. A person is Issuer and Subject; Name does not count.
	Links(ctx context.Context, p Person, source string, now time.Time) ([]Link, error)
}
