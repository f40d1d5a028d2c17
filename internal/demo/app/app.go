// Package app is the sample SMART app of the demo: a public client that runs in
// the browser alone, as apps of other makers would. It owns those pages and
// their headers. It knows nothing of Portico but the FHIR base URL it connects
// to.
package app

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"github.com/portico-fhir/portico/web"
)

// What the app is registered as.
const (
	Name  = "Pocket Record"
	Owner = "Portico sample apps"
	// Scope is what the app asks for (SMART App Launch 2.2, v2 syntax).
	Scope = "launch/patient openid fhirUser " + records

	records = "patient/Patient.rs patient/Observation.rs patient/MedicationRequest.rs patient/Medication.rs patient/Appointment.rs patient/Communication.rs patient/Practitioner.rs patient/Organization.rs patient/Location.rs"
	// LaunchScope is what it asks for when an EHR opens it.
	LaunchScope = "launch openid fhirUser " + records
	// LaunchPath is where an EHR opens it.
	LaunchPath = "/launch.html"
	// RedirectPath is where sign-in comes back to, on the app's own origin.
	RedirectPath = "/app.html"
)

//go:embed static
var static embed.FS

// Options of Handler; all are needed.
type Options struct {
	FHIRBase     string // Portico's FHIR base URL: iss and aud
	ClientID     string
	RedirectURI  string // exactly as registered; its path is RedirectPath
	HealthSystem string // name for the button
}

// Handler serves the app.
func Handler(o Options) (http.Handler, error) {
	base, err := origin(o.FHIRBase)
	if err != nil {
		return nil, fmt.Errorf("app: FHIR base URL: %w", err)
	}
	redirect, err := url.Parse(o.RedirectURI)
	if err != nil || redirect.Host == "" || redirect.Path != RedirectPath {
		return nil, fmt.Errorf("app: redirect URI must be an absolute URL with path %s", RedirectPath)
	}
	if o.ClientID == "" || o.HealthSystem == "" {
		return nil, errors.New("app: client id and the health system's name are needed")
	}
	config, err := json.Marshal(map[string]string{
		"fhirBase": o.FHIRBase, "clientId": o.ClientID, "redirectUri": o.RedirectURI,
		"healthSystem": o.HealthSystem, "scope": Scope, "launchScope": LaunchScope,
	})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	assets, err := web.NewAssets(files, "/")
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	return &server{assets: assets, config: config, portico: base, home: redirect.Scheme + "://" + redirect.Host}, nil
}

// origin gives scheme and host of an http(s) URL.
func origin(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("not an http(s) URL")
	}
	return u.Scheme + "://" + u.Host, nil
}

type server struct {
	assets  http.Handler
	config  []byte
	portico string // origin that scripts may talk to
	home    string // origin of the app
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' "+s.portico+"; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code for a moment
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	switch r.URL.Path {
	case "/":
		// What sign-in leaves in the browser belongs to one origin: someone who
		// typed 127.0.0.1 for localhost would come back to an empty page.
		if s.elsewhere(r) {
			http.Redirect(w, r, s.home+"/", http.StatusTemporaryRedirect)
			return
		}
		r = r.Clone(r.Context())
		r.URL.Path = "/index.html"
	case "/config.json":
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(s.config) // a client that hung up needs no answer
		return
	}
	s.assets.ServeHTTP(w, r)
}

func (s *server) elsewhere(r *http.Request) bool {
	u, err := url.Parse(s.home)
	return err == nil && r.Host != u.Host
}
