package login

import (
	"net/http"
)

// choose lets the person say where they have an account. Nothing is remembered:
// the next person at this computer may have theirs elsewhere.
func (p *RelyingParty) choose(w http.ResponseWriter, r *http.Request, q SignInRequest, among []*provider) error {
	var choices []Choice
	for _, at := range among {
		q.Provider = at.ID
		name := at.Name
		if name == "" {
			name = at.ID
		}
		choices = append(choices, Choice{Name: name, URL: q.path()})
	}
	noStore(w)
	return p.o.Choose(w, r, q.Source, choices)
}
