// Package pages draws what a patient sees of Portico: whose record, what to
// share, what went wrong, and the first page. It owns wording, layout and the
// security headers of pages. It decides nothing: who signed in, which records
// there are and what a yes means stands in smart/authz.
package pages

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/web"
)

// staticPrefix is where the style sheet and pictures are served.
const staticPrefix = "/static/"

var _ authz.Pages = (*Pages)(nil)

// Options of New; all are needed.
type Options struct {
	Sources []authz.Source // shown on the first page
	Now     func() time.Time
}

// Pages draws pages. It is safe for concurrent use.
type Pages struct {
	sources []authz.Source
	now     func() time.Time
	assets  *web.Assets
	pages   map[string]*template.Template
}

// New parses the templates, so that a broken one fails at start.
func New(o Options) (*Pages, error) {
	if o.Now == nil {
		return nil, errors.New("pages: Options.Now is missing")
	}
	if len(o.Sources) == 0 {
		return nil, errors.New("pages: Options.Sources is empty")
	}
	for _, s := range o.Sources {
		if u, err := url.Parse(s.Base); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("pages: base URL of source %q is not an http(s) URL", s.ID)
		}
	}
	static, err := fs.Sub(web.Static, "static")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	assets, err := web.NewAssets(static, staticPrefix)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p := &Pages{sources: o.Sources, now: o.Now, assets: assets, pages: map[string]*template.Template{}}
	for _, name := range []string{"home", "choose", "provider", "consent", "problem", "signout", "notfound", "connected"} {
		t, err := template.ParseFS(web.Templates, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("pages: template %s: %w", name, err)
		}
		p.pages[name] = t
	}
	return p, nil
}

// Mount adds the first page and the static files. Unknown paths are the
// router's own business; NotFound is a handler for them.
func (p *Pages) Mount(r *mux.Router) {
	r.HandleFunc("/", p.home).Methods(http.MethodGet, http.MethodHead)
	r.PathPrefix(staticPrefix).Handler(p.assets)
}

// frame is what every page has.
type frame struct {
	Title  string
	Brand  string
	Person string
	// SignOut is where signing out leads back to; "" where nobody is known to be
	// signed in.
	SignOut string
	CSS     string
	Icon    string
}

func (p *Pages) frame(title, brand, person string) frame {
	if brand == "" {
		brand = "Portico"
	}
	return frame{
		Title:  title,
		Brand:  brand,
		Person: person,
		CSS:    p.assets.URL("portico.css"),
		Icon:   p.assets.URL("icon.svg"),
	}
}

// draw renders into memory first: a template that fails must not leave half a
// page behind.
func (p *Pages) draw(w http.ResponseWriter, name string, status int, formTarget string, data any) error {
	var b bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("pages: drawing %s: %w", name, err)
	}
	h := w.Header()
	secure(h, formTarget)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that hung up needs no answer
	return nil
}

// ChoosePatient implements authz.Pages.
func (p *Pages) ChoosePatient(w http.ResponseWriter, _ *http.Request, v authz.ChooseView) error {
	target, err := formTarget(v.ReturnTo)
	if err != nil {
		return err
	}
	type person struct {
		ID, Name, Initial string
		Self              bool
	}
	d := struct {
		frame
		Action, CSRF, App, Source string
		People                    []person
	}{
		frame:  p.frame("Choose a record – "+plain(v.Source), plain(v.Source), plain(v.Person)),
		Action: v.Action, CSRF: v.CSRF, App: appName(v.App), Source: plain(v.Source),
	}
	for _, x := range v.Patients {
		name := plain(x.Label)
		if name == "" {
			name = "Record without a name"
		}
		d.People = append(d.People, person{ID: x.ID, Name: name, Initial: initial(name), Self: x.Self})
	}
	d.SignOut = ownPath(v.SignOut)
	return p.draw(w, "choose", http.StatusOK, target, d)
}

// Problem implements authz.Pages; gateway/login uses it as well.
func (p *Pages) Problem(w http.ResponseWriter, _ *http.Request, v authz.ProblemView) error {
	status := v.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	heading, detail := plain(v.Title), plainLong(v.Detail)
	if heading == "" {
		heading = "Something went wrong"
	}
	if detail == "" {
		detail = "We could not do this right now. Please try again later."
	}
	d := struct {
		frame
		Heading, Detail, RequestID, Retry, Back string
		SomebodyElse                            bool
		Leave                                   *authz.LeaveView
	}{p.frame(heading+" – Portico", "", plain(v.Person)), heading, detail, plain(v.RequestID), ownPath(v.Retry), ownPath(v.Back), v.SomebodyElse, nil}
	d.SignOut = ownPath(v.SignOut)
	target := ""
	if v.Leave != nil {
		var err error
		if target, err = formTarget(v.Leave.ReturnTo); err != nil {
			return err
		}
		leave := *v.Leave
		leave.App = appName(leave.App)
		d.Leave = &leave
	}
	return p.draw(w, "problem", status, target, d)
}

// NotFound is a page for paths that do not exist.
func (p *Pages) NotFound(w http.ResponseWriter, _ *http.Request) {
	p.mustDraw(w, "notfound", http.StatusNotFound, p.frame("No such page – Portico", "", ""))
}

func (p *Pages) home(w http.ResponseWriter, _ *http.Request) {
	d := struct {
		frame
		Sources []authz.Source
	}{frame: p.frame("Portico – the front door for health apps", "", "")}
	for i, s := range p.sources {
		d.Sources = append(d.Sources, authz.Source{ID: "source-" + strconv.Itoa(i), Name: plain(s.Name), Base: s.Base})
	}
	p.mustDraw(w, "home", http.StatusOK, d)
}

// mustDraw is for handlers without an error writer. Nothing has been sent when
// rendering fails.
func (p *Pages) mustDraw(w http.ResponseWriter, name string, status int, data any) {
	if err := p.draw(w, name, status, "", data); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
