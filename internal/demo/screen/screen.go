// Package screen is the screen of the demo's EHR: one page on which a clinician
// opens an app for a patient. It tells the authorization server about the
// launch as any EHR would, over HTTP and with a credential of its own. It owns
// that page and nothing else, and shares no code with Portico.
package screen

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

//go:embed screen.css
var css []byte

var pages = template.Must(template.New("page").Parse(pageText))

// Patient is a patient on the list.
type Patient struct{ ID, Name string }

// Options of Handler; all are needed.
type Options struct {
	Name      string // of the health system
	Clinician string // whose screen it is: a name, and how to sign in as them
	User      string // the clinician's reference, such as Practitioner/d1
	Patients  []Patient
	FHIRBase  string // of this EHR, to find a patient's latest encounter
	LaunchURL string // where launches are created
	Token     string // the EHR's credential there
	App       string // name of the app
	AppURL    string // the app's launch URI
	ClientID  string // of the app
}

type screen struct {
	o      Options
	client *http.Client
	csrf   *http.CrossOriginProtection
	policy string
}

// Handler serves the page. It refuses to work anywhere but on this machine:
// whoever reaches it opens apps for any patient.
func Handler(o Options) (http.Handler, error) {
	app := ""
	for _, address := range []string{o.FHIRBase, o.LaunchURL, o.AppURL} {
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !loopback(u.Hostname()) {
			return nil, fmt.Errorf("screen: %q is not an address of this machine", address)
		}
		app = u.Scheme + "://" + u.Host
	}
	if o.Token == "" || o.ClientID == "" || len(o.Patients) == 0 {
		return nil, errors.New("screen: a credential, a client id and patients are needed")
	}
	s := &screen{
		o: o, csrf: http.NewCrossOriginProtection(), client: &http.Client{Timeout: 10 * time.Second},
		// Browsers hold the redirect after a form to the policy too.
		policy: "default-src 'none'; style-src 'self'; form-action 'self' " + app + "; frame-ancestors 'none'; base-uri 'none'",
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.show)
	mux.HandleFunc("GET /screen.css", style)
	mux.Handle("POST /launch", s.csrf.Handler(http.HandlerFunc(s.launch)))
	return mux, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(css) // the client is gone if this fails
}

func (s *screen) show(w http.ResponseWriter, _ *http.Request) { s.draw(w, http.StatusOK, "") }

func (s *screen) draw(w http.ResponseWriter, status int, problem string) {
	var body bytes.Buffer
	if err := pages.Execute(&body, struct {
		Options
		Problem string
	}{s.o, problem}); err != nil {
		http.Error(w, "The page could not be drawn.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone if this fails
}

// launch creates a launch and sends the browser to the app with it (SMART App
// Launch 2.2, "Launch App: EHR Launch").
func (s *screen) launch(w http.ResponseWriter, r *http.Request) {
	patient := r.PostFormValue("patient")
	if !slices.ContainsFunc(s.o.Patients, func(p Patient) bool { return p.ID == patient }) {
		s.draw(w, http.StatusBadRequest, "There is no such patient on this list.")
		return
	}
	handle, issuer, err := s.create(r.Context(), patient)
	if err != nil {
		s.draw(w, http.StatusBadGateway, "The app could not be opened. Is Portico running?")
		return
	}
	target := s.o.AppURL + "?" + url.Values{"iss": {issuer}, "launch": {handle}}.Encode()
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

func (s *screen) create(ctx context.Context, patient string) (handle, issuer string, err error) {
	body, err := json.Marshal(map[string]any{
		"client_id": s.o.ClientID, "patient": patient, "encounter": s.encounter(ctx, patient), "user": s.o.User,
		"need_patient_banner": true, "intent": "show-record",
	})
	if err != nil {
		return "", "", err
	}
	var answer struct{ Launch, Iss string }
	err = s.call(ctx, http.MethodPost, s.o.LaunchURL, body, http.StatusCreated, &answer)
	if err == nil && answer.Launch == "" {
		err = errors.New("screen: the answer has no launch")
	}
	return answer.Launch, answer.Iss, err
}

// encounter gives the id of the patient's latest encounter, "" when none is
// found: a launch can do without.
func (s *screen) encounter(ctx context.Context, patient string) string {
	var found struct {
		Entry []struct {
			Resource struct{ ResourceType, ID string }
		}
	}
	query := url.Values{"patient": {patient}, "_sort": {"-date"}, "_count": {"1"}}
	if err := s.call(ctx, http.MethodGet, s.o.FHIRBase+"/Encounter?"+query.Encode(), nil, http.StatusOK, &found); err != nil {
		return ""
	}
	for _, e := range found.Entry {
		if e.Resource.ResourceType == "Encounter" {
			return e.Resource.ID
		}
	}
	return ""
}

const maxAnswer = 4 << 20

func (s *screen) call(ctx context.Context, method, address string, body []byte, want int, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+s.o.Token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != want {
		return fmt.Errorf("screen: status %d", resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
}
