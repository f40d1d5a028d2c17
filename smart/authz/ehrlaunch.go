package authz

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	stdjson "encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/client"
	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/token"
)

// launchRequest is what an EHR posts to /ehr/launch: the context of SMART App
// Launch 2.2 under its own names, and which app is to have it.
type launchRequest struct {
	Source            string           `json:"source"`    // "" is the EHR's own; another one is refused
	Client            string           `json:"client_id"` // "": whichever app gets the handle
	Patient           string           `json:"patient"`
	Encounter         string           `json:"encounter"`
	FHIRContext       []jsontext.Value `json:"fhirContext"`
	Intent            string           `json:"intent"`
	NeedPatientBanner *bool            `json:"need_patient_banner"` // absent: true, which hides no patient's name
	StyleURL          string           `json:"smart_style_url"`     // absent: the source's own
	Tenant            string           `json:"tenant"`
	User              string           `json:"user"`
}

// launchResponse is the answer.
type launchResponse struct {
	Launch    string `json:"launch"`
	Issuer    string `json:"iss"` // the FHIR base
	ExpiresIn int64  `json:"expires_in"`
	// LaunchURL opens the app; absent unless the app has exactly one address
	// for it.
	LaunchURL string `json:"launch_url,omitempty"`
}

const maxLaunch = 64 << 10

// serveLaunch is where an EHR launches an app (SMART App Launch 2.2, "Launch
// App: EHR Launch"; how the EHR tells the authorization server is left open
// there). The EHR is known by a credential of its own, never by anybody's token.
func (s *Server) serveLaunch(w http.ResponseWriter, r *http.Request) error {
	// 1. Authenticate.
	source, ok := s.launchingSource(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ehr launch"`)
		return &Error{Code: invalidToken, Description: "The credential is missing or not that of an EHR.", Status: http.StatusUnauthorized}
	}
	event := reqctx.From(r.Context())
	event.SetSource(source.ID)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &Error{Code: invalidRequest, Description: "A launch is created with POST.", Status: http.StatusMethodNotAllowed}
	}

	// 2. Parse and check.
	q, err := readLaunch(w, r)
	if err != nil {
		return err
	}
	h, app, err := s.handleOf(r.Context(), q, source)
	if err != nil {
		return err
	}
	event.SetClient(app.ID)

	// 3. Record, then keep.
	secret, digest := token.NewSecret(s.o.Rand)
	h.Digest = digest
	err = s.o.Recorder.Record(r.Context(), Event{What: "launch-created", Client: app.ID, Source: source.ID, Patient: h.Context.Patient})
	if err != nil {
		return unavailable(err, "record a launch")
	}
	if err := s.o.Launches.CreateLaunch(r.Context(), h); err != nil {
		return unavailable(err, "keep a launch")
	}

	// 4. Respond.
	writeJSON(w, http.StatusCreated, launchResponse{
		Launch: secret, Issuer: source.Base, ExpiresIn: int64(launch.TTL.Seconds()), LaunchURL: launchURL(app, source.Base, secret),
	})
	return nil
}

// launchingSource finds whose EHR calls. All are compared, so that time does
// not tell which.
func (s *Server) launchingSource(r *http.Request) (Source, bool) {
	bearer, given := handler.Bearer(r)
	if !given {
		return Source{}, false
	}
	got := sha256.Sum256([]byte(bearer))
	var found Source
	ok := false
	for _, src := range s.o.Sources {
		if subtle.ConstantTimeCompare(got[:], src.LaunchSHA256) == 1 && s.launches(src) {
			found, ok = src, true
		}
	}
	return found, ok
}

func readLaunch(w http.ResponseWriter, r *http.Request) (launchRequest, error) {
	var q launchRequest
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		return q, refuse(invalidRequest, "The body must be application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLaunch))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return q, &Error{Code: invalidRequest, Description: "The body is too large.", Status: http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return q, refuse(invalidRequest, "The body could not be read.")
	}
	// Unknown members are refused: one that is misspelt would otherwise be lost
	// on the way to an app that acts on it.
	if err := json.Unmarshal(body, &q, json.RejectUnknownMembers(true)); err != nil {
		return q, &Error{Code: invalidRequest, Description: "The body is not the JSON object of a launch: a member is unknown, stands twice or has another type.", Status: http.StatusBadRequest, Err: err}
	}
	return q, nil
}

// handleOf checks what the EHR says. app is empty when it names none.
func (s *Server) handleOf(ctx context.Context, q launchRequest, source Source) (launch.Handle, client.Client, error) {
	if q.Source != "" && q.Source != source.ID {
		return launch.Handle{}, client.Client{}, refuse(invalidRequest, "source is not the one of this credential.")
	}
	var app client.Client
	if q.Client != "" {
		var err error
		app, err = s.o.Clients.Client(ctx, q.Client)
		if err != nil && !errors.Is(err, client.ErrUnknown) {
			return launch.Handle{}, client.Client{}, unavailable(err, "look up a client")
		}
		if err != nil || !app.AllowsSource(source.ID) {
			return launch.Handle{}, client.Client{}, refuse(invalidRequest, "client_id is not an app of this FHIR base.")
		}
	}
	said := launch.Context{
		Patient: strings.TrimPrefix(q.Patient, "Patient/"), Encounter: strings.TrimPrefix(q.Encounter, "Encounter/"),
		Intent: q.Intent, NeedPatientBanner: q.NeedPatientBanner == nil || *q.NeedPatientBanner,
		StyleURL: q.StyleURL, Tenant: q.Tenant, User: q.User,
	}
	for _, entry := range q.FHIRContext {
		said.FHIRContext = append(said.FHIRContext, stdjson.RawMessage(entry))
	}
	if err := said.Check(); err != nil {
		return launch.Handle{}, client.Client{}, refuse(invalidRequest, "%s.", err)
	}
	return launch.Handle{Source: source.ID, Client: q.Client, Context: said, Expires: s.o.Now().Add(launch.TTL)}, app, nil
}

// launchURL is where a browser opens the app.
func launchURL(app client.Client, base, secret string) string {
	if len(app.LaunchURIs) != 1 {
		return ""
	}
	separator := "?" // a query of the launch URI stays as it is
	if strings.Contains(app.LaunchURIs[0], "?") {
		separator = "&"
	}
	return app.LaunchURIs[0] + separator + url.Values{"iss": {base}, "launch": {secret}}.Encode()
}

// launches tells whether an EHR of source may launch apps.
func (s *Server) launches(src Source) bool {
	return s.o.Launches != nil && len(src.LaunchSHA256) == sha256.Size
}
