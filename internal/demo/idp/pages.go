package idp

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed static/pages.html
var pagesText string

//go:embed static/idp.css
var css []byte

var pages = template.Must(template.New("pages").Parse(pagesText))

// view is what the pages draw.
type view struct {
	Title, Provider string
	Request         string
	People          []Person
	Login           string // as typed
	Error           string
	Text            string
}

func (s *site) draw(w http.ResponseWriter, status int, page string, v view) {
	v.Provider = s.o.Name
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, page, v); err != nil {
		http.Error(w, "The page could not be drawn.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.policy())
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone if this fails
}

// policy names the places to which a form may lead. Browsers hold redirects
// after a form to it as well, so the clients' and, behind them, the demo's other
// parts must be in it: all of them are on this loopback host.
func (s *site) policy() string {
	targets := "'self'"
	if issuer, err := url.Parse(s.o.Issuer); err == nil {
		targets += " " + issuer.Scheme + "://" + issuer.Hostname() + ":*"
	}
	seen := make(map[string]bool)
	for _, c := range s.o.Clients {
		for _, uri := range c.RedirectURIs {
			u, err := url.Parse(uri)
			if err != nil || seen[u.Host] {
				continue
			}
			seen[u.Host] = true
			targets += " " + u.Scheme + "://" + u.Host
		}
	}
	return "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action " + targets
}

func stylesheet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(css) // the client is gone if this fails
}

func (s *site) problem(w http.ResponseWriter, status int, text string) {
	s.draw(w, status, "message", view{Title: "You cannot sign in this way", Text: text})
}

func (s *site) nothing(w http.ResponseWriter, r *http.Request) {
	status, text := http.StatusNotFound, "There is no page at this address."
	for _, known := range []string{"/", "/login", "/signed-out", "/static/idp.css", "/authorize/callback", "/oauth/token", "/keys"} {
		if r.URL.Path == known {
			status, text = http.StatusMethodNotAllowed, "This page cannot be used that way."
		}
	}
	s.draw(w, status, "message", view{Title: "Nothing here", Text: text})
}

func (s *site) home(w http.ResponseWriter, _ *http.Request) {
	s.draw(w, http.StatusOK, "message", view{
		Title: "Sign-in service of the demo",
		Text:  "People come here from an application that wants to know who they are. Open the application first.",
	})
}

func (s *site) signedOut(w http.ResponseWriter, _ *http.Request) {
	s.draw(w, http.StatusOK, "message", view{Title: "You are signed out", Text: "You can close this page."})
}

// showLogin is GET /login.
func (s *site) showLogin(w http.ResponseWriter, r *http.Request) {
	request, err := s.store.request(r.URL.Query().Get("request"))
	if err != nil || request.code {
		s.tooLate(w)
		return
	}
	s.drawLogin(w, http.StatusOK, view{Request: request.id, Login: request.hint})
}

func (s *site) drawLogin(w http.ResponseWriter, status int, v view) {
	v.Title, v.People = "Sign in", s.o.People
	if v.Error != "" {
		v.Title = "Error: " + v.Title // said first by a screen reader
	}
	s.draw(w, status, "login", v)
}

func (s *site) tooLate(w http.ResponseWriter) {
	s.problem(w, http.StatusBadRequest, "This sign-in was finished already, or took too long. Please go back to the application and start again.")
}

// takeLogin is POST /login: one of the people by one click, or name and
// password.
func (s *site) takeLogin(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.problem(w, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	id := r.PostForm.Get("request")
	if _, err := s.store.request(id); err != nil {
		s.tooLate(w)
		return
	}
	var who Person
	var found bool
	var methods []string
	typed := strings.ToLower(strings.TrimSpace(r.PostForm.Get("login")))
	if r.PostForm.Has("person") {
		who, found = s.person(r.PostForm.Get("person"))
	} else {
		who, found = s.person(typed)
		// Compared in any case, so that time does not tell who exists.
		found = samePassword(who.Password, r.PostForm.Get("password")) && found
		methods = []string{"pwd"}
	}
	if !found {
		s.drawLogin(w, http.StatusUnprocessableEntity, view{
			Request: id, Login: typed, Error: "Name and password do not belong together. Please try again.",
		})
		return
	}
	if err := s.store.signIn(id, who, methods); err != nil {
		s.tooLate(w)
		return
	}
	http.Redirect(w, r, "/authorize/callback?id="+url.QueryEscape(id), http.StatusSeeOther)
}

func (s *site) person(login string) (Person, bool) {
	p, found := s.store.people[subject(Person{Login: login})]
	return p, found
}

func samePassword(want, got string) bool {
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
