package login

import (
	"errors"
	"net/http"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
)

const (
	// logoutPath is where people sign out, and where providers send them after
	// they have ended their own session (post_logout_redirect_uri).
	logoutPath = "/logout"

	// maxSignOutForm bounds the form.
	maxSignOutForm = 8 << 10
	// signOutReturn is how long a provider may take to end its session.
	signOutReturn = 10 * time.Minute
)

// returnCookie remembers, while the provider ends its own session, where this
// browser goes on.
func (p *RelyingParty) returnCookie() string { return p.cookieName("portico-signed-out") }

// serveLogout is POST /logout. A page of another site cannot sign anybody out.
func (p *RelyingParty) serveLogout(w http.ResponseWriter, r *http.Request) error {
	if err := p.csrf.Check(r); err != nil {
		return fail(fault.Forbidden, "You have not been signed out", "The request came from another site.", err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSignOutForm)
	if err := r.ParseForm(); err != nil {
		return fail(fault.Invalid, "You have not been signed out", "The form could not be read.", err)
	}
	next := p.providerLogout(r)
	if err := p.endSession(w, r); err != nil {
		return err
	}
	noStore(w)
	// Signing out comes first: a way back that leads elsewhere is left out.
	back := r.PostForm.Get("return_to")
	switch {
	case !localPath(back):
	case next == "":
		next = back
	default:
		p.setCookie(w, p.returnCookie(), back, int(signOutReturn/time.Second))
	}
	if next == "" {
		http.Redirect(w, r, p.o.PublicURL+logoutPath, http.StatusSeeOther)
		return nil
	}
	// Not a redirect: the form-action of the page with the button covers
	// redirects too (CSP3 section 6.4.1), and does not name the provider.
	w.Header().Set("Refresh", "0; url="+next)
	return p.o.SignOut(w, r, SignOutView{Next: next})
}

// showLogout is GET /logout, which changes nothing: a button to sign out, or
// the word that nobody is signed in. Who comes back from the provider goes on
// with what they signed out for.
func (p *RelyingParty) showLogout(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	if c, err := r.Cookie(p.returnCookie()); err == nil {
		p.dropCookie(w, p.returnCookie())
		if localPath(c.Value) {
			http.Redirect(w, r, c.Value, http.StatusSeeOther) //nolint:gosec // G710: a path on this server
			return nil
		}
	}
	digest, found := p.sessionDigest(r)
	if !found {
		return p.o.SignOut(w, r, SignOutView{})
	}
	now := p.o.Now()
	s, err := p.o.Sessions.Session(r.Context(), digest, now, now.Add(-p.o.Idle))
	switch {
	case errors.Is(err, ErrNoSession):
		return p.o.SignOut(w, r, SignOutView{})
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "It cannot be seen right now whether you are signed in. Please try again in a few minutes.")
	}
	return p.o.SignOut(w, r, SignOutView{SignedIn: true, Person: s.Name})
}
