// Package launch owns launches from the EHR: what an EHR may say when it opens
// an app for somebody (SMART App Launch 2.2, "Launch App: EHR Launch"), and the
// handle under which that waits for the app. It knows neither HTTP nor people.
package launch

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Context is what an EHR says when it launches an app.
type Context struct {
	Patient   string `json:"patient"` // id; every token is bound to a patient
	Encounter string `json:"encounter,omitempty"`
	// FHIRContext holds objects with reference, canonical or identifier.
	FHIRContext       []json.RawMessage `json:"fhirContext,omitempty"`
	Intent            string            `json:"intent,omitempty"`
	NeedPatientBanner bool              `json:"need_patient_banner"`
	StyleURL          string            `json:"smart_style_url,omitempty"`
	Tenant            string            `json:"tenant,omitempty"`
	User              string            `json:"user,omitempty"` // relative reference of who launches; "" when the EHR does not say
}

// Handle is a launch that waits for its app. The secret is with the EHR and the
// app; only its SHA-256 is kept.
type Handle struct {
	Digest  [32]byte
	Source  string // id; the EHR that launched
	Client  string // the app, "" for any
	Context Context
	Expires time.Time
}

// TTL is how long an app may take from the launch to its authorization request:
// a page load or two.
const TTL = 5 * time.Minute

// ErrUnknown says that there is no such handle for this app and source, or that
// it is used or over.
var ErrUnknown = errors.New("launch: unknown handle")

// Store keeps handles. launchtest.RunStore holds every implementation to what
// is said here.
type Store interface {
	// CreateLaunch keeps a handle; a digest that is taken is an error.
	CreateLaunch(ctx context.Context, h Handle) error
	// UseLaunch uses up with one atomic statement, and gives, the handle with
	// this digest if it is for source, for client or any, and good at now (now
	// is before Expires). Otherwise it is ErrUnknown, and nothing is used up: a
	// handle that another app got hold of is still good for its own.
	UseLaunch(ctx context.Context, digest [32]byte, source, client string, now time.Time) (Handle, error)
}
