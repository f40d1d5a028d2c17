package pages

import (
	"net/http"
)

// ProviderView is the page on which a person says where they have an account.
type ProviderView struct {
	Source  string // name of the health system
	Choices []ProviderChoice
}

// ProviderChoice is one place to sign in.
type ProviderChoice struct {
	Name string
	URL  string // a path on this server
}

// ChooseProvider draws the choice among several identity providers. The choices
// are links: to choose changes nothing here.
func (p *Pages) ChooseProvider(w http.ResponseWriter, _ *http.Request, v ProviderView) error {
	type choice struct{ Name, Initial, URL string }
	d := struct {
		frame
		Source  string
		Choices []choice
	}{frame: p.frame("Choose where to sign in – "+plain(v.Source), plain(v.Source), ""), Source: plain(v.Source)}
	for _, c := range v.Choices {
		name := plain(c.Name)
		if name == "" {
			name = "A sign-in service without a name"
		}
		if target := ownPath(c.URL); target != "" {
			d.Choices = append(d.Choices, choice{Name: name, Initial: initial(name), URL: target})
		}
	}
	return p.draw(w, "provider", http.StatusOK, "", d)
}
