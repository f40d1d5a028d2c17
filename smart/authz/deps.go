// Package authz is the authorization server of SMART App Launch 2.2: one
// endpoint, one file. The pages of a flow return to one dispatcher that decides
// the next step from stored state. It knows nothing of where records live or
// how a page looks: what it needs from outside it states here.
package authz

import (
	"context"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/scope"
)

// Person is who signed in.
type Person struct {
	Issuer  string
	Subject string
	Name    string
	// AuthTime is when the provider says that they proved who they are; zero
	// when it does not say, which is never fresh enough for anything.
	AuthTime time.Time
	Since    time.Time // when this browser came back from the provider
	ACR      string    // how they proved it: acr and amr of OpenID Connect Core 1.0 §2
	AMR      []string
}

// Patient is a patient the person may act for.
type Patient struct {
	ID       string
	Label    string // name for the page
	Self     bool
	FHIRUser string    // relative reference of the person in this role
	Until    time.Time // when the person may not act for them any more; zero: nobody knows of an end
}

// Source is one FHIR base that this server guards.
type Source struct {
	ID   string
	Name string // the health system's name, for pages
	Base string // {public base}/fhir/{id}, without trailing slash: aud

	SignIn Assurance // how sure every sign-in must be
	StepUp []StepUp  // and how much surer for some scopes

	// Writes are the letters besides those to read that apps may be granted there,
	// by resource type.
	Writes map[string]scope.Access

	LaunchSHA256 []byte // SHA-256 of the credential with which its EHR launches apps; nil: it cannot
	Style        []byte // JSON object that apps find at smart_style_url; nil: none
}

// SignIn knows who sits at the browser.
type SignIn interface {
	// Current gives the person of the session in r that is good for source.
	Current(r *http.Request, source string) (Person, bool)
	// Start sends the browser to an identity provider of the source; after
	// sign-in it comes back to q.ReturnTo. What q demands is asked of the
	// provider; whether it was met is for Current to tell.
	Start(w http.ResponseWriter, r *http.Request, q SignInRequest) error
}

// Patients knows whom a person may act for.
type Patients interface {
	For(ctx context.Context, p Person, source string) ([]Patient, error)
	// Launched gives a patient of a launch from the EHR, with p's own reference
	// as a practitioner in FHIRUser; false when p is none there, or when there
	// is no such patient.
	Launched(ctx context.Context, p Person, source, patient string) (Patient, bool, error)
}

// Pages draws what people see. Each form posts to the path given in the view.
type Pages interface {
	ChoosePatient(w http.ResponseWriter, r *http.Request, v ChooseView) error
	Consent(w http.ResponseWriter, r *http.Request, v ConsentView) error
	// Problem is an error that must not be sent to the app: unknown client,
	// bad redirect_uri, no record.
	Problem(w http.ResponseWriter, r *http.Request, v ProblemView) error
}

// ChooseView is the choose-patient page.
type ChooseView struct {
	Action   string // POST here, field "patient"
	CSRF     string // hidden field "csrf"
	App      string
	Source   string
	Person   string
	Patients []Patient

	SignOut  string // where signing out leads back to, a path on this server
	ReturnTo string // origin of the redirect_uri: Action also takes "decision" deny
}

// ConsentView is the consent page.
type ConsentView struct {
	Action   string // POST here: "decision" allow|deny, "scope" and "part" repeated, "until"
	CSRF     string // hidden field "csrf"
	App      string
	AppOwner string
	AppURL   string
	Source   string
	Person   string
	Patient  Patient
	Scopes   []ScopeView
	Asked    []string  // the scopes as the app wrote them, for experts
	Until    time.Time // when access ends; zero: when the person ends it
	ReturnTo string    // origin of the redirect_uri, for form-action in the CSP
	SignOut  string    // where signing out leads back to, a path on this server

	// Ends are when access may end at the latest, the last one being the default;
	// none when there is nothing to choose.
	Ends []EndView

	// NothingChosen: the page comes back because "allow" was sent with every
	// box unticked.
	NothingChosen bool
}

// EndView is one choice of when access ends.
type EndView struct {
	Value string    // posted back as "until"
	At    time.Time // zero: when the person ends it
}

// ScopeView is one line of the consent page.
type ScopeView struct {
	Value    string // posted back
	Type     string // resource type, "*" or "" for identity and context scopes
	Read     bool
	Write    bool
	Required bool // cannot be unticked: openid, fhirUser, launch/patient …

	// Rest: this line stands for the kinds of a wildcard that have none of their
	// own, and for kinds that are added later while everything else is ticked.
	Rest bool
	// Parts are sub-categories, of which some may be unticked. Only those that
	// stay ticked are shared then, and nothing that is in none of them.
	Parts []PartView
	Count Count
}

// PartView is one sub-category.
type PartView struct {
	Value string // posted back as "part"
	Count Count
}

// Count is how many entries there are in the record now, if that is known.
type Count struct {
	Known bool
	N     int
}

// ProblemView is an error page.
type ProblemView struct {
	Status    int
	Title     string
	Detail    string
	RequestID string
	Retry     string // a path on this server that starts again, "" when there is none

	Person  string // who is signed in, when that is known
	SignOut string // where signing out leads back to, "" when nobody is known to be signed in
	Leave   *LeaveView
	// SomebodyElse: who starts again by Retry is asked anew who they are.
	SomebodyElse bool
	Back         string // a path on this server that goes back to the app with a no, "" when there is none
}

// LeaveView is the way back to the app with a no.
type LeaveView struct {
	Action   string // POST here, "decision" deny
	CSRF     string // hidden field "csrf"
	App      string
	ReturnTo string // origin of the redirect_uri, for form-action in the CSP
}

// Pending is an authorization request on its way through the pages.
type Pending struct {
	ID          string // random, in the URL of each page
	Browser     []byte // SHA-256 of the cookie that binds it to one browser
	Client      string
	Source      string
	RedirectURI string
	State       string // byte-exact, and any bytes: not always UTF-8
	Scopes      string // those asked for that may be granted, as they were written
	Challenge   string
	Nonce       string
	Patient     string // "" until chosen
	// SignedInAfter refuses an older sign-in (OpenID Connect prompt=login and
	// max_age); zero: any.
	SignedInAfter time.Time
	SignIn        SignInDemand
	Launch        *launch.Context // nil: standalone
	Created       time.Time
	Expires       time.Time
}

// PendingStore keeps pending requests. Something is good at now when now is
// before its Expires. authztest.RunPendingStore holds every implementation to
// what is said here.
type PendingStore interface {
	CreatePending(ctx context.Context, p Pending) error
	// Pending gives one that has not expired, otherwise token.ErrNotFound.
	Pending(ctx context.Context, id string, now time.Time) (Pending, error)
	// ChoosePatient notes the patient on it; an unknown id is token.ErrNotFound.
	ChoosePatient(ctx context.Context, id, patient string) error
	// UsePending removes it atomically and gives it; the second caller, and
	// whoever comes after it expired, gets token.ErrNotFound.
	UsePending(ctx context.Context, id string, now time.Time) (Pending, error)
}

// Counter counts for the consent page.
type Counter interface {
	// Counts tells how many entries of a patient each of the scopes opens now,
	// by its text. What cannot be counted soon is left out; it never fails.
	Counts(ctx context.Context, source, patient string, of []scope.Resource) map[string]int
}

// Decision is what a person said the last time to an app about a patient.
type Decision struct {
	Client, Source, Patient     string
	PersonIssuer, PersonSubject string

	Asked   string // what was asked for then
	Agreed  string // what was agreed to
	Grant   string // made by it
	Expires time.Time
}

// DecisionStore remembers decisions. authztest.RunDecisionStore holds every
// implementation to what is said here.
type DecisionStore interface {
	// KeepDecision keeps d in place of what the same person said before to the
	// same app about the same patient of the same source.
	KeepDecision(ctx context.Context, d Decision) error
	// Decision gives what was said by whom to whom about whom, as like names
	// them, while it and its grant are good at now; otherwise token.ErrNotFound.
	Decision(ctx context.Context, like Decision, now time.Time) (Decision, error)
}

// Recorder writes down decisions people make.
type Recorder interface {
	Record(ctx context.Context, e Event) error
}

// Event is a decision or a refusal at the authorization server.
type Event struct {
	What    string // "granted", "denied", "code-exchanged", "code-replayed", ...
	Client  string
	Source  string
	Person  Person
	Patient string
	Grant   string
	Scopes  string
}
