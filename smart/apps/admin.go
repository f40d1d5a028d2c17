package apps

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/internal/handler"
	"github.com/portico-fhir/portico/smart/client"
)

// minCredential is the length below which the operator's credential could be
// guessed.
const minCredential = 32

// View is an app as the admin API shows it.
type View struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret,omitempty"` // only in the answer that made it
	Metadata
	AnyLoopbackPort bool     `json:"any_loopback_port,omitempty"`
	Sources         []string `json:"sources,omitempty"`
	AccessLifetime  string   `json:"access_lifetime,omitempty"`
	GrantLifetime   string   `json:"grant_lifetime,omitempty"`
	State           string   `json:"state"`
	Revision        int64    `json:"revision,omitempty"` // counts up with each change
	Origin          string   `json:"origin"`
	Created         string   `json:"created,omitempty"`
	Decided         string   `json:"decided,omitempty"`
	DecidedBy       string   `json:"decided_by,omitempty"`
	Why             string   `json:"why,omitempty"`
	Software        string   `json:"software_issuer,omitempty"` // who vouched for it
}

// List is a list of apps.
type List struct {
	Apps []View `json:"apps"`
}

func view(a client.App) View {
	v := View{
		ClientID: a.ID, Metadata: describe(a), AnyLoopbackPort: a.AnyLoopbackPort, Sources: a.Sources, State: string(a.State), Revision: a.Revision,
		Origin: string(a.Origin), Created: stamp(a.Created), Decided: stamp(a.Decided), DecidedBy: a.DecidedBy, Why: a.Why, Software: a.Software,
	}
	if v.Origin == "" {
		v.Origin = "configuration"
	}
	if a.AccessTTL > 0 {
		v.AccessLifetime = a.AccessTTL.String()
	}
	if a.GrantTTL > 0 {
		v.GrantLifetime = a.GrantTTL.String()
	}
	return v
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Handler is the admin API, for a listener of its own: every request must
// carry credential as a bearer token. It must not be reachable from the public
// listener.
func (d *Desk) Handler(credential string) (http.Handler, error) {
	if len(credential) < minCredential {
		return nil, errors.New("apps: the operator's credential must have 32 characters or more")
	}
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	add := func(method, path string, f handler.Func) {
		r.Handle(path, handler.Adapt(f, writeError)).Methods(method)
	}
	add(http.MethodGet, "/apps", d.serveList)
	add(http.MethodPost, "/apps", d.serveAdd)
	add(http.MethodGet, "/apps/{client}", d.serveShow)
	add(http.MethodDelete, "/apps/{client}", d.serveDelete)
	add(http.MethodPost, "/apps/{client}/approve", d.serveDecision(client.Approved, "app-approved"))
	add(http.MethodPost, "/apps/{client}/suspend", d.serveDecision(client.Suspended, "app-suspended"))
	add(http.MethodPost, "/apps/{client}/secret", d.serveSecret)
	r.NotFoundHandler = handler.Adapt(func(http.ResponseWriter, *http.Request) error {
		return &Error{Code: "not_found", Description: "There is no such URL here.", Status: http.StatusNotFound}
	}, writeError)
	r.MethodNotAllowedHandler = handler.Adapt(func(http.ResponseWriter, *http.Request) error {
		return &Error{Code: invalidRequest, Description: "This URL does not take this method.", Status: http.StatusMethodNotAllowed}
	}, writeError)
	want := sha256.Sum256([]byte(credential))
	return handler.Adapt(func(w http.ResponseWriter, req *http.Request) error {
		given, _ := handler.Bearer(req)
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return &Error{Code: invalidToken, Description: "The operator's credential is missing or wrong.", Status: http.StatusUnauthorized}
		}
		r.ServeHTTP(w, req)
		return nil
	}, writeError), nil
}

// named is the client id in the path. The router leaves it encoded, since an id
// may hold a slash.
func named(r *http.Request) string {
	id, err := url.PathUnescape(mux.Vars(r)["client"])
	if err != nil {
		return ""
	}
	return id
}

func (d *Desk) serveList(w http.ResponseWriter, r *http.Request) error {
	state := client.State(r.URL.Query().Get("state"))
	if state != "" && state != client.Pending && state != client.Approved && state != client.Suspended {
		return refuse(invalidRequest, "state must be pending, approved or suspended.")
	}
	list, err := d.list(r.Context(), state)
	if err != nil {
		return err
	}
	out := List{Apps: []View{}}
	for _, a := range list {
		out.Apps = append(out.Apps, view(a))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (d *Desk) serveShow(w http.ResponseWriter, r *http.Request) error {
	a, err := d.find(r.Context(), named(r))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, view(a))
	return nil
}

func (d *Desk) serveAdd(w http.ResponseWriter, r *http.Request) error {
	body, err := readJSON(w, r)
	if err != nil {
		return err
	}
	var n newApp
	if err := readMetadata(body, &n); err != nil {
		return err
	}
	a, secret, err := d.add(r.Context(), n)
	if err != nil {
		return err
	}
	v := view(a)
	v.Secret = secret
	writeJSON(w, http.StatusCreated, v)
	return nil
}

// readTerms reads a body that may be left out.
func readTerms(w http.ResponseWriter, r *http.Request) (terms, error) {
	var t terms
	if r.ContentLength == 0 {
		return t, nil
	}
	body, err := readJSON(w, r)
	if err != nil {
		return t, err
	}
	if err := readMetadata(body, &t); err != nil {
		return t, err
	}
	return t, t.check()
}

func (d *Desk) serveDecision(state client.State, what string) handler.Func {
	return func(w http.ResponseWriter, r *http.Request) error {
		t, err := readTerms(w, r)
		if err != nil {
			return err
		}
		a, err := d.decide(r.Context(), named(r), state, what, t)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, view(a))
		return nil
	}
}

func (d *Desk) serveSecret(w http.ResponseWriter, r *http.Request) error {
	t, err := readTerms(w, r)
	if err != nil {
		return err
	}
	id := named(r)
	secret, err := d.newSecret(r.Context(), id, t)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"client_id": id, "client_secret": secret})
	return nil
}

func (d *Desk) serveDelete(w http.ResponseWriter, r *http.Request) error {
	t, err := readTerms(w, r)
	if err != nil {
		return err
	}
	if err := d.remove(r.Context(), named(r), t); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
