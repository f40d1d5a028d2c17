package authz

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
	"github.com/portico-fhir/portico/smart/scope"
	"github.com/portico-fhir/portico/smart/token"
)

const (
	pathConnected = "/oauth/connected"
	pathStop      = "/oauth/connected/stop"
)

// ConnectedPage draws the page of a person's connected apps.
type ConnectedPage interface {
	// Connected draws the page; each app's form posts its Grant as "grant" to
	// Stop, with "source".
	Connected(w http.ResponseWriter, r *http.Request, v ConnectedView) error
}

// ConnectedView is the page of connected apps.
type ConnectedView struct {
	Stop    string // POST here
	Source  string // the health system's name
	ID      string // of the source, to be posted back as "source"
	Person  string
	SignOut string // where signing out leads back to, a path on this server
	Apps    []ConnectedApp
	Others  []Source // other sources, each a page of its own at Address
	Stopped bool     // an app has just been stopped
}

// ConnectedApp is one grant of a person.
type ConnectedApp struct {
	Grant   string
	App     string
	Owner   string
	Patient string // whose record; "" for the person's own
	Since   time.Time
	Until   time.Time   // zero: until it is stopped
	Scopes  []ScopeView // resource scopes; Type "*" is the whole record
}

// Address is where the page of a source's connected apps is.
func (v ConnectedView) Address(source string) string {
	return strings.TrimSuffix(v.Stop, "/stop") + "?source=" + source
}

// showConnected is the page on which people see which apps they let in and stop
// them (45 CFR 170.315(g)(10)(vi): at the patient's direction).
func (s *Server) showConnected(w http.ResponseWriter, r *http.Request) error {
	src, person, signedIn, err := s.connectedAt(w, r, r.URL.Query().Get("source"))
	if err != nil || !signedIn {
		return err
	}
	grants, err := s.connections(r, src, person)
	if err != nil {
		return err
	}
	patients, err := s.o.Patients.For(r.Context(), person, src.ID)
	if err != nil {
		return unavailable(err, "find the records of a person")
	}
	v := ConnectedView{
		Stop: s.base + pathStop, Source: src.Name, ID: src.ID, Person: person.Name,
		SignOut: s.base + pathConnected + "?source=" + src.ID, Stopped: r.URL.Query().Get("stopped") == "1",
	}
	for _, other := range s.o.Sources {
		if other.ID != src.ID {
			v.Others = append(v.Others, other)
		}
	}
	for _, g := range grants {
		v.Apps = append(v.Apps, s.connected(r, g, patients))
	}
	secureHeaders(w)
	return unavailable(s.o.ConnectedPage.Connected(w, r, v), "draw the connected apps")
}

func (s *Server) connected(r *http.Request, g token.Grant, patients []Patient) ConnectedApp {
	out := ConnectedApp{Grant: g.ID, App: g.Client, Since: g.Created}
	if app, err := s.o.Clients.Client(r.Context(), g.Client); err == nil {
		out.App, out.Owner = app.Name, app.Owner
	}
	if !g.Expires.Equal(token.NoEnd) {
		out.Until = g.Expires
	}
	if i := slices.IndexFunc(patients, func(p Patient) bool { return p.ID == g.Patient }); i < 0 {
		out.Patient = "another record" // a link that has ended, or a launch from the EHR
	} else if !patients[i].Self {
		out.Patient = patients[i].Label
	}
	set, err := scope.Parse(g.Scopes)
	if err != nil {
		return out // granted in a grammar of long ago: it can be stopped all the same
	}
	for _, one := range set.Resources {
		out.Scopes = append(out.Scopes, ScopeView{
			Value: one.String(), Type: one.Type, Read: one.Access&scope.ReadSearch != 0, Write: one.Access&scope.Write != 0,
		})
	}
	return out
}

// takeStop stops an app: its grant and everything under it, at once.
func (s *Server) takeStop(w http.ResponseWriter, r *http.Request) error {
	if err := s.sameOrigin.Check(r); err != nil {
		return forged()
	}
	fields, err := readFields(w, r)
	if err != nil {
		return err
	}
	src, person, signedIn, err := s.connectedAt(w, r, only(fields, "source"))
	if err != nil || !signedIn {
		return err
	}
	grants, err := s.connections(r, src, person)
	if err != nil {
		return err
	}
	// Only one of the person's own: the form is text from outside. One that has
	// ended meanwhile is stopped already.
	i := slices.IndexFunc(grants, func(g token.Grant) bool { return g.ID == only(fields, "grant") })
	if i >= 0 {
		g := grants[i]
		if err := s.o.Tokens.RevokeGrant(r.Context(), g.ID, s.o.Now()); err != nil {
			return unavailable(err, "revoke a grant")
		}
		// What is stopped stays stopped even if this cannot be written down.
		err := s.o.Recorder.Record(r.Context(), Event{What: "stopped", Client: g.Client, Source: src.ID, Person: person, Patient: g.Patient, Grant: g.ID, Scopes: g.Scopes})
		reqctx.From(r.Context()).Fail(err)
	}
	seeOther(w, s.base+pathConnected+"?source="+src.ID+"&stopped=1")
	return nil
}

// connectedAt finds the source and who is signed in there; when nobody is, the
// browser has been sent to sign in.
func (s *Server) connectedAt(w http.ResponseWriter, r *http.Request, id string) (src Source, person Person, signedIn bool, err error) {
	i := slices.IndexFunc(s.o.Sources, func(one Source) bool { return one.ID == id || id == "" })
	if i < 0 {
		return Source{}, Person{}, false, fault.New(fault.NotFound, "There is no such health system here.")
	}
	src = s.o.Sources[i]
	person, signedIn = s.o.SignIn.Current(r, src.ID)
	if signedIn && person.Subject != "" {
		return src, person, true, nil
	}
	err = s.o.SignIn.Start(w, r, SignInRequest{Source: src.ID, ReturnTo: s.base + pathConnected + "?source=" + src.ID})
	return src, Person{}, false, err
}

// connections gives the person's grants at one source.
func (s *Server) connections(r *http.Request, src Source, person Person) ([]token.Grant, error) {
	grants, err := s.o.Connections.Connections(r.Context(), person.Issuer, person.Subject, s.o.Now())
	if err != nil {
		return nil, unavailable(err, "find the grants of a person")
	}
	return slices.DeleteFunc(grants, func(g token.Grant) bool { return g.Source != src.ID }), nil
}
