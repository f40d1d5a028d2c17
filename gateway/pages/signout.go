package pages

import "net/http"

// SignOutView is the page about signing out.
type SignOutView struct {
	SignedIn bool
	Person   string
	Next     string // where the browser goes on by itself, "" nowhere
}

// SignOut draws the button to sign out while somebody is signed in, and what is
// so when nobody is.
func (p *Pages) SignOut(w http.ResponseWriter, _ *http.Request, v SignOutView) error {
	title := "You are signed out – Portico"
	if v.SignedIn {
		title = "Sign out – Portico"
	}
	d := struct {
		frame
		SignedIn bool
		Who      string
		Next     string
	}{p.frame(title, "", ""), v.SignedIn, plain(v.Person), v.Next}
	return p.draw(w, "signout", http.StatusOK, "", d)
}
